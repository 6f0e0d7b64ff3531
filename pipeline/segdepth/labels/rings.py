"""Depth in rings around a column (SegDepth III-C, Fig. 4), and the weight of a pixel in the loss (Fig. 5)."""

from __future__ import annotations

import numpy as np


def ring_depth(atoms: np.ndarray, distance_pm: np.ndarray, core_pm: np.ndarray, outer_pm: np.ndarray) -> np.ndarray:
    """Smoothed depth at a distance from a column of ``atoms`` atoms, uint8.

    n within the core r0, then ceil(n (R - r)/(R - r0)), and 0 from R on. Arguments broadcast.
    """
    share = np.clip((outer_pm - distance_pm) / (outer_pm - core_pm), 0, 1)
    return np.ceil(atoms * share - 1e-9).astype(np.uint8)


def loss_weight(distance_pm: np.ndarray, width_pm: float, floor: float) -> np.ndarray:
    """floor + (1 - floor) exp(-r²/width²), r the distance to the nearest column; float32."""
    return (floor + (1 - floor) * np.exp(-((distance_pm / width_pm) ** 2))).astype(np.float32)
