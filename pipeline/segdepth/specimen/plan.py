"""The plan: one row a structure, with everything about it that is a number or a word.

Columns of ``plan.csv``:

``id`` (``<specimen>-NNNNN``), ``index``, ``seed``, ``shard``,
``split_position`` (compared with a data set's shares, see ``segdepth.splits``),
``surface`` (flat, stepped, sawtooth),
``bulk_atoms``, ``surface_atoms`` (thickness in atoms a column, far from the surface and at it),
``decay_pm`` (1/e length of the thinning on the entrance face), ``exit_fraction`` (the exit face's share of the
thinning), ``vacuum_fraction`` (share of the field above the surface's mean line),
``origin_x_pm``, ``origin_y_pm`` (a Ce column, in the cell), ``entrance_phase`` (height of the first plane in periods),
``corner_radius_pm`` (rounding of the surface line), ``exit_decay_pm`` (1/e length on the exit face; ``decay_pm`` where
the block has no ``exit_decay_nm``), ``termination`` (cut, Ce, O),
``oxygen_vacancy_fraction`` (share of oxygen sites missing, far from the surface),
``rotation_deg`` (in-plane, counter-clockwise with y up), ``strain_x_percent``, ``strain_y_percent`` (along the
crystal's [001] and [1-10]), ``tilt_x_deg``, ``tilt_y_deg`` (lean of the zone axis towards +x and +y on its way down the
beam; ``specimen.orientation`` says it exactly).

A value is drawn whether its block's range is open or not, in this order, and new ones are appended: what is drawn
before never changes when an option is switched on.
"""

from __future__ import annotations

import math
import re
from io import StringIO
from pathlib import Path

import pandas as pd

from segdepth.config import NAME_PATTERN, Specimen
from segdepth.errors import ConfigError, StoreError
from segdepth.seeds import hash64, structure_rng, structure_seed
from segdepth.specimen.lattice import periods_pm
from segdepth.splits import split_position
from segdepth.store.manifest import check_whole, remove, writing

COMMAND = "plan-specimens"


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


def plan_row(block: Specimen, name: str, index: int, root_seed: int) -> dict:
    """What is drawn for structure ``index`` of the specimen block called ``name``."""
    rng = structure_rng(root_seed, name, index, "plan")
    period_x, period_y, _ = periods_pm(block.lattice_pm)
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
        "oxygen_vacancy_fraction": round(rng.uniform(*block.oxygen_vacancy_fraction), 5),
        "rotation_deg": round(rng.uniform(*block.rotation_deg), 4),
        "strain_x_percent": round(rng.uniform(*block.strain_percent), 4),
        "strain_y_percent": round(rng.uniform(*block.strain_percent), 4),
    }
    tilt, azimuth = rng.uniform(*block.tilt_deg), rng.uniform(0, 2 * math.pi)
    row |= {  # + 0.0 turns -0.0 into 0.0
        "tilt_x_deg": round(tilt * math.cos(azimuth), 4) + 0.0,
        "tilt_y_deg": round(tilt * math.sin(azimuth), 4) + 0.0,
    }
    return row


def plan_table(block: Specimen, name: str, root_seed: int) -> pd.DataFrame:
    return pd.DataFrame([plan_row(block, name, index, root_seed) for index in range(block.structures)])


def read_plan(path: str | Path) -> pd.DataFrame:
    """A finished plan.

    Raises
    ------
    StoreError
        It is missing or was not finished.
    """
    check_whole(path, COMMAND)
    return pd.read_csv(path)


def shard_rows(plan: pd.DataFrame, shard: int) -> pd.DataFrame:
    rows = plan[plan["shard"] == shard]
    if rows.empty:
        raise StoreError(f"the plan has no shard {shard}; it has 0 to {plan['shard'].max()}")
    return rows


def stale_shards(root: Path, name: str, shards: int) -> list[Path]:
    """Shards (and their manifests) of a specimen that the present number of shards does not have."""
    folders = [root / "specimens" / name, root / "depth" / name, root / "waves" / name, root / "images" / name]
    pattern = re.compile(r"shard-(\d+)\.(extxyz|zarr)(\.manifest\.json)?$")
    found = []
    for folder in folders:
        for path in folder.rglob("shard-*") if folder.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match and int(match[1]) >= shards:
                found.append(path)
    return sorted(found)


def plan_specimens(block: Specimen, name: str, root_seed: int, out: Path, code: str) -> list[Path]:
    """Write ``plan.csv`` and remove the shards that another shard size left over; returns what was removed.

    ``out`` is ``<data>/specimens/<name>/plan.csv``; the data folder is found from it.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"--name: got {name!r}; a name has letters, digits, _ and -, and begins with one of the first two"
        )
    table = plan_table(block, name, root_seed)
    text = StringIO()
    table.to_csv(text, index=False, lineterminator="\n")
    with writing(
        out,
        command=COMMAND,
        code=code,
        parameters={"specimen": block.model_dump(mode="json"), "name": name},
        seeds={"root_seed": root_seed},
    ) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    removed = []
    if out.parent.parent.name == "specimens" and out.parent.name == name:
        removed = stale_shards(out.parent.parent.parent, name, block.shards)
        for path in removed:
            remove(path)
    return removed
