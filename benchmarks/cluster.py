"""What configurations cost on a cluster: core hours, memory, disk, hours on 1, 10 and 100 nodes, hours of trainings.

    python benchmarks/cluster.py [CORES A NODE]

The jobs are those that `snakemake -n` lists in an empty folder; what each costs is in `segdepth.cluster.costs`, whose
rates were measured. Data are made on all cores at once; a training runs on 8 cores of a node, or on a GPU.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from segdepth.cluster.costs import Cost, Costs
from segdepth.cluster.profile import laid_over
from segdepth.config import Config, read_yaml, validate

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "workflow" / "presets"
CONFIGURATIONS = {
    "`config.yaml`": ((), 1, "auto", ()),
    "`workstation`": (("benchmarks", "workstation"), 1, "auto", ()),
    "`paper`": (("paper_quick", "paper"), 1, "cuda", ()),
    "100 times `paper`": (("paper_quick", "paper"), 100, "cuda", ()),
    "`paper_quick -- paper`": (("paper_quick",), 1, "auto", ("paper",)),
    "`paper_workstation -- paper`": (("paper_quick", "paper_workstation"), 1, "auto", ("paper",)),
    "`paper -- paper`": (("paper_quick", "paper"), 1, "cuda", ("paper",)),
}
"""Presets, how often their work, the device, and what is asked for."""

NODES = (1, 10, 100)
SNAKEMAKES_S = 6.0
"""Of the two that start in each job."""

LIGHT = Cost(15, 1500)
"""Figures and tables."""

TRAININGS = ("train_model",)
WILDCARDS = {
    "build_specimens": ("specimen",),
    "project_depth": ("specimen", "labels"),
    "simulate_waves": ("specimen", "beam"),
    "form_images": ("specimen", "beam", "imaging"),
    "train_model": ("model",),
    "evaluate_model": ("model", "dataset"),
    "measure_denoiser": ("model", "dataset"),
}
"""What a rule's cost depends on."""

COSTED_AS = {"measure_denoiser": "evaluate_model"}
"""Rules that cost what another one does."""


def jobs(config: dict, targets: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rule and wildcards of each job of a configuration of which nothing is made yet."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config))
        (Path(folder) / "workflow").symlink_to(ROOT / "workflow")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-n",
            "--cores",
            "8",
            "--workflow-profile",
            "none",
            "--",
            *targets,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    rule = ""
    for line in done.stdout.splitlines():
        if found := re.match(r"(?:local)?rule (\w+):", line):
            if rule:
                yield rule, {}
            rule = found[1]
        elif rule and (found := re.match(r"    wildcards: (.*)", line)):
            yield rule, dict(pair.split("=", 1) for pair in found[1].split(", "))
            rule = ""
    if rule:
        yield rule, {}


def costs_of(presets: tuple[str, ...], device: str, targets: tuple[str, ...]) -> list[tuple[str, Cost]]:
    """Rule and cost of each job."""
    config = read_yaml(ROOT / "config.yaml")
    for name in presets:
        config = laid_over(config, read_yaml(PRESETS / f"{name}.yaml"))
    costs = Costs(validate(Config, config | {"device": device}, "config.yaml"))
    found = []
    for rule, wildcards in jobs(config, targets):
        names = [wildcards[name] for name in WILDCARDS.get(rule, ())]
        found.append((rule, getattr(costs, COSTED_AS.get(rule, rule))(*names) if names else LIGHT))
    return [(rule, cost) for rule, cost in found if rule not in ("all", "paper")]


def row(label: str, presets: tuple[str, ...], times: int, device: str, targets: tuple[str, ...], cores: int) -> str:
    """A line of the table."""
    found = costs_of(presets, device, targets)
    trainings = [cost for rule, cost in found if rule in TRAININGS]
    rest = [cost for rule, cost in found if rule not in TRAININGS]
    core_s = times * sum(cost.seconds + SNAKEMAKES_S for cost in rest)
    longest = max(cost.seconds / cost.threads for cost in rest)
    hours = [max(core_s / (nodes * cores), longest) / 3600 for nodes in NODES]
    learnt = [times * cost.seconds / (cost.gpu_cores or 0.8 * min(cores, cost.threads)) for cost in trainings]
    disk = times * sum(cost.disk for _, cost in found) / 1e9
    memory = max(cost.megabytes for _, cost in found) / 1000
    words = [label, f"{times * len(found):,}", _short(memory), _short(disk), _short(core_s / 3600)]
    words += [*map(_short, hours), _hours(learnt)]
    return "| " + " | ".join(words) + " |"


def _hours(seconds: list[float]) -> str:
    """Each, or of many the longest and the sum."""
    hours = sorted((each / 3600 for each in seconds), reverse=True)
    if len(hours) <= 2:
        return " and ".join(map(_short, hours))
    return f"longest {_short(hours[0])}, all {len(hours)} together {_short(sum(hours))}"


def _short(number: float) -> str:
    """Two digits."""
    return f"{float(f'{number:.2g}'):,g}"


def main() -> None:
    cores = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    print(f"nodes of {cores} cores")
    heads = ["configuration", "jobs", "GB a job", "GB on the disk", "core hours of data and evaluation"]
    heads += [*(f"hours on {nodes} node{'s' * (nodes > 1)}" for nodes in NODES), "hours of each training"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for label, (presets, times, device, targets) in CONFIGURATIONS.items():
        print(row(label, presets, times, device, targets, cores))


if __name__ == "__main__":
    main()
