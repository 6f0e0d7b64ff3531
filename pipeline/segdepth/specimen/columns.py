"""The columns of a structure as a table: position in the field of view and number of atoms.

A mixed column is named by its heaviest element; its count and position are those of this element's atoms. Atoms with
the column number -1 (carbon) belong to no column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from segdepth.specimen.frame_facts import lean_deg

if TYPE_CHECKING:
    from ase import Atoms

SAME_COLUMN_PM = 40.0
"""Projected atoms no further apart form one column, if the structure has no column numbers: more than the distance of
neighbours in a column tilted by 4° (27 pm at a period of 383 pm), less than that of columns that an image resolves."""


NO_COLUMN = -1
"""The column number of atoms that belong to no column: neither counted nor labelled."""


def with_columns(atoms: Atoms) -> Atoms:
    """The atoms with an array ``column``, each column whole, its mean inside the cell.

    Unchanged if they have the array and all lie in the cell (to 1e-6 Å, since files round). In the copy, each atom is
    moved by whole sides along x and y, which the simulation does not notice, to join on to its column.
    """
    sides = np.diag(atoms.cell)[:2]
    places = atoms.positions[:, :2]
    if min(sides) <= 0 or atoms.has("column") and (np.abs(places - sides / 2) <= sides / 2 + 1e-6).all():
        return atoms
    whole = atoms.copy()
    column = atoms.get_array("column") if atoms.has("column") else _joined_columns(places, sides)
    whole.set_array("column", column)
    order = np.lexsort((atoms.positions[:, 2], column))  # neighbours in height are near each other in projection too
    order = order[column[order] != NO_COLUMN]
    places = places[order]
    _, first, which = np.unique(column[order], return_index=True, return_inverse=True)
    turns = np.zeros_like(places)
    turns[1:] = np.cumsum(-np.rint(np.diff(places, axis=0) / sides), axis=0)
    turns -= turns[first][which]
    means = np.stack([np.bincount(which, xy) for xy in (places + turns * sides).T], axis=1)
    turns -= np.floor(means / np.bincount(which)[:, None] / sides)[which]
    whole.positions[order, :2] += turns * sides
    return whole


def _joined_columns(places: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The column of each atom: projections [atom, (x, y)] in Å that join within ``SAME_COLUMN_PM``, also across the
    periodic edges, numbered by their first atoms."""
    inside = np.mod(places, sides)
    tree = cKDTree(np.where(inside < sides, inside, 0), boxsize=sides)
    pairs = tree.query_pairs(SAME_COLUMN_PM / 100, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(places), len(places)))
    return connected_components(links, directed=False)[1].astype(int)


def counted_atoms(numbers: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Which atoms are counted: those of the heaviest element of their column."""
    _, inverse = np.unique(column, return_inverse=True)
    heaviest = np.zeros(inverse.max(initial=-1) + 1, int)
    np.maximum.at(heaviest, inverse, numbers)
    return (numbers == heaviest[inverse]) & (column != NO_COLUMN)


def image_places(atoms: Atoms) -> np.ndarray:
    """Where the image shows each atom: x and y in Å, (atom, 2).

    Those are the atoms' own, unless upright atoms stand for leaning ones (``frame_facts.lean_deg``): then an atom is
    seen at x + tan(lean) (z - z_m), with z_m halfway between the first and the last atom's height, which is what the
    simulation keeps in place when it tilts the beam.
    """
    places, height, lean = atoms.positions[:, :2], atoms.positions[:, 2], lean_deg(atoms.info)
    if not any(lean) or not len(atoms):
        return places
    middle = (height.min() + height.max()) / 2
    return places + (height - middle)[:, None] * np.tan(np.radians(lean))


def column_table(
    atoms: Atoms, margin_pm: float, field_pm: float | Sequence[float], reach_pm: float = 0.0
) -> pd.DataFrame:
    """One row a lattice column: ``x_pm``, ``y_pm``, ``element`` (atomic number), ``atoms``, ``column``.

    A column is where the image shows it (``image_places``), at the mean of its counted atoms.
    Coordinates are those of the field of view (its side, or its sides along x and y), from the corner of its pixel
    [0, 0]. Columns up to ``reach_pm`` outside the field are kept, since they may cover pixels inside.
    """
    atoms = with_columns(atoms)
    column = atoms.get_array("column")
    counted = counted_atoms(atoms.numbers, column)
    numbers, column = atoms.numbers[counted], column[counted]
    x, y = (100 * image_places(atoms)[counted] - margin_pm).T  # Å to pm
    ids, first, inverse, count = np.unique(column, return_index=True, return_inverse=True, return_counts=True)
    table = pd.DataFrame(
        {
            "x_pm": np.bincount(inverse, x) / count,
            "y_pm": np.bincount(inverse, y) / count,
            "element": numbers[first].astype(np.uint8),
            "atoms": count,
            "column": ids,
        }
    )
    right, top = np.broadcast_to(field_pm, 2) + reach_pm
    near = table["x_pm"].between(-reach_pm, right) & table["y_pm"].between(-reach_pm, top)
    return table[near].reset_index(drop=True)
