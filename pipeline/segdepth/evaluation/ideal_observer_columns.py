"""Structures that differ in one column's count, and the count that a column's neighbours suggest.

Nothing here knows of images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from ase import Atoms

from segdepth.config import CLASSES, ELEMENTS, Specimen
from segdepth.labels.projection import by_element
from segdepth.labels.regions import CENTRE_RADIUS_PM
from segdepth.specimen.columns import column_table
from segdepth.specimen.lattice import ATOMIC_NUMBER, periods_pm
from segdepth.specimen.wedge import build_wedge

FEWEST, MOST = 2, CLASSES - 2
"""Atoms of a column that has both neighbouring counts among the depth classes, and does not vanish."""

WEDGE_SUMS = ("exact", "within_one", "all")


def draw_columns(atoms: Atoms, specimen: Specimen, each: int, edge_pm: float, rng: np.random.Generator) -> pd.DataFrame:
    """``each`` columns of each element, or as many as there are, as ``column_table`` gives them.

    They hold 2 to 9 atoms and stand ``edge_pm`` inside the field at least, so that what they change is in the image.
    """
    table = column_table(atoms, specimen.margin_pm, specimen.field_pm, -edge_pm)
    table = table[table["atoms"].between(FEWEST, MOST)]
    drawn = []
    for element in ELEMENTS:
        mine = table[table["element"] == ATOMIC_NUMBER[element]]
        drawn.append(mine.iloc[np.sort(rng.choice(len(mine), min(each, len(mine)), replace=False))])
    return pd.concat(drawn, ignore_index=True)


def _exit_atom(atoms: Atoms, column: int) -> int:
    """The column's atom of largest z, where the beam leaves it."""
    mine = np.flatnonzero(atoms.get_array("column") == column)
    return int(mine[atoms.positions[mine, 2].argmax()])


def without_exit_atom(atoms: Atoms, column: int) -> Atoms:
    """The structure without the last atom of a column; cell and ``info`` stay."""
    return atoms[np.delete(np.arange(len(atoms)), _exit_atom(atoms, column))]


def with_exit_atom(atoms: Atoms, column: int, lattice_pm: float) -> Atoms:
    """The structure with one atom more behind the last one of a column, a period further (upright crystals only);
    cell and ``info`` stay."""
    last = _exit_atom(atoms, column)
    longer = atoms[np.r_[np.arange(len(atoms)), last]]
    longer.positions[-1, 2] += periods_pm(lattice_pm)[2] / 100
    return longer


def smooth_wedge(row: Mapping, specimen: Specimen, name: str, root_seed: int) -> Atoms:
    """The planned structure without what befalls single columns: shifted counts, vacancies, missing and added atoms."""
    nothing = {"count_shift_atoms": 0, "missing_probability": 0.0, "added_probability": 0.0}
    return build_wedge({**row, "oxygen_vacancy_fraction": 0.0}, specimen.model_copy(update=nothing), name, root_seed)


def wedge_tally(atoms: Atoms, wedge: Atoms, specimen: Specimen) -> np.ndarray:
    """``WEDGE_SUMS`` of each element for the smooth wedge's counts as an estimate, whole numbers (element, 3).

    Columns of ``atoms`` count whose centre region lies fully inside the field; one that the wedge lacks is estimated
    as 0.
    """
    table = column_table(atoms, specimen.margin_pm, specimen.field_pm)
    radius = by_element(CENTRE_RADIUS_PM, table["element"].to_numpy())
    inside = [table[axis].between(radius, specimen.field_pm - radius) for axis in ("x_pm", "y_pm")]
    table = table[inside[0] & inside[1]]
    guess = column_table(wedge, specimen.margin_pm, specimen.field_pm, specimen.margin_pm)
    counts = guess.set_index("column")["atoms"].reindex(table["column"], fill_value=0)
    error = np.abs(counts.to_numpy().astype(int) - table["atoms"].to_numpy().astype(int))
    sums = []
    for element in ELEMENTS:
        mine = error[table["element"].to_numpy() == ATOMIC_NUMBER[element]]
        sums.append((np.sum(mine == 0), np.sum(mine <= 1), mine.size))
    return np.array(sums)
