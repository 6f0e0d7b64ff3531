"""The ground truth of a structure: depth, owners, centres and cores by pixel, and its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segdepth.config import Labels
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.labels.ownership import by_element, nearest_column

AWAY_PM = 300.0
"""A column that is seen farther than this from every true one is false."""


@dataclass(frozen=True)
class GroundTruth:
    """Maps are [y, x] on the label grid.

    ``group`` is the place of the nearest column's element among the counted elements, or their number where there is
    no column; ``centre`` and ``core`` say whether a pixel lies within its owner's centre radius and core radius,
    ``away`` whether it is farther than ``AWAY_PM`` from every column: there is no crystal. ``columns`` has ``x_pm``,
    ``y_pm``, ``element`` (place among the elements), ``atoms`` and ``whole``: its core lies fully inside the field.
    """

    depth: np.ndarray
    owner: np.ndarray
    group: np.ndarray
    centre: np.ndarray
    core: np.ndarray
    away: np.ndarray
    columns: pd.DataFrame


def ground_truth_of(depth: np.ndarray, columns: pd.DataFrame, labels: Labels, elements: Sequence[str]) -> GroundTruth:
    """The truth of one structure.

    Parameters
    ----------
    depth : depth map [y, x] with pixels of ``labels.pixel_pm``.
    columns : as ``segdepth.labels.depth.read_columns`` gives them, ``element`` as atomic number.
    elements : the counted elements, the heaviest first.
    """
    pixels, pixel_pm = depth.shape[0], labels.pixel_pm
    owner, distance = nearest_column(columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), pixels, pixel_pm)
    number = columns["element"].to_numpy()
    core = by_element(labels.core_radius_pm, number)
    inside = [columns[axis].between(core, pixels * pixel_pm - core) for axis in ("x_pm", "y_pm")]
    none = len(elements)
    index = np.select([number == ATOMIC_NUMBER[e] for e in elements], range(none), none).astype(np.int64)
    table = columns.assign(element=index, whole=inside[0] & inside[1])
    if columns.empty:
        nowhere = np.zeros(owner.shape, bool)
        return GroundTruth(depth, owner, np.full(owner.shape, none), nowhere, nowhere, ~nowhere, table)
    reach = by_element(labels.centre_radii_pm, number)
    inside = (distance <= reach[owner], distance <= core[owner])
    return GroundTruth(depth, owner, index[owner], *inside, distance > AWAY_PM, table)
