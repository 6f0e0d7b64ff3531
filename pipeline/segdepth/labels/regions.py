"""The discs around column centres in which counting is judged (SegDepth IV-A, "center accuracy")."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segdepth.labels.projection import by_element


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
