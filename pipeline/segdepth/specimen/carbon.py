"""Amorphous carbon on one side of a structure: a film or a support, over crystal and vacuum alike.

Atoms lie on the crystal's planes, continued beyond its outermost atoms, so that the simulation needs no other slices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from segdepth.config import Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.specimen.outline import cut_off, field_samples

CARBON = ATOMIC_NUMBER["C"]

ATOMS_PER_PM3 = 2.0 / 12.011 * 6.02214076e23 / 1e30
"""2.0 g/cm³, as evaporated films have (A. C. Ferrari et al., Phys. Rev. B 62, 11089 (2000))."""

LEAST_PM = 130.0
"""Least distance between two atoms, a little less than a bond."""


def carbon_positions(
    row: Mapping, block: Specimen, crystal: Crystal, positions: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Places (n, 3) of the carbon in the cell's square, pm; heights go on from the crystal's atoms, above or below.

    Parameters
    ----------
    positions : the crystal's atoms in the cell, (n, 3). ``carbon_share`` of the field is covered, on the side of
        ``carbon_deg`` of a straight line.
    """
    if not row.get("carbon_pm", 0.0) or not len(positions):
        return np.empty((0, 3))
    spacing = plane_spacing_pm(crystal)
    step = spacing * math.ceil(LEAST_PM / spacing)
    at_exit = row["carbon_side"] == "exit"
    outermost = positions[:, 2].max() if at_exit else positions[:, 2].min()
    count = round(ATOMS_PER_PM3 * step * block.cell_pm**2)
    planes = []
    for number in range(1, max(round(row["carbon_pm"] / step), 1) + 1):
        places = _spread(count, block.cell_pm, rng)
        height = outermost + (number if at_exit else -number) * step
        planes.append(np.column_stack([places, np.full(len(places), height)]))
    found = np.concatenate(planes)
    covered = cut_off(found[:, :2] - block.cell_pm / 2, field_samples(block), row["carbon_deg"], row["carbon_share"])
    return found[covered]


def plane_spacing_pm(crystal: Crystal) -> float:
    """Least distance between planes of atoms along the beam."""
    levels = {
        round((column.z + number / column.per_period + above) % 1, 6) % 1
        for column in crystal.columns
        for number in range(column.per_period)
        for above in (0.0, *(height for _, height in column.companions))
    }
    ordered = sorted(levels)
    gaps = np.diff([*ordered, ordered[0] + 1])
    return float(gaps.min()) * crystal.periods_pm[2]


def _spread(count: int, side_pm: float, rng: np.random.Generator) -> np.ndarray:
    """Random places (count, 2) in a periodic square, ``LEAST_PM`` apart: those too near to an earlier one are drawn
    again."""
    places = rng.uniform(0, side_pm, (count, 2))
    while True:
        pairs = cKDTree(places, boxsize=side_pm).query_pairs(LEAST_PM, output_type="ndarray")
        if not len(pairs):
            return places
        again = np.unique(pairs.max(axis=1))
        places[again] = rng.uniform(0, side_pm, (len(again), 2))
