"""What the surface ends with: as the surface line cuts it, Ce terminated or O terminated.

In the [110] projection each O column has three Ce columns beside it, one at a/4 (135 pm) in its own row and two at
hypot(a/4, a/(2√2)) (234 pm) half a layer above and below; each Ce column has six O columns. The next Ce column is
0.75 a away.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from segdepth.specimen.lattice import ATOMIC_NUMBER, Columns

NEIGHBOURS = 3
"""Ce columns beside an O column."""


def neighbour_reach_pm(lattice_pm: float) -> float:
    """A distance between the three Ce columns beside an O column (0.433 a) and the next (0.75 a)."""
    return 0.5 * lattice_pm


def terminated(kind: str, columns: Columns, inside: np.ndarray, lattice_pm: float) -> np.ndarray:
    """Which columns are present.

    Parameters
    ----------
    kind : ``cut`` leaves ``inside`` as it is. ``Ce`` removes every O column that lacks one of its three Ce columns.
        ``O`` has an O column wherever at least one of its three Ce columns is present, above the surface line too, so
        that each Ce column has all six O columns; an O column without any Ce column goes.
    columns : in the unstrained, upright crystal; those within ``neighbour_reach_pm`` of the outermost are not right,
        since their neighbours are not among them.
    inside : which columns lie below the surface line.
    """
    if kind == "cut":
        return inside
    places = np.stack([columns.x_pm, columns.y_pm], axis=1)
    ce, o = (np.flatnonzero(columns.atomic_number == ATOMIC_NUMBER[element]) for element in ("Ce", "O"))
    _, near = cKDTree(places[ce]).query(places[o], k=NEIGHBOURS, distance_upper_bound=neighbour_reach_pm(lattice_pm))
    beside = np.append(inside[ce], False)[near]  # a neighbour that is not among the columns has the index ce.size
    present = inside.copy()
    if kind == "Ce":
        present[o] &= beside.all(axis=1)
    elif kind == "O":
        present[o] = beside.any(axis=1)
    else:
        raise ValueError(f"termination {kind!r}: allowed are cut, Ce, O")
    return present
