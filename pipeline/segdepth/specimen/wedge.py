"""Wedge-shaped crystals: thickness that falls towards the surface, entrance and exit side inclined alike or not.

Coordinates are those of the simulated cell, pm: the field of view begins at (margin, margin), the vacuum lies at +y.
The crystal is cut, thinned and given its defects upright, then strained, turned and tilted as one body.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from ase import Atoms

from segdepth.config import Specimen
from segdepth.specimen.defects import MOST_ATOMS, Sites, shifted_counts, vacant, with_added_ends, without_ends
from segdepth.specimen.draws import GeometryDraws
from segdepth.specimen.faces import faces
from segdepth.specimen.lattice import lattice_columns, periods_pm
from segdepth.specimen.orientation import Orientation
from segdepth.specimen.surfaces import surface_line
from segdepth.specimen.terminations import neighbour_reach_pm, terminated

PAD_PM = 200.0
"""Vacuum above the first and below the last atom, at least; faces of an upright bulk lie that far inside the cell."""

END_ATOMS = 4
"""Sites beyond the bulk's faces that a column's ends may reach: three by ``count_shift_atoms`` and an added one."""


def build_wedge(row: Mapping, block: Specimen, name: str, root_seed: int) -> Atoms:
    """The atoms of one planned structure.

    Parameters
    ----------
    row : a row of the plan; one without the columns from ``corner_radius_pm`` on stands for a crystal without them.
    block, name, root_seed : the specimen block, its name, and the config's seed.

    Returns
    -------
    Atoms in Å (ASE's unit) in a cell of (field + 2 margins)² and at least bulk thickness + padding, more where atoms
    would come nearer than ``PAD_PM`` to its faces. The array ``column`` numbers the lattice column of each atom;
    ``info`` carries ``id``, ``index``, ``seed``, ``surface`` and ``exit_face_pm``: the height of the bulk's nominal
    exit face (no thinning) at the field's centre.

    In this order: columns below the surface line, and what the termination adds or takes; atoms at the lattice heights
    inside the slab [entrance, exit) (``specimen.faces``); columns within ``missing_reach_nm`` of the surface lack an
    end atom with ``missing_probability``, and columns there or up to half a layer above it gain one with
    ``added_probability``; counts are shifted by ``count_shift_atoms``; oxygen atoms go missing; the crystal is
    strained, turned and tilted (``specimen.orientation``), and what lies outside the cell's square is dropped.
    """
    side, bulk, period_z = block.cell_pm, row["bulk_atoms"], periods_pm(block.lattice_pm)[2]
    termination, orientation = row.get("termination", "cut"), Orientation.of(row)
    beyond = orientation.beyond_pm(side, (bulk + 2 * END_ATOMS) * period_z)
    if termination != "cut":
        beyond += neighbour_reach_pm(block.lattice_pm)
    columns = lattice_columns(block.lattice_pm, side, side, (row["origin_x_pm"], row["origin_y_pm"]), beyond)
    draws = GeometryDraws(root_seed, name, int(row["index"]), _in_square(columns.x_pm, columns.y_pm, side))

    mean_line = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"])
    outward = draws.stream("terraces left"), draws.stream("terraces right")
    corner_radius = row.get("corner_radius_pm", 0.0)
    surface = mean_line + surface_line(row["surface"], columns.x_pm, side, block, draws.main, outward, corner_radius)
    depth = surface - columns.y_pm
    present = terminated(termination, columns, depth >= 0, block.lattice_pm)
    offset = columns.z_offset + row["entrance_phase"]
    first, last = _column_sites(row, block, present, depth, offset, draws)

    count = last - first
    column = np.repeat(np.arange(count.size), count)
    rank = np.arange(column.size) - np.repeat(np.cumsum(count) - count, count)
    z = PAD_PM + (first[column] + rank + offset[column]) * period_z
    positions = np.stack([columns.x_pm[column], columns.y_pm[column], z], axis=1)
    occupied = ~_vacancies(row, block, columns.atomic_number[column], depth[column], column, rank, draws)

    middle = np.array([side / 2, side / 2, PAD_PM + bulk * period_z / 2])
    positions = orientation.applied(positions, middle)
    kept = occupied & _in_square(positions[:, 0], positions[:, 1], side)
    positions, column = positions[kept], column[kept]
    lift = PAD_PM - positions[:, 2].min(initial=PAD_PM)
    positions[:, 2] += lift
    height = max(2 * PAD_PM + bulk * period_z + lift, positions[:, 2].max(initial=0) + PAD_PM)
    exit_face = middle[2] + orientation.face_height_pm(bulk * period_z / 2) + lift
    atoms = Atoms(
        numbers=columns.atomic_number[column],
        positions=positions / 100,
        cell=np.array([side, side, height]) / 100,
        pbc=(True, True, False),
    )
    atoms.set_array("column", column)
    atoms.info = {
        "id": row["id"],
        "index": int(row["index"]),
        "seed": int(row["seed"]),
        "surface": row["surface"],
        "exit_face_pm": float(exit_face),
    }
    return atoms


def _in_square(x_pm: np.ndarray, y_pm: np.ndarray, side_pm: float) -> np.ndarray:
    return (x_pm >= 0) & (x_pm < side_pm) & (y_pm >= 0) & (y_pm < side_pm)


def _column_sites(
    row: Mapping, block: Specimen, present: np.ndarray, depth_pm: np.ndarray, offset: np.ndarray, draws: GeometryDraws
) -> Sites:
    """First and last site (exclusive) of each column, its ends' defects included."""
    bulk, decay = row["bulk_atoms"], row["decay_pm"]
    entrance, exit_ = faces(
        np.maximum(depth_pm, 0),
        bulk,
        row["surface_atoms"],
        row["exit_fraction"],
        decay,
        row.get("exit_decay_pm", decay),
    )
    slab = np.ceil(entrance - offset).astype(int), np.ceil(exit_ - offset).astype(int)
    sites = slab[0], np.where(present, np.maximum(slab[1], slab[0]), slab[0])

    near = depth_pm < 1000 * block.missing_reach_nm
    outside = draws.stream("missing outside")
    lacks = near & (draws.by_column(draws.main, outside) < block.missing_probability)
    sites = without_ends(sites, lacks, draws.by_column(draws.main, outside) < 0.5)

    half_layer = periods_pm(block.lattice_pm)[1] / 2
    gain, end = draws.for_purpose("added", 2).T
    gains = near & (depth_pm >= -half_layer) & (gain < block.added_probability)
    sites = with_added_ends(sites, slab, gains, end < 0.5)

    shift, end = draws.for_purpose("shift", 2).T
    return shifted_counts(sites, block.count_shift_atoms, shift, end < 0.5)


def _vacancies(
    row: Mapping,
    block: Specimen,
    atomic_number: np.ndarray,
    depth_pm: np.ndarray,
    column: np.ndarray,
    rank: np.ndarray,
    draws: GeometryDraws,
) -> np.ndarray:
    """Which atoms (the ``rank``-th of their ``column``) are oxygen vacancies."""
    sites = max(MOST_ATOMS, math.ceil(row["bulk_atoms"]))
    return vacant(
        atomic_number,
        depth_pm,
        row.get("oxygen_vacancy_fraction", 0.0),
        block.vacancy_surface_enrichment,
        1000 * block.vacancy_reach_nm,
        draws.for_purpose("vacancies", sites)[column, rank],
    )
