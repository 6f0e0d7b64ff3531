"""The discs around column centres in which counting is judged (SegDepth IV-A, "center accuracy")."""

from __future__ import annotations

import numpy as np
import pandas as pd

from segdepth.labels.ownership import nearest_column
from segdepth.labels.projection import by_element

CENTRE_RADIUS_PM = {"Ce": 85.0, "O": 64.0}
"""16 and 12 pixels of 5.3 pm (SegDepth IV-A)."""


def centre_regions(columns: pd.DataFrame, pixels: int, pixel_pm: float) -> np.ndarray:
    """Atomic number of the owning column where a pixel lies within its centre's radius, else 0; uint8 [y, x].

    ``columns`` has ``x_pm``, ``y_pm``, ``element``.
    """
    if columns.empty:
        return np.zeros((pixels, pixels), np.uint8)
    element = columns["element"].to_numpy()
    owner, distance = nearest_column(columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), pixels, pixel_pm)
    radius = by_element(CENTRE_RADIUS_PM, element)
    return np.where(distance <= radius[owner], element[owner], 0).astype(np.uint8)
