"""One byte of one file is changed, its time stamp kept: verify finds it, its reader refuses it, both name the path."""

from __future__ import annotations

import os
import random
from itertools import cycle, islice
from pathlib import Path

import pytest

from segdepth.store.manifest import SUFFIX
from segdepth.store.run_record import RUN_SUFFIX

from . import warm
from .conftest import Reference, Trial
from .project import TinyProject, read_all
from .test_kills import RULES

pytestmark = pytest.mark.faults

SEED = 17
FLIPS = 8
"""For each rule."""


def _flip(path: Path, draw: random.Random) -> bytes:
    """Change a random bit of a random byte; returns the bytes before."""
    before, stamp = path.read_bytes(), path.stat()
    at = draw.randrange(len(before))
    _write(path, before[:at] + bytes([before[at] ^ 1 << draw.randrange(8)]) + before[at + 1 :], stamp)
    return before


def _write(path: Path, data: bytes, stamp: os.stat_result) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def _kinds(work: TinyProject, name: str) -> dict[str, list[Path]]:
    """Files of an artefact by kind: chunks of Zarr arrays, headers of stores, other data, what lies beside it."""
    path = work.folder / name
    inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    found: dict[str, list[Path]] = {}
    for one in inside:
        is_chunk = "c" in one.relative_to(path).parts[:-1] or one.parent.name == "c"
        kind = "chunk" if is_chunk else "header" if one.name == "zarr.json" else one.suffix.lstrip(".")
        found.setdefault(kind, []).append(one)
    for kind, end in (("manifest", SUFFIX), ("record", RUN_SUFFIX)):
        found[kind] = [path.with_name(path.name + end)]
    return found


def _reading(reference: Reference, name: str, kind: str, elsewhere: Path) -> list[str] | None:
    """A command that reads an artefact; None for a chunk, of which commands read those that they need."""
    if kind == "chunk":
        return None
    readers = [job for job in reference.jobs if name in job.arguments and name not in job.makes]
    if not readers:
        return ["trace", name]
    return readers[0].to(str(elsewhere / Path(readers[0].out).name))


@pytest.mark.parametrize("rule", RULES)
def test_a_flipped_byte(reference: Reference, work: TinyProject, tmp_path, rule: str):
    trial, draw = Trial("flipped bytes"), random.Random(f"{SEED} {rule}")
    names = sorted(name for job in reference.jobs_of(rule) for name in job.makes)
    for kind in islice(cycle(sorted({kind for name in names for kind in _kinds(work, name)})), FLIPS):
        name = draw.choice([name for name in names if kind in _kinds(work, name)])
        path = draw.choice(_kinds(work, name)[kind])
        stamp = path.stat()
        before = _flip(path, draw)
        problems = []
        found = warm.run(["verify", name], work.folder)
        if found.status != 1 or name not in found.told or "1 damaged or stale" not in found.told:
            problems.append(f"verify ends with {found.status}: {found.told}")
        arguments = _reading(reference, name, kind, tmp_path)
        read = warm.run(arguments or [name], work.folder, run=None if arguments else read_all)
        if read.status not in ((1, 2) if arguments and arguments[0] == "trace" else (2,)):
            problems.append(f"{(arguments or ['reading'])[0]} ends with {read.status}: {read.told[-1500:]}")
        elif name not in read.told or "Traceback" in read.told:
            problems.append(f"{(arguments or ['reading'])[0]} does not name it in one line: {read.told[-1500:]}")
        _write(path, before, stamp)
        trial.one(f"{path.relative_to(work.folder)} ({kind})", problems)
    assert work.contents() == reference.contents
    trial.end()


def test_verify_finds_all_at_once(reference: Reference, work: TinyProject):
    draw = random.Random(SEED)
    names = sorted(reference.contents)
    for name in names:
        _flip(draw.choice(draw.choice(list(_kinds(work, name).values()))), draw)
    found = warm.run(["verify"], work.folder)
    lines = found.told.splitlines()
    assert found.status == 1 and f"{len(names)} checked, {len(names)} damaged or stale" in lines
    for name in names:
        assert any(line.startswith(name) for line in lines), name
