"""The crystal beyond what was seen, and the empty sites at its surface: from the lattice that the columns stand on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.results.atoms import column_type

NAME = re.compile(r"(-?\d+),(-?\d+),")
LEAST_COLUMNS = 6
"""From which a lattice is fitted."""

SMOOTH_PM = 1500.0
"""Rms width of the Gaussian over which the lattice's distortion is smooth."""

REACH = 1.7
"""Empty sites this many mean spacings of columns from one with atoms may hold an atom."""


@dataclass(frozen=True)
class SeenLattice:
    """Sites of the lattice on a rectangle: place (pm), type of column, cell (u, v), and the row of the column that was
    found there, or -1."""

    x_pm: np.ndarray
    y_pm: np.ndarray
    kind: np.ndarray
    cell: np.ndarray
    row: np.ndarray


def cells_and_kinds(names: Sequence[str], elements: Sequence[str], crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Cells (column, 2) and types of columns by their names ``u,v,place``.

    Raises
    ------
    MicrographError
        A name is none of a site of the lattice.
    """
    found = [NAME.match(name) for name in names]
    if None in found:
        wrong = next(name for name, one in zip(names, found) if one is None)
        raise MicrographError(f"columns: {wrong!r} is no name of a lattice site (u,v,place)")
    cells = np.array([(int(one[1]), int(one[2])) for one in found if one], int).reshape(-1, 2)
    kinds = [column_type(name, element, crystal) for name, element in zip(names, elements)]
    return cells, np.array(kinds, int)


def seen_lattice(
    crystal: Crystal,
    x_pm: np.ndarray,
    y_pm: np.ndarray,
    cells: np.ndarray,
    kind: np.ndarray,
    low_pm: Sequence[float],
    high_pm: Sequence[float],
) -> SeenLattice:
    """All sites from ``low_pm`` to ``high_pm`` (x, y). Places follow an affine map fitted to the columns, and what the
    columns around stand off it in the mean: a column's own place is measured less well than its neighbours'.

    Raises
    ------
    MicrographError
        There are too few columns, or all in a line.
    """
    places = np.array([(c.x, c.y) for c in crystal.columns])
    at = np.column_stack([cells + places[kind], np.ones(len(kind))])
    if len(kind) < LEAST_COLUMNS or np.linalg.matrix_rank(at) < 3:
        raise MicrographError(
            f"columns: {len(kind)} of them do not make a lattice; at least {LEAST_COLUMNS} are needed"
        )
    fitted = np.linalg.lstsq(at, np.column_stack([x_pm, y_pm]), rcond=None)[0]
    back = np.linalg.inv(fitted[:2])
    corners = np.array([(x, y) for x in (low_pm[0], high_pm[0]) for y in (low_pm[1], high_pm[1])])
    reach = (corners - fitted[2]) @ back
    first, last = np.floor(reach.min(0)).astype(int) - 1, np.ceil(reach.max(0)).astype(int) + 1
    u, v, k = (
        a.ravel()
        for a in np.meshgrid(
            np.arange(first[0], last[0] + 1), np.arange(first[1], last[1] + 1), np.arange(len(places)), indexing="ij"
        )
    )
    place = np.column_stack([np.column_stack([u, v]) + places[k], np.ones(len(k))]) @ fitted
    row = _rows(np.column_stack([u, v, k]), np.column_stack([cells, kind]))
    found = row >= 0
    near = ((place >= np.subtract(low_pm, SMOOTH_PM)) & (place < np.add(high_pm, SMOOTH_PM))).all(axis=1) | found
    place[near] += _smooth(place[near], at @ fitted, np.column_stack([x_pm, y_pm]) - at @ fitted)
    inside = found | ((place >= low_pm) & (place < high_pm)).all(axis=1)
    return SeenLattice(*place[inside].T, k[inside], np.column_stack([u, v])[inside], row[inside])


def _smooth(places: np.ndarray, columns: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Mean of what columns stand off the map, (place, 2), weighted by a Gaussian of ``SMOOTH_PM``; far from all, 0."""
    near = cKDTree(places).sparse_distance_matrix(cKDTree(columns), 3 * SMOOTH_PM, output_type="coo_matrix")
    weight = np.exp(-((near.data / SMOOTH_PM) ** 2) / 2)
    total = np.bincount(near.row, weight, len(places)) + 1e-3
    return np.column_stack([np.bincount(near.row, weight * off[near.col, i], len(places)) / total for i in (0, 1)])


def _rows(sites: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Row in ``columns`` of each of ``sites``, -1 where it is not there."""
    known = {tuple(one): row for row, one in enumerate(columns.tolist())}
    return np.array([known.get(tuple(one), -1) for one in sites.tolist()], int)


def continued(lattice: SeenLattice, count: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Counts of all sites: those of the columns; 0 at sites that were seen (bool) and hold none; elsewhere as the
    nearest site of its type that was seen."""
    found = np.where(lattice.row >= 0, count[lattice.row], 0)
    known = seen | (lattice.row >= 0)
    for kind in np.unique(lattice.kind):
        mine = lattice.kind == kind
        here, there = np.flatnonzero(mine & known), np.flatnonzero(mine & ~known)
        if len(here) and len(there):
            tree = cKDTree(np.column_stack([lattice.x_pm, lattice.y_pm])[here])
            nearest = tree.query(np.column_stack([lattice.x_pm, lattice.y_pm])[there])[1]
            found[there] = found[here[nearest]]
    return found


def beside_columns(lattice: SeenLattice, crystal: Crystal) -> np.ndarray:
    """Sites within ``REACH`` mean spacings of a column that was found, bool."""
    spacing = np.sqrt(np.prod(crystal.periods_pm[:2]) / len(crystal.columns))
    places = np.column_stack([lattice.x_pm, lattice.y_pm])
    found = lattice.row >= 0
    if not found.any():
        return np.zeros(len(found), bool)
    return cKDTree(places[found]).query(places)[0] <= REACH * spacing
