"""What is true of one structure, pixel by pixel: depth, owners, centres, cores, and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segdepth.config import ELEMENTS
from segdepth.evaluation.metrics import NO_COLUMN
from segdepth.labels.ownership import nearest_column
from segdepth.labels.projection import by_element
from segdepth.labels.regions import CENTRE_RADIUS_PM
from segdepth.specimen.lattice import ATOMIC_NUMBER


@dataclass(frozen=True)
class GroundTruth:
    """Maps are [y, x] on the label grid.

    ``group`` is 0 where the nearest column is Ce, 1 where it is O, 2 without columns; ``centre`` and ``core`` say
    whether a pixel lies within its owner's centre radius (85 and 64 pm) and core radius. ``columns`` has ``x_pm``,
    ``y_pm``, ``element`` (0 Ce, 1 O), ``atoms`` and ``whole``: its core lies fully inside the field.
    """

    depth: np.ndarray
    owner: np.ndarray
    group: np.ndarray
    centre: np.ndarray
    core: np.ndarray
    columns: pd.DataFrame


def ground_truth_of(
    depth: np.ndarray, columns: pd.DataFrame, pixel_pm: float, core_radius_pm: Mapping[str, float]
) -> GroundTruth:
    """The truth of one structure; ``columns`` as ``read_columns`` gives it, ``element`` as atomic number."""
    pixels = depth.shape[0]
    owner, distance = nearest_column(columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), pixels, pixel_pm)
    number = columns["element"].to_numpy()
    core = by_element(core_radius_pm, number)
    inside = [columns[axis].between(core, pixels * pixel_pm - core) for axis in ("x_pm", "y_pm")]
    index = np.select([number == ATOMIC_NUMBER[e] for e in ELEMENTS], range(len(ELEMENTS)), NO_COLUMN).astype(np.int64)
    table = columns.assign(element=index, whole=inside[0] & inside[1])
    if columns.empty:
        nowhere = np.zeros(owner.shape, bool)
        return GroundTruth(depth, owner, np.full(owner.shape, NO_COLUMN), nowhere, nowhere, table)
    reach = by_element(CENTRE_RADIUS_PM, number)
    return GroundTruth(depth, owner, index[owner], distance <= reach[owner], distance <= core[owner], table)
