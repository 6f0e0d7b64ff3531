"""Which column owns a pixel: the nearest one; and the discs around columns' centres in which counts are evaluated
(SegDepth IV-A, "center accuracy"). Discs around neighbours may overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from segdepth.crystals.elements import ATOMIC_NUMBER


def pixel_centres_pm(pixels: int, pixel_pm: float) -> np.ndarray:
    """Centres (i + 1/2) · pixel along one axis."""
    return (np.arange(pixels) + 0.5) * pixel_pm


def nearest_column(
    x_pm: np.ndarray, y_pm: np.ndarray, pixels: int | Sequence[int], pixel_pm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row of the nearest column and its distance in pm for each pixel, both [y, x].

    ``pixels`` is their number along x and y, or one number for both. Without columns the row is -1 and the distance
    infinite.
    """
    along_x, along_y = np.broadcast_to(pixels, 2)
    if len(x_pm) == 0:
        return np.full((along_y, along_x), -1), np.full((along_y, along_x), np.inf)
    y, x = np.meshgrid(pixel_centres_pm(along_y, pixel_pm), pixel_centres_pm(along_x, pixel_pm), indexing="ij")
    distance, row = cKDTree(np.stack([x_pm, y_pm], axis=1)).query(np.stack([x.ravel(), y.ravel()], axis=1))
    return row.reshape(x.shape), distance.reshape(x.shape)


def within_centres(
    element: np.ndarray, owner: np.ndarray, distance_pm: np.ndarray, radius_pm: Mapping[str, float]
) -> np.ndarray:
    """Atomic number of the owning column where a pixel lies within its centre's radius, else 0; uint8 [y, x].

    ``element`` is each column's atomic number; ``owner`` and ``distance_pm`` are what ``nearest_column`` gives;
    ``radius_pm`` is a labels block's ``centre_radii_pm``.
    """
    if len(element) == 0:
        return np.zeros(owner.shape, np.uint8)
    radius = by_element(radius_pm, element)
    return np.where(distance_pm <= radius[owner], element[owner], 0).astype(np.uint8)


def by_element(values: Mapping[str, float], atomic_number: np.ndarray) -> np.ndarray:
    """A block's per-element values (``{"O": …}``) for each atomic number; NaN for others."""
    table = np.full(128, np.nan)
    for element, value in values.items():
        table[ATOMIC_NUMBER[element]] = value
    return table[np.asarray(atomic_number, dtype=int)]
