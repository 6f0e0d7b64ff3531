"""Wedges and particles: thickness that falls towards the vacuum, entrance and exit side inclined alike or not.

Coordinates are those of the simulated cell, pm: the field of view begins at (margin, margin), the vacuum lies at +y
unless the outline has facets. The crystal is cut, thinned and given its defects upright, then strained, turned, tilted
and bent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from segdepth.config import Specimen
from segdepth.crystals import Columns, Crystal, lattice_columns
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.specimen.carbon import CARBON, carbon_positions
from segdepth.specimen.columns import NO_COLUMN
from segdepth.specimen.defects import Sites, add_end_atoms, remove_end_atoms, shift_counts, vacancy_mask
from segdepth.specimen.draws import GeometryDraws
from segdepth.specimen.frame_facts import crystal_text
from segdepth.specimen.orientation import Orientation
from segdepth.specimen.outline import depth_below_facets
from segdepth.specimen.particle_faces import bend_reach_pm, bent, faces_of, most_atoms_along_beam
from segdepth.specimen.surfaces import surface_line
from segdepth.specimen.terminations import termination_mask

PAD_PM = 200.0
"""Vacuum above the first and below the last atom, at least; faces of an upright bulk lie that far inside the cell."""

END_ATOMS = 4
"""Sites beyond the bulk's faces that a column's ends may reach: three by ``count_shift_atoms`` and an added one."""


def build_wedge(row: Mapping, block: Specimen, crystal: Crystal, name: str, root_seed: int) -> Atoms:
    """The atoms of one planned structure.

    Parameters
    ----------
    row : a row of the plan; columns from ``corner_radius_pm`` on may be missing.
    block, crystal, name, root_seed : the specimen block, its crystal, its name, and the config's seed.

    Returns
    -------
    Atoms in Å (ASE's unit) in a cell of (field + 2 margins)² and at least bulk thickness + padding, more where atoms
    would come nearer than ``PAD_PM`` to its faces. The array ``column`` numbers the lattice column of each atom;
    ``info`` carries what ``specimen.frame_facts`` reads; ``exit_face_pm`` is the height of the bulk's nominal
    exit face (no thinning) at the field's centre.

    In this order: columns below the surface line or inside all facets (``specimen.outline``), and what the termination
    adds or takes; atoms at the lattice heights inside the slab [entrance, exit) (``specimen.particle_faces``), no more
    than ``thickest_atoms`` or the bulk's; columns within ``missing_reach_nm`` of the surface lack an
    end atom with ``missing_probability``, and columns there or up to a row above it gain one with
    ``added_probability``; counts are shifted by ``count_shift_atoms``; the lighter atoms of mixed columns join each
    counted atom; atoms of the vacancy element go missing; the crystal is strained, turned and tilted
    (``specimen.orientation``) and bent, and what lies outside the cell's square is dropped; carbon is added, whose
    ``column`` is -1. With ``tilt_by: propagation`` the crystal is not tilted; ``info`` then has ``tilt_x_deg`` and
    ``tilt_y_deg``.
    """
    side, bulk, period_z = block.cell_pm, row["bulk_atoms"], crystal.periods_pm[2]
    termination, orientation = row.get("termination", "cut"), Orientation.of(row)
    if block.tilt_by == "propagation":
        orientation = replace(orientation, tilt_x_deg=0.0, tilt_y_deg=0.0)
    tallest = (most_atoms_along_beam(row) + 2 * END_ATOMS) * period_z
    beyond = orientation.beyond_pm(side, tallest) + bend_reach_pm(row, block, tallest)
    if termination != "cut":
        beyond += crystal.border_pm
    columns = lattice_columns(crystal, side, side, (row["origin_x_pm"], row["origin_y_pm"]), beyond)
    draws = GeometryDraws(root_seed, name, int(row["index"]), _in_square(columns.x_pm, columns.y_pm, side))

    depth, places = _depth(row, block, crystal, columns, orientation, draws)
    present = termination_mask(termination, columns, depth >= 0, crystal)
    offset = columns.z_offset + row["entrance_phase"]
    per_period = np.array([column.per_period for column in crystal.columns])[columns.column_type]
    slab = faces_of(row, block, places, depth, orientation, draws)
    first, last = (np.ceil((face - offset) * per_period).astype(int) for face in slab)
    last = np.minimum(last, first + np.maximum(block.thickest_atoms, np.ceil(_bulk(row) * per_period).astype(int)))
    sites = _column_sites(block, crystal, present, depth, (first, last), draws)
    placed = _placed(sites, columns, offset, per_period, crystal)
    occupied = ~_vacancies(row, block, crystal, placed, depth, draws)
    positions = np.stack([columns.x_pm[placed.column], columns.y_pm[placed.column], placed.z_pm], axis=1)

    middle = np.array([side / 2, side / 2, PAD_PM + bulk * period_z / 2])
    positions = bent(orientation.applied(positions, middle), middle, row, block)
    kept = occupied & _in_square(positions[:, 0], positions[:, 1], side)
    positions, column, number = positions[kept], placed.column[kept], placed.number[kept]
    carbon = carbon_positions(row, block, crystal, positions, draws.stream("carbon"))
    positions = np.concatenate([positions, carbon])
    column, number = (np.append(a, np.full(len(carbon), b)) for a, b in ((column, NO_COLUMN), (number, CARBON)))
    lift = PAD_PM - positions[:, 2].min(initial=PAD_PM)
    positions[:, 2] += lift
    height = max(2 * PAD_PM + bulk * period_z + lift, positions[:, 2].max(initial=0) + PAD_PM)
    exit_face = middle[2] + orientation.face_height_pm(bulk * period_z / 2) + lift
    atoms = Atoms(number, positions / 100, cell=np.array([side, side, height]) / 100, pbc=(True, True, False))
    atoms.set_array("column", column)
    atoms.info = _info(row, block, crystal, name, root_seed, float(exit_face))
    return atoms


def _info(
    row: Mapping, block: Specimen, crystal: Crystal, name: str, root_seed: int, exit_face_pm: float
) -> dict[str, Any]:
    """What ``specimen.frame_facts`` reads."""
    info = {
        "id": row["id"],
        "index": int(row["index"]),
        "seed": int(row["seed"]),
        "surface": row["surface"],
        "exit_face_pm": exit_face_pm,
        "field_pm": block.field_pm,
        "margin_pm": block.margin_pm,
        "specimen": name,
        "root_seed": root_seed,
        "crystal": crystal_text(crystal),
    }
    if block.tilt_by == "propagation":
        info |= {axis: float(row.get(axis, 0.0)) for axis in ("tilt_x_deg", "tilt_y_deg")}
    return info


def _bulk(row: Mapping) -> float:
    """Thickness far from the surface, periods; of the thicker part, if there are two."""
    return max(row["bulk_atoms"], row.get("neighbour_atoms", 0))


def _in_square(x_pm: np.ndarray, y_pm: np.ndarray, side_pm: float) -> np.ndarray:
    return (x_pm >= 0) & (x_pm < side_pm) & (y_pm >= 0) & (y_pm < side_pm)


def _depth(
    row: Mapping, block: Specimen, crystal: Crystal, columns: Columns, orientation: Orientation, draws: GeometryDraws
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each column below the surface or the nearest facet, pm, negative outside; and its place (n, 2) in the
    upright crystal from the field's centre."""
    side = block.cell_pm
    places = np.stack([columns.x_pm, columns.y_pm], axis=1) - side / 2
    if row.get("outline", "edge") != "edge":
        return depth_below_facets(row, block, crystal, places, orientation, draws.stream("outline")), places
    mean_line = block.margin_pm + block.field_pm * (1 - row["vacuum_fraction"])
    outward = draws.stream("terraces left"), draws.stream("terraces right")
    corner_radius = row.get("corner_radius_pm", 0.0)
    surface = mean_line + surface_line(
        row["surface"], columns.x_pm, side, block, crystal, draws.main, outward, corner_radius
    )
    return surface - columns.y_pm, places


def _column_sites(
    block: Specimen,
    crystal: Crystal,
    present: np.ndarray,
    depth_pm: np.ndarray,
    slab: Sites,
    draws: GeometryDraws,
) -> Sites:
    """First and last site (exclusive) of each column, its ends' defects included; ``slab`` are those between the
    faces."""
    sites = slab[0], np.where(present, np.maximum(slab[1], slab[0]), slab[0])

    near = depth_pm < 1000 * block.missing_reach_nm
    outside = draws.stream("missing outside")
    lacks = near & (draws.by_column(draws.main, outside) < block.missing_probability)
    sites = remove_end_atoms(sites, lacks, draws.by_column(draws.main, outside) < 0.5)

    gain, end = draws.for_purpose("added", 2).T
    gains = near & (depth_pm >= -crystal.row_pm) & (gain < block.added_probability)
    sites = add_end_atoms(sites, slab, gains, end < 0.5, block.thickest_atoms)

    shift, end = draws.for_purpose("shift", 2).T
    return shift_counts(sites, block.count_shift_atoms, shift, end < 0.5, block.thickest_atoms)


@dataclass(frozen=True)
class _Placed:
    """Atoms: their column, which counted atom of it they are or belong to (from 0), which of the lighter atoms beside
    that they are (-1: the counted atom itself), atomic number and height."""

    column: np.ndarray
    rank: np.ndarray
    companion: np.ndarray
    number: np.ndarray
    z_pm: np.ndarray


def _placed(sites: Sites, columns: Columns, offset: np.ndarray, per_period: np.ndarray, crystal: Crystal) -> _Placed:
    """The atoms on the sites: all counted ones first, then the lighter ones of mixed columns."""
    first, last = sites
    count, period_z = last - first, crystal.periods_pm[2]
    column = np.repeat(np.arange(count.size), count)
    rank = np.arange(column.size) - np.repeat(np.cumsum(count) - count, count)
    z = PAD_PM + ((first[column] + rank) / per_period[column] + offset[column]) * period_z
    parts = [(column, rank, np.full(column.size, -1), columns.atomic_number[column], z)]
    for kind, one in enumerate(crystal.columns):
        mine = columns.column_type[column] == kind
        for which, (symbol, above) in enumerate(one.companions):
            same = np.ones(int(mine.sum()), int)
            lighter = which * same, ATOMIC_NUMBER[symbol] * same, z[mine] + above * period_z
            parts.append((column[mine], rank[mine], *lighter))
    return _Placed(*(np.concatenate(values) for values in zip(*parts)))


def _vacancies(
    row: Mapping, block: Specimen, crystal: Crystal, atoms: _Placed, depth_pm: np.ndarray, draws: GeometryDraws
) -> np.ndarray:
    """Which atoms are missing: each site of the vacancy element by itself, in pure and in mixed columns."""
    most = max(column.per_period for column in crystal.columns)
    sites = max(block.thickest_atoms, math.ceil(_bulk(row) * most))
    draw = draws.for_purpose("vacancies", sites)[atoms.column, atoms.rank]
    lighter = atoms.companion >= 0
    if lighter.any():
        kinds = max(len(column.companions) for column in crystal.columns)
        beside = draws.for_purpose("companion vacancies", sites, kinds)
        draw[lighter] = beside[atoms.column[lighter], atoms.rank[lighter], atoms.companion[lighter]]
    element = block.vacancy_element or crystal.elements[-1]
    return vacancy_mask(
        atoms.number == ATOMIC_NUMBER[element],
        depth_pm[atoms.column],
        row.get("vacancy_fraction", 0.0),
        block.vacancy_surface_enrichment,
        1000 * block.vacancy_reach_nm,
        draw,
    )
