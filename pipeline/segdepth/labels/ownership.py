"""Which column owns a pixel: the nearest one; discs around neighbours may overlap."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def pixel_centres_pm(pixels: int, pixel_pm: float) -> np.ndarray:
    """Centres (i + 1/2) · pixel along one axis."""
    return (np.arange(pixels) + 0.5) * pixel_pm


def nearest_column(x_pm: np.ndarray, y_pm: np.ndarray, pixels: int, pixel_pm: float) -> tuple[np.ndarray, np.ndarray]:
    """Row of the nearest column and its distance in pm for each pixel, both [y, x].

    Without columns the row is -1 and the distance infinite.
    """
    if len(x_pm) == 0:
        return np.full((pixels, pixels), -1), np.full((pixels, pixels), np.inf)
    centres = pixel_centres_pm(pixels, pixel_pm)
    y, x = np.meshgrid(centres, centres, indexing="ij")
    distance, row = cKDTree(np.stack([x_pm, y_pm], axis=1)).query(np.stack([x.ravel(), y.ravel()], axis=1))
    return row.reshape(pixels, pixels), distance.reshape(pixels, pixels)
