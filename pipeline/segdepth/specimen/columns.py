"""The columns of a structure as a table: position in the field of view and number of atoms.

A mixed column is named by its heaviest element; its count and position are those of this element's atoms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from ase import Atoms

SAME_COLUMN_PM = 40.0
"""Projected atoms no further apart form one column, if the structure has no column numbers: more than the distance of
neighbours in a column tilted by 4° (27 pm at a period of 383 pm), less than that of columns that an image resolves."""


def column_numbers(atoms: Atoms) -> np.ndarray:
    """The column of each atom: the array ``column``, or atoms whose projections join within ``SAME_COLUMN_PM``.

    Columns that are found so are numbered by their first atoms; the cell's edges are not joined across.
    """
    if atoms.has("column"):
        return atoms.get_array("column")
    pairs = cKDTree(100 * atoms.positions[:, :2]).query_pairs(SAME_COLUMN_PM, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(atoms), len(atoms)))
    return connected_components(links, directed=False)[1].astype(int)


def counted_atoms(numbers: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Which atoms are counted: those of the heaviest element of their column."""
    _, inverse = np.unique(column, return_inverse=True)
    heaviest = np.zeros(inverse.max(initial=-1) + 1, int)
    np.maximum.at(heaviest, inverse, numbers)
    return numbers == heaviest[inverse]


def column_table(atoms: Atoms, margin_pm: float, field_pm: float, reach_pm: float = 0.0) -> pd.DataFrame:
    """One row a lattice column: ``x_pm``, ``y_pm``, ``element`` (atomic number), ``atoms``, ``column``.

    Coordinates are those of the field of view, from the corner of its pixel [0, 0]. Columns up to ``reach_pm`` outside
    the field are kept, since they may cover pixels inside.
    """
    column = column_numbers(atoms)
    counted = counted_atoms(atoms.numbers, column)
    numbers, column = atoms.numbers[counted], column[counted]
    x, y = (100 * atoms.positions[counted, :2] - margin_pm).T  # Å to pm
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
    near = table[["x_pm", "y_pm"]].apply(lambda values: values.between(-reach_pm, field_pm + reach_pm)).all(axis=1)
    return table[near].reset_index(drop=True)
