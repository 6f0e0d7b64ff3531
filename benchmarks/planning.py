"""What planning costs: CPU seconds, peak memory, text of `snakemake -n`, and of the Snakemake of a job on a cluster.

    python benchmarks/planning.py [--structures 1000 10000 100000] [--shard-size 18] [--made]

The project is config.yaml with another number of structures. Nothing is computed; what the jobs read are empty files.
``--made`` also plans a project in which everything is made, as Snakemake sees it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
SNAKEFILE = ROOT / "workflow" / "Snakefile"
PLAN = ("-n", "--cores", "1", "--quiet", "rules")
INNER = ("--cores", "1", "--attempt", "1", "--force-use-threads", "--force", "--nocolor", "--notemp", "--no-hooks")
INNER += ("--nolock", "--ignore-incomplete", "--mode", "remote")
"""Options with which Snakemake's plugins for clusters start a job's Snakemake."""


class Cost(NamedTuple):
    """Of one process."""

    cpu_s: float
    peak_mb: float
    text_kb: float
    text: str


def measure(folder: Path, *options: str) -> Cost:
    """A Snakemake in a folder; its failure ends the benchmark."""
    command = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(SNAKEFILE), *options]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=folder, stdout=told, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{text[-3000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, len(text) / 1000, text)


def project(folder: Path, structures: int, shard_size: int) -> int:
    """A folder with config.yaml; returns the number of shards."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["specimens"]["wedge"] |= {"structures": structures, "shard_size": shard_size}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return -(-structures // shard_size)


def stand_in(folder: Path, store: str) -> None:
    """What a job's Snakemake takes for a store and its manifest."""
    path = folder / store
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if path.suffix == ".zarr" else path.touch()
    path.with_name(f"{path.name}.manifest.json").touch()


def jobs_of(text: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == ["total"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--shard-size", type=int, default=18)
    parser.add_argument("--made", action="store_true")
    given = parser.parse_args()
    row = "{:>10} {:>7} {:>7}  {:<34} {:>8} {:>8} {:>9}"
    print(row.format("structures", "shards", "jobs", "process", "CPU s", "peak MB", "text kB"))
    for structures in given.structures:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "project"
            shards = project(folder, structures, given.shard_size)
            jobs = 0

            def show(process: str, cost: Cost) -> None:
                figures = (f"{cost.cpu_s:.1f}", f"{cost.peak_mb:.0f}", f"{cost.text_kb:.1f}")
                print(row.format(structures, shards, jobs, process, *figures), flush=True)  # noqa: B023

            plan = measure(folder, *PLAN)
            jobs = jobs_of(plan.text)
            show("snakemake -n --quiet rules", plan)
            for process, cost in inner(folder, shards):
                show(process, cost)
            if given.made:
                make_all(folder)
                show("the same, everything made", measure(folder, *PLAN))


def inner(folder: Path, shards: int) -> Sequence[tuple[str, Cost]]:
    """The Snakemake of a job that simulates a shard, and of one that trains on all shards."""
    stand_in(folder, "data/specimens/wedge/shard-000.extxyz")
    for kind in ("waves/wedge/beam300", "depth/wedge/rings"):
        for number in range(shards):
            stand_in(folder, f"data/{kind}/shard-{number:03d}.zarr")
    found = []
    for process, rule, wildcards in (
        ("a shard's job", "simulate_waves", "specimen=wedge,beam=beam300,shard=000"),
        ("a training's job", "train_model", "model=unet16"),
    ):
        job = ("--target-jobs", f"{rule}:{wildcards}", "--allowed-rules", rule)
        found.append((process, measure(folder, "-n", *job, *INNER)))
    shutil.rmtree(folder / "data")
    return found


def make_all(folder: Path) -> None:
    """Empty outputs of all jobs, which Snakemake then takes for made."""
    for line in measure(folder, "-n", "--cores", "1").text.splitlines():
        if line.startswith("    output: "):
            for output in map(folder.joinpath, line.removeprefix("    output: ").split(", ")):
                output.parent.mkdir(parents=True, exist_ok=True)
                output.touch() if output.suffix and output.suffix != ".zarr" else output.mkdir(exist_ok=True)
    measure(folder, "--touch", "--cores", "1", "--quiet", "all")


if __name__ == "__main__":
    main()
