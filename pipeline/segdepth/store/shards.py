"""Shards that a plan no longer has: what another number of structures or another shard size left behind."""

from __future__ import annotations

import math
import re
from pathlib import Path

from segdepth.store.manifest import SUFFIX, manifest_path, read_manifest
from segdepth.store.run_record import RUN_SUFFIX

KINDS = {"specimens": 0, "waves": 1, "images": 2, "depth": 1}
"""Folders below ``data`` that hold shards, ``data/<kind>/<specimen>/.../shard-NNN.*``, and how many folders lie between
the specimen's and the shard."""

_SHARD = re.compile(rf"shard-([0-9]{{3,}})\.(extxyz|zarr)({re.escape(SUFFIX)}|{re.escape(RUN_SUFFIX)})?")


def shard_number(name: str) -> int | None:
    """The number in the name of a shard or of a file beside it, ``shard-007.zarr``; None for any other name."""
    match = _SHARD.fullmatch(name)
    return int(match[1]) if match and match[1] == f"{int(match[1]):03d}" else None


def stale_shards(data: Path, specimen: str, shards: int) -> list[Path]:
    """Shards of a specimen, their manifests and records of runs, whose numbers lie beyond those of its plan.

    Parameters
    ----------
    data : the folder ``data`` of a project.
    specimen : name of the specimen block.
    shards : how many shards the plan has; they are counted from 0.
    """
    found = []
    for kind, depth in KINDS.items():
        for path in (data / kind / specimen).glob("*/" * depth + "shard-*"):
            number = shard_number(path.name)
            if number is not None and number >= shards:
                found.append(path)
    return sorted(found)


def planned_shards(shard: Path) -> int | None:
    """How many shards the plan beside a shard has; None where the path is no shard's or has no whole plan beside it.

    Raises
    ------
    StoreError
        The plan's manifest cannot be read.
    """
    folders = shard.absolute().parents
    for kind, depth in KINDS.items():
        if shard_number(shard.name) is None or len(folders) < depth + 2 or folders[depth + 1].name != kind:
            continue
        plan = folders[depth + 1].parent / "specimens" / folders[depth].name / "plan.csv"
        if manifest_path(plan).exists():
            block = read_manifest(plan)["parameters"].get("specimen")
            counts = [block.get(key) for key in ("structures", "shard_size")] if isinstance(block, dict) else []
            if counts and all(isinstance(count, int) and count > 0 for count in counts):
                return math.ceil(counts[0] / counts[1])
    return None
