"""The columns of a structure as a table: where each stands in the field of view and how many atoms it has."""

from __future__ import annotations

import numpy as np
import pandas as pd
from ase import Atoms


def column_table(atoms: Atoms, margin_pm: float, field_pm: float, reach_pm: float = 0.0) -> pd.DataFrame:
    """One row a lattice column: ``x_pm``, ``y_pm``, ``element`` (atomic number), ``atoms``, ``column``.

    A column's position is the mean of its atoms' projections, its count is its own atoms. Coordinates
    are those of the field of view, from the corner of its pixel [0, 0]. Columns up to ``reach_pm`` outside the field
    are kept, since they may cover pixels inside.
    """
    numbers, column = atoms.numbers, atoms.get_array("column")
    x, y = (100 * atoms.positions[:, :2] - margin_pm).T  # Å to pm
    ids, first, inverse, count = np.unique(column, return_index=True, return_inverse=True, return_counts=True)
    table = pd.DataFrame(
        {
            "x_pm": np.bincount(inverse, x) / count,
            "y_pm": np.bincount(inverse, y) / count,
            "element": numbers[first].astype(np.uint8),
            "atoms": count.astype(np.uint8),
            "column": ids,
        }
    )
    near = table[["x_pm", "y_pm"]].apply(lambda values: values.between(-reach_pm, field_pm + reach_pm)).all(axis=1)
    return table[near].reset_index(drop=True)
