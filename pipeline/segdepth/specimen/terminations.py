"""What the surface ends with: as the surface line cuts it, or columns of one element.

Each column of another element has neighbours of the heaviest one that it is bonded to (``Crystal.bonds``). In
fluorite along [110] that is three for each column of the anion, of which each column of the cation has six.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from segdepth.crystals import Columns, Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER


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
    heaviest, *others = crystal.elements
    if kind not in crystal.elements:
        raise ValueError(f"termination {kind!r}: allowed are cut, {', '.join(crystal.elements)}")
    places = np.stack([columns.x_pm, columns.y_pm], axis=1)
    heavy = np.flatnonzero(columns.atomic_number == ATOMIC_NUMBER[heaviest])
    tree = cKDTree(places[heavy])
    present = inside.copy()
    for element in others if kind == heaviest else [kind]:
        count, reach = crystal.bonds[element]
        mine = np.flatnonzero(columns.atomic_number == ATOMIC_NUMBER[element])
        _, near = tree.query(places[mine], k=range(1, count + 1), distance_upper_bound=reach)
        beside = np.append(inside[heavy], False)[near]  # a neighbour that is not among the columns has the last index
        present[mine] = present[mine] & beside.all(axis=1) if kind == heaviest else beside.any(axis=1)
    return present
