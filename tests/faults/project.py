"""The tiny project of the faults: what undisturbed runs make, and what of it is whole."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from segdepth.errors import StoreError
from segdepth.store.manifest import SUFFIX, check_whole
from segdepth.store.run_record import RUN_SUFFIX
from segdepth.store.verify import Finding, artefacts_below, check
from segdepth.store.zarr_store import open_zarr

from ..workflow.conftest import ROOT, TINY

SCRIPTS = Path(sys.executable).parent
PLACES = ("data", "results")
BESIDE = ("", SUFFIX, RUN_SUFFIX)
"""What an artefact's name ends in, and those of the files beside it."""

PATIENCE_S = 900
"""For a run; a machine that is busy takes long."""

MORE = """
specimens:
  wide: {crystal: ceria, structures: 1, shard_size: 1, field_pm: 2705.5, margin_pm: 338.1875, bulk_atoms: [3, 5],
         surface_atoms: [2, 3], vacuum_fraction: [0.35, 0.4], decay_nm: [0.3, 0.6]}
datasets:
  wide:
    {specimen: wide, beam: coarse, imaging: lens, labels: rings, dose_lambda: 20,
     splits: {test: 1, validation: 0, train: 0}}
micrographs:
  wide: {dataset: wide, defocus_nm: 6, pixel_pm: 6.76375}
lens_fits:
  wide: {crystal: ceria, micrograph: wide, energy_kev: 300}
predictions:
  wide: {model: bundled, micrograph: wide, calibrate: false, pixel_pm: 6.76375, rotation_deg: 0, dose_e_per_a2: 7000}
models:
  other: &other
    datasets: [small]
    architecture: {variant: space_to_depth, base_channels: 2}
    training:
      {crop_pixels: 64, batch_size: 2, epoch_samples: 8, epochs: 1, precision: float32, learning_rate: 0.0003}
  denoiser: {<<: *other, task: denoise}
  denoised: {<<: *other, denoiser: results/models/denoiser}
  joint: {<<: *other, task: denoise_and_depth}
paper:
  {dataset: small, confusion_dataset: small_lambda1, shown: net, widths: [other], segmentation: other,
   denoised: denoised, joint: joint,
   dose_datasets: [small_lambda1], dose_widths: [other], dose_trained: [other], gradient_lambda: [1]}
films:
  surface: {dataset: wide, frames: 3, dose_lambda: [20], pixel_pm: 6.76375, changing_columns: 2, dwell_s: [0.1, 0.3]}
prediction_sets:
  promise: {calibration: small, tests: [small_lambda1]}
yardsticks:
  known: {dataset: small, pixel_pm: [6.8, 7], dose_lambda: [20, 25], observed_columns: 1}
tables:
  networks: {rows: [{label: two channels, models: [net], dataset: small}]}
export: {model: net, card_datasets: [small]}
limit_maps:
  thin: {dataset: small, structures: 1, columns: 1, defocus_nm: [3, 6], c3_um: [-9], dose_lambda: [2.5]}
"""
"""What the tiny project has beside the configuration of ``tests/workflow``: a section for each kind of result."""

TARGETS = (
    "paper",
    "results/figures/fig12_film_bundled_surface.png",
    "results/figures/film_scores_bundled_surface.png",
    "results/figures/limit_map_thin.png",
    "results/figures/limits_net_small.png",
    "results/export/net",
    "results/sets/net/promise.csv",
    "results/tables/networks.csv",
    "results/tables/yardsticks_net.csv",
    "results/explanations/wide/wide",
)


def size(path: Path) -> int:
    """Of a file or of all in a folder, in bytes."""
    return path.stat().st_size if path.is_file() else sum(size(inner) for inner in path.iterdir())


@dataclass(frozen=True)
class Job:
    """A job of the workflow: its rule, its command without ``segdepth``, what it reads, and what it makes (first what
    the command is told to)."""

    rule: str
    arguments: list[str]
    reads: frozenset[str]
    makes: tuple[str, ...]

    @property
    def out(self) -> str:
        return self.arguments[self.arguments.index("--out") + 1]

    def to(self, out: str) -> list[str]:
        """The command with another output."""
        at = self.arguments.index("--out") + 1
        return [*self.arguments[:at], out, *self.arguments[at + 1 :]]


