"""The plan: one row a structure, with all its parameters.

Columns of ``plan.csv``:

``id`` (``<specimen>-NNNNN``), ``index``, ``seed``, ``shard``,
``split_position`` (compared with a data set's shares, see ``segdepth.splits``),
``surface`` (flat, stepped, sawtooth),
``bulk_atoms``, ``surface_atoms`` (thickness in atoms a column, far from the surface and at it),
``decay_pm`` (1/e length of the thinning on the entrance face), ``exit_fraction`` (the exit face's share of the
thinning), ``vacuum_fraction`` (share of the field above the surface's mean line),
``origin_x_pm``, ``origin_y_pm`` (a corner of a projected cell, in the simulated cell),
``entrance_phase`` (height of the first plane in periods),
``corner_radius_pm`` (rounding of the surface line), ``exit_decay_pm`` (1/e length on the exit face; ``decay_pm`` where
the block has no ``exit_decay_nm``), ``termination`` (cut, or an element),
``vacancy_fraction`` (share of the vacancy element's sites missing, far from the surface),
``rotation_deg`` (in-plane, counter-clockwise with y up), ``strain_x_percent``, ``strain_y_percent`` (along the
crystal's x and y axis), ``tilt_x_deg``, ``tilt_y_deg`` (lean of the zone axis towards +x and +y on its way down the
beam; see ``specimen.orientation``),
``entrance_roughness_atoms``, ``exit_roughness_atoms``, ``face_correlation_pm`` (rms and correlation length of the
faces' roughness), ``bend_mrad``, ``bend_deg`` (change of the tilt across the field, and its direction),
``neighbour_atoms`` (0 without), ``neighbour_share``, ``neighbour_deg`` (part of the field with another thickness, and
the side on which it lies), ``carbon_pm`` (0 without), ``carbon_side`` (entrance, exit), ``carbon_share``,
``carbon_deg``,
``outline`` (``specimen.outline``; drawn from a stream of its own).

Every value is drawn in this order, also from a range of one value, and new ones are appended: switching an option on
changes no earlier draw.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from segdepth.config import Specimen
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.seeds import hash64, structure_rng, structure_seed
from segdepth.specimen.outline import draw_outline
from segdepth.splits import split_position

NEIGHBOUR_SHARE = 0.15, 0.6
CARBON_SHARE = 0.25, 1.0
"""Shares of the field that a part of other thickness takes, and that carbon covers."""


def _spread(index: int, offset: int) -> float:
    """Evenly spread numbers in [0, 1): also a small test set then has thin and thick structures.

    frac(offset + i √2), a sequence of its own beside that of the splits (``segdepth.splits``), so that each split is
    spread as well.
    """
    return (offset % 1000 / 1000 + index * 2**0.5) % 1.0


def _balanced(block: Specimen, spread: float) -> tuple[float, float]:
    """Surface atoms and decay (nm) of a crystal whose bulk stands at ``spread`` (0 … 1) of its range.

    Each alone is still even over its range, surface atoms in whole numbers; together, one-atom columns are not left to
    the rim of few crystals, nor the thickest ones to those that reach their bulk within the field.
    """
    (fewest, most), (fast, slow) = block.surface_atoms, block.decay_nm
    whole = int(most) - math.ceil(fewest) + 1
    surface = math.ceil(fewest) + int(whole * spread) if whole > 0 else fewest
    return float(surface), slow - (slow - fast) * spread


def plan_row(block: Specimen, crystal: Crystal, name: str, index: int, root_seed: int) -> dict:
    """The parameters of structure ``index`` of the specimen block ``name``."""
    rng = structure_rng(root_seed, name, index, "plan")
    period_x, period_y, _ = crystal.periods_pm
    low, high = block.bulk_atoms
    spread = _spread(index, hash64(name) + root_seed)
    bulk = low + int((high - low + 1) * spread)
    surface, decay = rng.uniform(*block.surface_atoms), rng.uniform(*block.decay_nm)
    if block.balanced_counts:
        surface, decay = _balanced(block, spread)
    surface = min(surface, bulk)
    row = {
        "id": f"{name}-{index:05d}",
        "index": index,
        "seed": structure_seed(root_seed, name, index),
        "shard": index // block.shard_size,
        "split_position": round(split_position(index), 6),
        "surface": block.surfaces[index % len(block.surfaces)],
        "bulk_atoms": bulk,
        "surface_atoms": round(surface, 4),
        "decay_pm": round(1000 * decay, 2),
        "exit_fraction": round(rng.uniform(*block.exit_fraction), 4),
        "vacuum_fraction": round(rng.uniform(*block.vacuum_fraction), 4),
        "origin_x_pm": round(rng.uniform(0, period_x), 3),
        "origin_y_pm": round(rng.uniform(0, period_y), 3),
        "entrance_phase": round(rng.uniform(0, 1), 4),
    }
    exit_decay = rng.uniform(*(block.exit_decay_nm or block.decay_nm))
    row |= {
        "corner_radius_pm": round(1000 * rng.uniform(*block.corner_radius_nm), 2),
        "exit_decay_pm": row["decay_pm"] if block.exit_decay_nm is None else round(1000 * exit_decay, 2),
        "termination": block.terminations[int(rng.random() * len(block.terminations))],
        "vacancy_fraction": round(rng.uniform(*block.vacancy_fraction), 5),
        "rotation_deg": round(rng.uniform(*block.rotation_deg), 4),
        "strain_x_percent": round(rng.uniform(*block.strain_percent), 4),
        "strain_y_percent": round(rng.uniform(*block.strain_percent), 4),
    }
    tilt, azimuth = rng.uniform(*block.tilt_deg), rng.uniform(*map(math.radians, block.tilt_azimuth_deg))
    row |= {  # + 0.0 turns -0.0 into 0.0
        "tilt_x_deg": round(tilt * math.cos(azimuth), 4) + 0.0,
        "tilt_y_deg": round(tilt * math.sin(azimuth), 4) + 0.0,
    }
    outline = draw_outline(block, crystal, structure_rng(root_seed, name, index, "plan", 1))
    return row | _particle_values(block, rng) | {"outline": outline}


def _particle_values(block: Specimen, rng: np.random.Generator) -> dict:
    """Roughness, bend, neighbour and carbon."""
    row = {
        "entrance_roughness_atoms": round(rng.uniform(*block.face_roughness_atoms), 4),
        "exit_roughness_atoms": round(rng.uniform(*block.face_roughness_atoms), 4),
        "face_correlation_pm": round(1000 * rng.uniform(*block.face_correlation_nm), 2),
        "bend_mrad": round(rng.uniform(*block.bend_mrad), 4),
        "bend_deg": round(rng.uniform(0, 360), 2),
    }
    (fewest, most), there = block.neighbour_atoms, rng.random() < block.neighbour_probability
    neighbour = fewest + int((most - fewest + 1) * rng.random())
    row |= {
        "neighbour_atoms": neighbour if there else 0,
        "neighbour_share": round(rng.uniform(*NEIGHBOUR_SHARE), 4),
        "neighbour_deg": round(rng.uniform(0, 360), 2),
    }
    there, carbon = rng.random() < block.carbon_probability, 1000 * rng.uniform(*block.carbon_nm)
    return row | {
        "carbon_pm": round(carbon, 2) if there else 0.0,
        "carbon_side": "exit" if rng.random() < 0.5 else "entrance",
        "carbon_share": round(rng.uniform(*CARBON_SHARE), 4),
        "carbon_deg": round(rng.uniform(0, 360), 2),
    }


def plan_table(block: Specimen, crystal: Crystal, name: str, root_seed: int) -> pd.DataFrame:
    """The whole plan, one row a structure."""
    return pd.DataFrame([plan_row(block, crystal, name, index, root_seed) for index in range(block.structures)])


def shard_rows(plan: pd.DataFrame, shard: int) -> pd.DataFrame:
    """The rows of one shard.

    Raises
    ------
    StoreError
        The plan has no such shard.
    """
    rows = plan[plan["shard"] == shard]
    if rows.empty:
        raise StoreError(f"the plan has no shard {shard}; it has 0 to {plan['shard'].max()}")
    return rows
