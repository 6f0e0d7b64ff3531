"""Compare every artefact of a project with its manifest, and Zarr's chunks with their checksums: which are damaged,
which are stale."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
from tqdm import tqdm

from segdepth.errors import StoreError
from segdepth.store.manifest import SUFFIX, content_hash, file_hash, files_of, manifest_path, read_manifest
from segdepth.store.remaking import remedy
from segdepth.store.shards import planned_shards, shard_number

UNFINISHED = (".zarr", ".extxyz")
"""Suffixes of artefacts: without a manifest they are unfinished."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with an artefact, with the command that makes it again."""

    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def artefacts_below(places: Iterable[Path]) -> list[Path]:
    """Every artefact at or below some places: those with a manifest, and those that lack theirs.

    Raises
    ------
    StoreError
        A place does not exist.
    """
    found: set[Path] = set()
    for place in places:
        if not place.exists():
            raise StoreError(f"{place}: does not exist")
        if place.name in ("", "..") and place.resolve().name:  # ".", which may lie in a store; "/" stays without a name
            place = place.resolve() if manifest_path(place.resolve()).exists() else place
        if place.is_file():
            place = place.with_name(place.name.removesuffix(SUFFIX))
        if not place.is_dir() or (place.name and manifest_path(place).exists()):
            found.add(place)
            continue
        for folder, folders, files in os.walk(place):
            here = Path(folder)
            named = {name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)}
            unfinished = {name for name in (*folders, *files) if name.endswith(UNFINISHED) and not name.startswith(".")}
            found.update(here / name for name in named | unfinished)
            folders[:] = [name for name in folders if name not in named | unfinished and not name.startswith(".")]
    return sorted(found)


def check(artefact: Path) -> Finding | None:
    """Read the whole of an artefact, and compare its recorded inputs with those present."""
    if (shards := _planned(artefact)) is not None and shard_number(artefact.name) >= shards:
        return Finding(artefact, f"is stale: its plan has {shards} shards, from 000; remove it: segdepth clean-shards")
    try:
        manifest = read_manifest(artefact)
    except StoreError as failure:
        return Finding(artefact, str(failure).removeprefix(f"{artefact}: "))
    if not artefact.exists():
        return Finding(artefact, f"does not exist, though its manifest does; {remedy(artefact)}")
    content, damaged = _read(artefact)
    if damaged:
        many = f"{len(damaged)} chunks are damaged ({damaged[0]}, ...)"
        which = f"the chunk {damaged[0]} is damaged" if len(damaged) == 1 else many
        return Finding(artefact, f"{which}; {remedy(artefact)}")
    if content != manifest["content"]:
        return Finding(artefact, f"was edited or damaged since it was made; {remedy(artefact)}")
    for given in manifest["inputs"]:
        path = Path(os.path.normpath(artefact.parent / given["path"]))
        if path.exists() and _content(path) not in (None, given["content"]):
            return Finding(artefact, f"is stale: {path} has changed since it was made from it; {remedy(artefact)}")
    return None


def _read(artefact: Path) -> tuple[str, list[str]]:
    """The content hash of an artefact, and its Zarr chunks whose checksum is not theirs; each file is read once."""
    if artefact.is_file():
        return file_hash(artefact), []
    digest, damaged, arrays = hashlib.sha256(), [], {}
    for path in sorted(files_of(artefact)):
        name = path.relative_to(artefact).as_posix()
        if _is_checked(path, artefact, arrays):
            data = path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if google_crc32c.value(data[:-4]).to_bytes(4, "little") != data[-4:]:
                damaged.append(name)
        else:
            found = file_hash(path)
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest(), damaged


def _is_checked(path: Path, artefact: Path, arrays: dict[Path, bool]) -> bool:
    """Whether a file is a Zarr chunk that ends in a CRC32C; ``arrays`` keeps the answers by folder."""
    parts = path.relative_to(artefact).parts
    for at, part in enumerate(parts[:-1]):
        if part == "c":
            folder = artefact.joinpath(*parts[:at])
            if folder not in arrays:
                arrays[folder] = _last_codec(folder) == "crc32c"
            if arrays[folder]:
                return True
    return False


def _last_codec(folder: Path) -> str | None:
    """Name of an array's last codec; None where the folder holds no array."""
    try:
        return json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["codecs"][-1]["name"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _planned(artefact: Path) -> int | None:
    try:
        return planned_shards(artefact)
    except StoreError:  # it is reported for the plan itself
        return None


def _content(path: Path) -> str | None:
    """The content of an input by its manifest, or as it is where it has none; None if that is reported for the input
    itself."""
    if not path.with_name(path.name + SUFFIX).exists():
        return None if path.name.endswith(UNFINISHED) else content_hash(path)
    try:
        return read_manifest(path)["content"]
    except StoreError:
        return None


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def verify(places: Iterable[Path]) -> tuple[int, list[Finding]]:
    """Check every artefact at or below some places, several at a time, with a progress bar in bytes.

    Returns
    -------
    how many there are, and what was found, sorted by path.
    """
    artefacts = artefacts_below(places)
    sizes = {path: _size(path) for path in artefacts}
    found = []
    total = sum(sizes.values())
    bar = tqdm(total=total, desc="verify", unit="B", unit_scale=True, mininterval=0.5, disable=None if total else True)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in as_completed(running := {pool.submit(check, path): path for path in artefacts}):
            bar.update(sizes[running[done]])
            if finding := done.result():
                found.append(finding)
    return len(artefacts), sorted(found, key=lambda finding: finding.path)
