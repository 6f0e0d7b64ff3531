"""Positions of a crystal's columns in a rectangle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdepth.crystals.crystal import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER


@dataclass(frozen=True)
class Columns:
    """Lattice columns: arrays of one length.

    ``z_offset`` is the height of the first counted atom in units of the period along the beam, ``atomic_number`` that
    of the counted element, ``column_type`` the position among ``Crystal.columns``.
    """

    x_pm: np.ndarray
    y_pm: np.ndarray
    z_offset: np.ndarray
    atomic_number: np.ndarray
    column_type: np.ndarray


def lattice_columns(
    crystal: Crystal, width_pm: float, height_pm: float, origin_pm: tuple[float, float], beyond_pm: float = 0.0
) -> Columns:
    """All columns with 0 <= x < width and 0 <= y < height, and ``beyond_pm`` more on each side; sorted by y, then x.

    Parameters
    ----------
    origin_pm : (x, y) of the projected cell's corner.
    """
    period_x, period_y, _ = crystal.periods_pm
    i = np.arange(-1, int((width_pm + 2 * beyond_pm) / period_x) + 2) + np.floor((-beyond_pm - origin_pm[0]) / period_x)
    j = np.arange(-1, int((height_pm + 2 * beyond_pm) / period_y) + 2) + np.floor(
        (-beyond_pm - origin_pm[1]) / period_y
    )
    parts = []
    for column_type, column in enumerate(crystal.columns):
        x, y = np.meshgrid(origin_pm[0] + (i + column.x) * period_x, origin_pm[1] + (j + column.y) * period_y)
        rest = np.broadcast_to(np.array([[column.z], [ATOMIC_NUMBER[column.element]], [column_type]]), (3, x.size))
        parts.append(np.concatenate([[x.ravel()], [y.ravel()], rest]))
    x, y, z, number, column_type = np.concatenate(parts, axis=1)
    inside = (x >= -beyond_pm) & (x < width_pm + beyond_pm) & (y >= -beyond_pm) & (y < height_pm + beyond_pm)
    order = np.lexsort((x[inside], y[inside]))
    x, y, z, number, column_type = (values[inside][order] for values in (x, y, z, number, column_type))
    return Columns(x, y, z, number.astype(int), column_type.astype(int))
