"""Which way the border of a crystal runs, and where the vacuum lies from it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def border_direction(area: np.ndarray, usable: np.ndarray, width: float) -> complex | None:
    """Unit vector x + iy across the border between an area and the rest of the frame; None where there is no border or
    it runs in many directions.

    Parameters
    ----------
    width : of the smoothing, in pixels.
    """
    smooth = ndimage.gaussian_filter(area.astype(np.float32), width, mode="nearest")
    gy, gx = np.gradient(smooth)
    seen = ndimage.binary_erosion(usable, iterations=max(1, int(width)), border_value=1)
    tensor = np.array(
        [[np.sum(gx[seen] ** 2), np.sum((gx * gy)[seen])], [np.sum((gx * gy)[seen]), np.sum(gy[seen] ** 2)]]
    )
    values, vectors = np.linalg.eigh(tensor)
    if values[1] <= 1e-9 or values[1] < 4 * max(values[0], 0):
        return None
    return complex(*vectors[:, 1])


def away_from(area: np.ndarray, rest: np.ndarray) -> complex | None:
    """Vector x + iy, in frame halves, from the middle of an area to the middle of the rest; None if one is empty."""
    if not area.any() or not rest.any():
        return None
    middle = [np.array(np.nonzero(part)).mean(axis=1) for part in (area, rest)]
    dy, dx = middle[1] - middle[0]
    return complex(dx, dy)
