"""What the surface ends with: as the surface line cuts it, or columns of one element.

Each column of another element has neighbours of the heaviest one that it is bonded to (``Crystal.bonds``). In
fluorite along [110] that is three for each column of the anion, of which each column of the cation has six.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from segdepth.crystals import Columns, Crystal


def termination_mask(kind: str, columns: Columns, inside: np.ndarray, crystal: Crystal) -> np.ndarray:
    """Which columns are present.

    Parameters
    ----------
    kind : ``cut`` leaves ``inside`` as it is. The heaviest element removes every other column that lacks one of the
        heaviest element's columns it is bonded to. Another element has a column wherever at least one of the
        heaviest element's columns that it is bonded to is present, above the surface line too, and nowhere else.
    columns : in the unstrained, upright crystal; those within ``crystal.border_pm`` of the outermost are not right,
        since their neighbours are not among them.
    inside : which columns lie below the surface line.

    Raises
    ------
    ValueError
        The crystal has no columns of that element.
    """
    if kind == "cut":
        return inside
    if kind not in crystal.elements:
        raise ValueError(f"termination {kind!r}: allowed are cut, {', '.join(crystal.elements)}")
    places = np.stack([columns.x_pm, columns.y_pm], axis=1)
    tree, known = cKDTree(places), np.append(inside, False)
    present = inside.copy()
    heaviest = kind == crystal.elements[0]
    for column_type, offsets in crystal.bonds.items():
        if heaviest or crystal.columns[column_type].element == kind:
            mine = np.flatnonzero(columns.column_type == column_type)
            _, near = tree.query(places[mine, None] + offsets, distance_upper_bound=1.0)
            beside = known[near]  # a neighbour that is not among the columns has the last index
            present[mine] = present[mine] & beside.all(axis=1) if heaviest else beside.any(axis=1)
    return present
