"""Structures that differ in one column's count, and the planned smooth wedge as an estimate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from ase import Atoms

from segdepth.config import Labels, Specimen
from segdepth.crystals import Column, Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.labels.ownership import by_element
from segdepth.specimen.columns import column_table
from segdepth.specimen.particle_faces import ROUGH_FACES
from segdepth.specimen.wedge import build_wedge

FEWEST = 2
"""Atoms of a column that does not vanish with one less."""

SAME_HEIGHT = 0.1
"""Å: an atom this near a place of the crystal is the one that belongs there."""

PRIOR_SUMS = ("exact", "within_one", "all")


def draw_columns(
    atoms: Atoms,
    specimen: Specimen,
    crystal: Crystal,
    most_atoms: int,
    each: int,
    edge_pm: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """``each`` columns of each element, or as many as there are, as ``column_table`` gives them.

    They hold 2 to ``most_atoms - 1`` atoms, so that both neighbouring counts are among the depth classes, and stand
    ``edge_pm`` inside the field at least, so that what they change is in the image.
    """
    table = column_table(atoms, specimen.margin_pm, specimen.field_pm, -edge_pm)
    table = table[table["atoms"].between(FEWEST, most_atoms - 1)]
    drawn = []
    for element in crystal.elements:
        mine = table[table["element"] == ATOMIC_NUMBER[element]]
        drawn.append(mine.iloc[np.sort(rng.choice(len(mine), min(each, len(mine)), replace=False))])
    return pd.concat(drawn, ignore_index=True)


def without_exit_atom(atoms: Atoms, column: int, crystal: Crystal) -> Atoms:
    """The structure without the last counted atom of a column, where the beam leaves it, and without the lighter atoms
    that come with it; cell and ``info`` stay."""
    gone = [_last(atoms, column), *_companions(atoms, column, crystal)]
    return atoms[np.delete(np.arange(len(atoms)), gone)]


def with_exit_atom(atoms: Atoms, column: int, crystal: Crystal) -> Atoms:
    """The structure with one counted atom more behind the last one of a column, at the column's spacing, and with the
    lighter atoms that come with it (upright crystals only); cell and ``info`` stay."""
    last, kind, period = _last(atoms, column), _kind(atoms, column, crystal), crystal.periods_pm[2] / 100
    longer = atoms[np.r_[np.arange(len(atoms)), [last] * (1 + len(kind.companions))]]
    height = atoms.positions[last, 2] + period / kind.per_period
    for place, (symbol, above) in enumerate(((kind.element, 0.0), *kind.companions), start=len(atoms)):
        longer.numbers[place] = ATOMIC_NUMBER[symbol]
        longer.positions[place, 2] = height + above * period
    return longer


def _counted(atoms: Atoms, column: int) -> np.ndarray:
    """The column's counted atoms: those of its heaviest element."""
    mine = np.flatnonzero(atoms.get_array("column") == column)
    return mine[atoms.numbers[mine] == atoms.numbers[mine].max()]


def _last(atoms: Atoms, column: int) -> int:
    """The column's counted atom of largest z."""
    counted = _counted(atoms, column)
    return int(counted[atoms.positions[counted, 2].argmax()])


def _companions(atoms: Atoms, column: int, crystal: Crystal) -> list[int]:
    """The lighter atoms that come with the column's last counted one; those that are missing are not among them."""
    height, period = atoms.positions[_last(atoms, column), 2], crystal.periods_pm[2] / 100
    mine = np.flatnonzero(atoms.get_array("column") == column)
    found = []
    for symbol, above in _kind(atoms, column, crystal).companions:
        near = np.abs(atoms.positions[mine, 2] - height - above * period) < SAME_HEIGHT
        found += mine[near & (atoms.numbers[mine] == ATOMIC_NUMBER[symbol])].tolist()
    return found


def _kind(atoms: Atoms, column: int, crystal: Crystal) -> Column:
    """Which of the crystal's columns it is: of those with its element, the one whose places hold most of its atoms."""
    mine, counted = np.flatnonzero(atoms.get_array("column") == column), _counted(atoms, column)
    heights, period = atoms.positions[counted, 2], crystal.periods_pm[2] / 100
    element = atoms.numbers[counted[0]]
    spacing = np.diff(np.sort(heights)).min(initial=np.inf)

    def fits(kind: Column) -> tuple[int, float]:
        held = 0
        for symbol, above in kind.companions:
            lighter = atoms.positions[mine[atoms.numbers[mine] == ATOMIC_NUMBER[symbol]], 2]
            apart = np.abs(lighter[:, None] - heights[None, :] - above * period)
            held += int((apart.min(axis=1, initial=np.inf) < SAME_HEIGHT).sum())
        return held, -abs(spacing - period / kind.per_period) if np.isfinite(spacing) else 0.0

    return max((kind for kind in crystal.columns if ATOMIC_NUMBER[kind.element] == element), key=fits)


def smooth_wedge(row: Mapping, specimen: Specimen, crystal: Crystal, name: str, root_seed: int) -> Atoms:
    """The planned structure without what no neighbour tells: shifted counts, vacancies, missing and added atoms, the
    roughness of its faces."""
    nothing = {"count_shift_atoms": 0, "missing_probability": 0.0, "added_probability": 0.0}
    smooth = specimen.model_copy(update=nothing)
    return build_wedge(
        {**row, "vacancy_fraction": 0.0, **dict.fromkeys(ROUGH_FACES, 0.0)}, smooth, crystal, name, root_seed
    )


def prior_tally(atoms: Atoms, wedge: Atoms, specimen: Specimen, crystal: Crystal, labels: Labels) -> np.ndarray:
    """``PRIOR_SUMS`` of each element for the smooth wedge's counts as an estimate, whole numbers (element, 3).

    Columns of ``atoms`` count whose centre region lies fully inside the field; one that the wedge lacks is estimated
    as 0.
    """
    table = column_table(atoms, specimen.margin_pm, specimen.field_pm)
    radius = by_element(labels.centre_radii_pm, table["element"].to_numpy())
    inside = [table[axis].between(radius, specimen.field_pm - radius) for axis in ("x_pm", "y_pm")]
    table = table[inside[0] & inside[1]]
    guess = column_table(wedge, specimen.margin_pm, specimen.field_pm, specimen.margin_pm)
    counts = guess.set_index("column")["atoms"].reindex(table["column"], fill_value=0)
    error = np.abs(counts.to_numpy().astype(int) - table["atoms"].to_numpy().astype(int))
    sums = []
    for element in crystal.elements:
        mine = error[table["element"].to_numpy() == ATOMIC_NUMBER[element]]
        sums.append((np.sum(mine == 0), np.sum(mine <= 1), mine.size))
    return np.array(sums)
