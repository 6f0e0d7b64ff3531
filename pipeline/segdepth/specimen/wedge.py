"""Wedge-shaped crystals: thickness that falls towards the surface, entrance and exit side inclined alike or not.

Coordinates are those of the simulated cell, pm: the field of view begins at (margin, margin), the vacuum lies at +y.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms

from segdepth.config import Specimen
from segdepth.seeds import structure_rng
from segdepth.specimen.lattice import lattice_columns, periods_pm
from segdepth.specimen.surfaces import surface_line

PAD_PM = 200.0
"""Vacuum above the first and below the last plane that the crystal may have."""


def thickness_atoms(distance_pm: np.ndarray, bulk: float, surface: float, decay_pm: float) -> np.ndarray:
    """Local thickness in atoms, T(d) = bulk - (bulk - surface) exp(-d/decay), d >= 0 below the surface."""
    return bulk - (bulk - surface) * np.exp(-np.asarray(distance_pm) / decay_pm)


def build_wedge(row: Mapping, block: Specimen, name: str, root_seed: int) -> Atoms:
    """The atoms of one planned structure.

    Parameters
    ----------
    row : a row of the plan.
    block, name, root_seed : the specimen block, its name, and the config's seed.

    Returns
    -------
    Atoms in Å (ASE's unit) in a cell of (field + 2 margins)² × (bulk thickness + padding). The array ``column``
    numbers the lattice column of each atom; ``info`` carries ``id``, ``index``, ``seed`` and ``surface``. A column's
    atoms sit at the lattice heights inside a slab [entrance, exit); thinning is shared between both sides by
    ``exit_fraction``. Columns within ``missing_reach_nm`` of the surface lack one end atom with
    ``missing_probability``.
    """
    rng = structure_rng(root_seed, name, int(row["index"]), "geometry")
    side = block.cell_pm
    period_z = periods_pm(block.lattice_pm)[2]
    columns = lattice_columns(block.lattice_pm, side, side, (row["origin_x_pm"], row["origin_y_pm"]))
    mean_line = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"])
    surface = mean_line + surface_line(row["surface"], columns.x_pm, side, block, rng)
    depth = surface - columns.y_pm
    inside = depth >= 0

    bulk = row["bulk_atoms"]
    thickness = thickness_atoms(np.maximum(depth, 0), bulk, row["surface_atoms"], row["decay_pm"])
    entrance = (1 - row["exit_fraction"]) * (bulk - thickness)
    offset = columns.z_offset + row["entrance_phase"]
    first = np.ceil(entrance - offset).astype(int)
    last = np.ceil(entrance + thickness - offset).astype(int)  # exclusive
    lacks = inside & (depth < 1000 * block.missing_reach_nm) & (rng.random(depth.size) < block.missing_probability)
    at_exit = rng.random(depth.size) < 0.5
    last = np.where(lacks & at_exit, last - 1, last)
    first = np.where(lacks & ~at_exit, first + 1, first)
    count = np.where(inside, np.maximum(last - first, 0), 0)

    column = np.repeat(np.arange(count.size), count)
    rank = np.arange(column.size) - np.repeat(np.cumsum(count) - count, count)
    z = PAD_PM + (first[column] + rank + offset[column]) * period_z
    positions = np.stack([columns.x_pm[column], columns.y_pm[column], z], axis=1)
    height = 2 * PAD_PM + bulk * period_z
    atoms = Atoms(
        numbers=columns.atomic_number[column],
        positions=positions / 100,
        cell=np.array([side, side, height]) / 100,
        pbc=(True, True, False),
    )
    atoms.set_array("column", column)
    atoms.info = {"id": row["id"], "index": int(row["index"]), "seed": int(row["seed"]), "surface": row["surface"]}
    return atoms
