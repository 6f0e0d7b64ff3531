"""Plans and atoms files: tables and frames of the chain, and atoms from elsewhere. ASE's units (Å)."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pandas as pd
from ase import Atoms

from segdepth.errors import StoreError
from segdepth.store.manifest import check_whole, manifest_path

PLAN_COMMAND = "plan-specimens"
ATOMS_COMMAND = "build-specimens"


def read_plan(path: str | Path) -> pd.DataFrame:
    """A finished plan.

    Raises
    ------
    StoreError
        It is missing or was not finished.
    """
    check_whole(path, PLAN_COMMAND)
    return pd.read_csv(path)


def read_atoms(path: str | Path) -> list[Atoms]:
    """The frames of an extxyz file: of a finished shard, or of any file that has no manifest beside it.

    Raises
    ------
    StoreError
        The file is missing, differs from its manifest, cannot be read or holds no atoms.
    """
    path = Path(path)
    if manifest_path(path).exists():
        check_whole(path, ATOMS_COMMAND)
    elif not path.is_file():
        raise StoreError(f"{path}: there is no such file of atoms; build-specimens makes one of a plan")
    try:
        frames = ase.io.read(path, index=":", format="extxyz")
    except Exception as failure:  # ASE raises many kinds; the reader needs one line
        raise StoreError(f"{path}: cannot be read as extxyz ({failure})") from failure
    if not frames or not all(len(frame) for frame in frames):
        raise StoreError(f"{path}: holds {'a frame without atoms' if frames else 'no frame of atoms'}")
    return frames
