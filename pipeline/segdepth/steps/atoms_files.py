"""Atoms files: the frames of a finished shard, in ASE's units (Å)."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms

from segdepth.errors import StoreError
from segdepth.store.manifest import check_whole


def read_atoms(path: str | Path) -> list[Atoms]:
    """The frames of a finished shard.

    Raises
    ------
    StoreError
        The file is missing, was not finished or cannot be read.
    """
    check_whole(path, "build-specimens")
    try:
        return ase.io.read(path, index=":", format="extxyz")
    except Exception as failure:  # ASE raises many kinds; the reader needs one line
        raise StoreError(f"{path}: cannot be read as extxyz ({failure})") from failure