class TinyProject:
    """A folder in which the workflow runs on the tiny configuration, in fewer shards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config, more = yaml.safe_load(TINY), yaml.safe_load(MORE)
        config |= {section: config.get(section, {}) | block for section, block in more.items()}
        config["specimens"]["tiny"]["shard_size"] = 3
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    def copy(self, folder: Path) -> TinyProject:
        shutil.copytree(self.folder, folder, symlinks=True)
        return TinyProject(folder)

    @property
    def environment(self) -> dict[str, str]:
        given = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        path = f"{SCRIPTS}{os.pathsep}{given['PATH']}"
        return given | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "pipeline")}

    def start(self, *options: str, told: str = "told") -> subprocess.Popen:
        """Snakemake with these options in a process group of its own; what it prints goes to a file."""
        command = [str(SCRIPTS / "snakemake"), "--snakefile", str(ROOT / "workflow" / "Snakefile"), "--cores", "1"]
        with open(self.folder / told, "w") as output:
            return subprocess.Popen(
                [*command, *options], cwd=self.folder, env=self.environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def snakemake(self, *options: str, told: str = "told") -> tuple[int, str]:
        """Its exit status, and what it printed."""
        process = self.start(*options, told=told)
        try:
            status = process.wait(PATIENCE_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return status, (self.folder / told).read_text()

    def artefacts(self) -> list[str]:
        """Paths of all artefacts that have a manifest."""
        found = artefacts_below(self.folder / place for place in PLACES if (self.folder / place).exists())
        return [str(path.relative_to(self.folder)) for path in found if path.with_name(path.name + SUFFIX).exists()]

    def contents(self) -> dict[str, str]:
        """Hash of the bytes of each artefact that has a manifest, by its path."""
        return {name: self.recorded(name) for name in self.artefacts()}

    def recorded(self, name: str) -> str:
        """The content hash in an artefact's manifest."""
        return json.loads((self.folder / f"{name}{SUFFIX}").read_text())["content"]

    def findings(self) -> list[Finding]:
        """What ``segdepth verify`` finds, with the paths as they are in the project."""
        places = [self.folder / place for place in PLACES if (self.folder / place).exists()]
        return [found for path in artefacts_below(places) if (found := check(path))]

    def taken_for_whole(self, name: str) -> bool:
        """Whether a reader takes an artefact for whole."""
        try:
            check_whole(self.folder / name)
        except StoreError:
            return False
        return True

    def remains(self) -> list[str]:
        """Temporary files of writers."""
        found = [path for place in PLACES for path in (self.folder / place).rglob(".*")]
        return [str(path.relative_to(self.folder)) for path in found if path.name != ".snakemake_timestamp"]

    def jobs(self) -> list[Job]:
        """The jobs that a dry run of everything prints, in an order in which they can run."""
        status, told = self.snakemake("--dry-run", "--forceall", "--printshellcmds", "--", *TARGETS, told="planned")
        assert status == 0, told
        paragraphs = re.split(r"^(?:local)?rule ", told, flags=re.MULTILINE)[1:]
        return [_job(text) for text in paragraphs if "\nShell command: None" not in text]


def _job(text: str) -> Job:
    """The job of a paragraph of a dry run, from behind the word ``rule``."""
    (command,) = re.findall(r"^Shell command: (.*segdepth .*)$", text, re.MULTILINE)
    words = shlex.split(command)
    words = words[words.index("segdepth") + 1 :]
    arguments = words[: min(words.index(end) for end in (">", "2>&1") if end in words)]
    out = arguments[arguments.index("--out") + 1]
    reads, makes = (_files(text, kind) for kind in ("input", "output"))
    makes = [name for name in makes if not name.endswith((SUFFIX, RUN_SUFFIX))]
    assert out in makes, text
    return Job(text[: text.index(":")], arguments, frozenset(reads), (out, *(name for name in makes if name != out)))


def _files(text: str, kind: str) -> list[str]:
    found = re.search(rf"^    {kind}: (.*)$", text, re.MULTILINE)
    return found[1].split(", ") if found else []


def sorted_by_inputs(jobs: list[Job]) -> list[Job]:
    """Jobs in an order in which each finds what it reads."""
    waiting, done = list(jobs), []
    while waiting:
        missing = {name for job in waiting for name in job.makes}
        ready = [job for job in waiting if not missing & job.reads]
        assert ready, "jobs wait for each other"
        done += ready
        waiting = [job for job in waiting if job not in ready]
    return done


def read_all(arguments: list[str]) -> None:
    """Read the artefact of this path with the functions that the commands of the chain read it with."""
    path = Path(arguments[0])
    try:
        check_whole(path)
        for header in sorted(path.rglob("zarr.json")):
            if (header.parent.parent / "zarr.json").exists():  # an array in a store
                continue
            part = header.parent.relative_to(path).as_posix()
            with open_zarr(path, part=None if part == "." else part) as store:
                store.load()
    except StoreError as failure:
        sys.stderr.write(f"segdepth: error: {failure}\n")
        sys.exit(2)
