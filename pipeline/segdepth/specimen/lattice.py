"""Fluorite CeO2 seen along [110]: where columns stand and where their atoms sit.

Axes: x along [001] (period a), y along [1-10] (period a/√2), z along the beam [110] (period a/√2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ATOMIC_NUMBER = {"Ce": 58, "O": 8}

# element, x, y, z in units of the three periods (fluorite, space group 225, Ce on 4a, O on 8c)
MOTIF = (
    ("Ce", 0.00, 0.0, 0.0),
    ("Ce", 0.50, 0.5, 0.5),
    ("O", 0.25, 0.0, 0.5),
    ("O", 0.75, 0.0, 0.5),
    ("O", 0.25, 0.5, 0.0),
    ("O", 0.75, 0.5, 0.0),
)


def periods_pm(lattice_pm: float) -> tuple[float, float, float]:
    """Periods along x, y, z in pm for the cubic lattice constant a: a, a/√2, a/√2."""
    return lattice_pm, lattice_pm / np.sqrt(2), lattice_pm / np.sqrt(2)


@dataclass(frozen=True)
class Columns:
    """Lattice columns: arrays of one length; ``z_offset`` is the first atom's height in units of the z period."""

    x_pm: np.ndarray
    y_pm: np.ndarray
    z_offset: np.ndarray
    atomic_number: np.ndarray


def lattice_columns(
    lattice_pm: float, width_pm: float, height_pm: float, origin_pm: tuple[float, float], beyond_pm: float = 0.0
) -> Columns:
    """All columns with 0 <= x < width and 0 <= y < height, and ``beyond_pm`` more on each side; sorted by y, then x.

    Parameters
    ----------
    origin_pm : (x, y) of a Ce column of height offset 0.
    """
    period_x, period_y, _ = periods_pm(lattice_pm)
    i = np.arange(-1, int((width_pm + 2 * beyond_pm) / period_x) + 2) + np.floor((-beyond_pm - origin_pm[0]) / period_x)
    j = np.arange(-1, int((height_pm + 2 * beyond_pm) / period_y) + 2) + np.floor(
        (-beyond_pm - origin_pm[1]) / period_y
    )
    parts = []
    for element, fx, fy, fz in MOTIF:
        x, y = np.meshgrid(origin_pm[0] + (i + fx) * period_x, origin_pm[1] + (j + fy) * period_y)
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, fz), np.full(x.size, ATOMIC_NUMBER[element])]))
    x, y, z, number = np.concatenate(parts, axis=1)
    inside = (x >= -beyond_pm) & (x < width_pm + beyond_pm) & (y >= -beyond_pm) & (y < height_pm + beyond_pm)
    order = np.lexsort((x[inside], y[inside]))
    x, y, z, number = (values[inside][order] for values in (x, y, z, number))
    return Columns(x, y, z, number.astype(int))
