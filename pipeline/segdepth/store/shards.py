"""Shards of a specimen that its plan no longer has."""

from __future__ import annotations

import re
from pathlib import Path


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
