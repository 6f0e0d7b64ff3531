"""Each command of the chain on a disk that is too small: one line with the path, and what was whole stays whole."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from segdepth.store.manifest import content_hash, remove
from segdepth.store.run_record import RUN_SUFFIX

from . import warm
from .conftest import Reference, Trial
from .project import BESIDE, Job, TinyProject, size
from .test_kills import RULES

pytestmark = pytest.mark.faults

SEED = 17
PAGE = 4096
ENOUGH = 1 << 26


class Disk:
    """A small disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={ENOUGH}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk")

    def leave(self, room: int) -> None:
        """Make it smaller or larger, so that so many bytes are free."""
        used = shutil.disk_usage(self.folder).used
        pages = max(1, -(-(used + room) // PAGE))
        subprocess.run(["mount", "-o", f"remount,size={pages * PAGE}", str(self.folder)], check=True)

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def disks(tmp_path) -> Iterator:
    mounted: list[Disk] = []

    def make(folder: Path) -> Disk:
        mounted.append(Disk(folder))
        return mounted[-1]

    yield make
    for disk in mounted:
        disk.remove()


@pytest.mark.parametrize("rule", RULES)
def test_a_command_on_a_full_disk(reference: Reference, work: TinyProject, disks, tmp_path, rule: str):
    trial, draw = Trial("full disks"), random.Random(f"{SEED} {rule}")
    for existed in (False, True):
        job, share = draw.choice(reference.jobs_of(rule)), draw.uniform(0, 0.9)
        disk = disks(tmp_path / f"disk-{existed}")
        places = [disk.folder / Path(name).name for name in job.makes]
        if existed:
            for name, place in zip(job.makes, places):
                for end in BESIDE:
                    _copy(work.folder / f"{name}{end}", place.with_name(f"{place.name}{end}"))
        arguments = _on_disk(job, places[0], checkpoints=not existed)
        before = _contents(disk.folder)
        disk.leave(int(share * max(size(work.folder / name) for name in job.makes)))  # a pair is written in turn
        ended = warm.run(arguments, work.folder)
        disk.leave(ENOUGH)
        problems = []
        if not ended.is_refused:
            problems.append(f"ends with {ended.status}: {ended.told[-1500:]}")
        elif not (str(disk.folder) in ended.errors[0] and ended.errors[0].endswith(": No space left on device")):
            problems.append(f"does not name the path: {ended.errors[0]}")
        after = _contents(disk.folder)
        lost = [path for path, content in before.items() if after.get(path) != content and RUN_SUFFIX not in path]
        problems += [f"{path} was whole and is lost" for path in lost]
        problems += [f"{path} remains" for path in after if ".partial" in path or ".lock" in path]
        again = warm.run(arguments, work.folder)
        if again.status:
            problems.append(f"with room it ends with {again.status}: {again.told[-1500:]}")
        trial.one(f"{rule}, room for {share:.0%}, {'replacing' if existed else 'new'}", problems)
    trial.end()


def _on_disk(job: Job, out: Path, checkpoints: bool) -> list[str]:
    """The command with its output on the disk, those of a training's checkpoints too."""
    arguments = job.to(str(out))
    if checkpoints and "--checkpoints" in arguments:
        arguments[arguments.index("--checkpoints") + 1] = str(out.parent / "checkpoints")
    return arguments


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _contents(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): content_hash(path) for path in found}


def test_a_run_on_a_full_disk(reference: Reference, work: TinyProject, disks):
    """Snakemake shows the line, and the same line again, with room, makes the same."""
    trial = Trial("full disks")
    remove(work.folder / "data" / "images")
    disk = disks(work.folder / "data" / "images")
    disk.leave(100_000)
    target = "data/images/tiny/coarse/lens/shard-001.zarr"
    status, told = work.snakemake(target)
    problems = [] if status == 1 else [f"ends with {status}"]
    if f"segdepth: error: {target}: No space left on device" not in told:
        problems.append(f"does not name the path: {told[-2000:]}")
    disk.leave(ENOUGH)
    status, told = work.snakemake(*[f"data/images/tiny/coarse/lens/shard-{number:03d}.zarr" for number in range(2)])
    if status or work.contents() != reference.contents:
        problems.append(f"with room it does not make the same: {told[-2000:]}")
    trial.one("Snakemake", problems)
    trial.end()
