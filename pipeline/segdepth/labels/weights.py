"""Loss weights: 1 at the centre of each column, falling smoothly to a floor (SegDepth III-C, Fig. 5)."""

from __future__ import annotations

import numpy as np


def loss_weight(distance_pm: np.ndarray, width_pm: float, floor: float) -> np.ndarray:
    """floor + (1 - floor) exp(-r²/width²), r the distance to the nearest column; float32."""
    return (floor + (1 - floor) * np.exp(-((distance_pm / width_pm) ** 2))).astype(np.float32)
