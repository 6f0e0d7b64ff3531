"""Shards that a plan no longer has: what another number of structures or another shard size left behind."""

from __future__ import annotations

import re
from pathlib import Path

from segdepth.store.manifest import SUFFIX

KINDS = ("specimens", "waves", "images", "depth")
"""Folders below ``data`` that hold the shards of a specimen, each under its name."""

_SHARD = re.compile(rf"shard-(\d+)\.(extxyz|zarr)({re.escape(SUFFIX)})?$")


def stale_shards(data: Path, specimen: str, shards: int) -> list[Path]:
    """Shards of a specimen, and their manifests, whose numbers lie beyond those of its plan.

    Parameters
    ----------
    data : the folder ``data`` of a project.
    specimen : name of the specimen block.
    shards : how many shards the plan has; they are counted from 0.
    """
    found = []
    for kind in KINDS:
        for path in (data / kind / specimen).rglob("shard-*"):
            match = _SHARD.fullmatch(path.name)
            if match and int(match[1]) >= shards:
                found.append(path)
    return sorted(found)
