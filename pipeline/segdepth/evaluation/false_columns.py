"""Columns that a network sees where there are none."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

APART_SHARE = 0.6
"""Columns are at least so far apart, over the distance of the crystal's nearest ones."""


def count_false_columns(probabilities: np.ndarray, away: np.ndarray, pixel_pm: float, nearest_pm: float) -> int:
    """How many columns are seen where no true one is near.

    One for each maximum of the expected depth within ``APART_SHARE`` of the distance of the crystal's nearest columns
    whose most probable depth is above 0; a plateau is one at its centre. No electrons are counted here, with which
    ``segdepth.micrograph.columns`` throws out most of these.

    Parameters
    ----------
    probabilities : (class, y, x).
    away : (y, x) bool, pixels far from every true column.
    pixel_pm : their side. nearest_pm : the distance of the crystal's nearest columns.
    """
    seen = probabilities.argmax(0) > 0
    if not (seen & away).any():
        return 0
    depth = np.tensordot(np.arange(len(probabilities), dtype=np.float32), probabilities, axes=1)
    reach = APART_SHARE * nearest_pm / pixel_pm
    side = np.arange(-int(reach), int(reach) + 1)
    disc = np.hypot(side[:, None], side) <= reach
    highest = ndimage.maximum_filter(depth, footprint=disc, mode="constant")
    plateaus, number = ndimage.label(seen & (depth == highest), np.ones((3, 3)))
    centres = np.array(ndimage.center_of_mass(plateaus > 0, plateaus, np.arange(1, number + 1))).reshape(-1, 2)
    y, x = np.round(centres).astype(int).T
    return int(np.count_nonzero(away[y, x]))
