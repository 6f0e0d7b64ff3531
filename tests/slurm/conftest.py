"""A SLURM, and projects that run on it with the profile and the line of the documentation."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from segdepth.cluster.reasons import reason_in

from .local_slurm import ACCOUNT, PARTITION, LocalSlurm, NoSlurm

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent

TINY = """
root_seed: 7
device: cpu
crystals:
  ceria: {structure: CeO2, zone_axis: [1, 1, 0], x_axis: [0, 0, 1], lattice_pm: 541.1}
specimens:
  tiny:
    {crystal: ceria, structures: 4, shard_size: 2, field_pm: 1352.75, margin_pm: 338.1875, bulk_atoms: [3, 5],
     decay_nm: [0.3, 0.6]}
beams:
  coarse: {pixel_pm: 12, slice_pm: 191.3}
imaging:
  lens: {defocus_nm: [2, 6], focal_steps: 5}
labels:
  rings: {core_radius_pm: {Ce: 85, O: 64}, outer_radius_pm: {Ce: 120, O: 90}}
datasets:
  small:
    {specimen: tiny, beam: coarse, imaging: lens, labels: rings, splits: {test: 0.4, validation: 0.15, train: 0.45}}
models:
  net:
    datasets: [small]
    architecture: {base_channels: 2}
    training: {crop_pixels: 64, batch_size: 2, epoch_samples: 16, epochs: 60, precision: float32}
evaluations:
  net: [small]
"""


PATIENCE_S = 1800
"""For a run; a machine that is busy takes long."""


def documented(beginning: str) -> list[str]:
    """The first line of docs/how-to/cluster.md that begins like this, as words."""
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text()
    found = re.search(rf"^{re.escape(beginning)}.*$", text, re.MULTILINE)
    assert found, f"docs/how-to/cluster.md: no line begins with {beginning}"
    return shlex.split(found[0], comments=True)


RUN = documented("snakemake --workflow-profile")
UNLOCK = documented("snakemake --unlock")
CHECK = documented("segdepth check-cluster")


class Project:
    """A folder like a clone, but for the tiny configuration; the profile's one marked place is filled in."""

    def __init__(self, folder: Path, slurm: LocalSlurm) -> None:
        self.folder, self.slurm = folder, slurm
        self.config = yaml.safe_load(TINY)
        for part in ("workflow", "envs"):
            shutil.copytree(ROOT / part, folder / part)
        (folder / "pipeline").symlink_to(ROOT / "pipeline")
        profile = folder / "workflow" / "profiles" / "slurm" / "config.yaml"
        text = profile.read_text().replace("YOUR_ACCOUNT", ACCOUNT).replace("YOUR_PARTITION", PARTITION)
        profile.write_text(text.replace("max-threads: 8", "max-threads: 2"))
        self.profile = profile
        self.write()

    def write(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    @property
    def environment(self) -> dict[str, str]:
        given = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "SLURM"))}
        found = given | self.slurm.environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "pipeline")}
        return found | {"PATH": f"{self.folder / 'bin'}:{SCRIPTS}:{found['PATH']}"}

    def run(self, *command: str, seconds: float = PATIENCE_S) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=seconds
        )

    def start(self, *command: str) -> subprocess.Popen:
        """A command in a session of its own; what it prints goes to `told`."""
        with open(self.folder / "told", "ab") as told:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=told, stderr=told, start_new_session=True
            )

    @property
    def told(self) -> str:
        return (self.folder / "told").read_text()

    def ended(self, process: subprocess.Popen, seconds: float = PATIENCE_S) -> None:
        """Wait for a success."""
        try:
            assert process.wait(seconds) == 0, self.told[-6000:]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            raise AssertionError(f"no end within {seconds:g} s: {self.told[-6000:]}") from None

    def job_of(self, rule: str, state: str = "RUNNING", seconds: float = PATIENCE_S) -> str:
        """Number of a job of a rule, as soon as there is one in that state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.slurm.run("squeue", "-h", "-o", "%i|%T|%Z|%k").splitlines():
                number, now, where, comment = line.split("|", 3)
                if now == state and where == str(self.folder) and comment.startswith(f"rule_{rule}"):
                    return number
            time.sleep(0.1)
        raise AssertionError(f"no job of {rule} is {state} after {seconds:g} s: {self.told[-3000:]}")

    def checkpointed(self, number: str) -> None:
        """Wait until the training in a job has written a checkpoint."""
        end = time.monotonic() + PATIENCE_S
        started = time.time()
        while time.monotonic() < end:
            found = self.folder.glob("results/checkpoints/net/**/last.ckpt")
            if any(path.stat().st_mtime > started for path in found):
                return
            time.sleep(0.05)
        raise AssertionError(f"no checkpoint of job {number}: {self.told[-3000:]}")

    def waves(self) -> dict[str, int]:
        """When each file of the exit waves was written."""
        return {str(path): path.stat().st_mtime_ns for path in (self.folder / "data" / "waves").rglob("*")}

    def contents(self) -> dict[str, str]:
        """Hash of the bytes of each result of the chain; of a network, which keeps its times, those of its weights."""
        found = {}
        for place in ("data", "results"):
            for path in (self.folder / place).rglob("*.manifest.json"):
                found[str(path.relative_to(self.folder))] = json.loads(path.read_text())["content"]
        for path in self.folder.glob("results/models/*/weights.safetensors"):
            found[f"{path.parent.relative_to(self.folder)}.manifest.json"] = sha256(path.read_bytes()).hexdigest()
        return found

    def finished_in_slurm(self, rule: str) -> list[str]:
        """Final states of the jobs of a rule, in the order of submission, as the accounting has them."""
        words = ("sacct", "-X", "-n", "-P", "-o", "JobIDRaw,State,Comment,WorkDir", "-S", "now-1days", "-u", "root")
        rows = [line.split("|") for line in self.slurm.run(*words).splitlines()]
        mine = [row for row in rows if row[3] == str(self.folder) and row[2].startswith(f"rule_{rule}")]
        return [row[1].split()[0] for row in sorted(mine, key=lambda row: int(row[0]))]

    def killed(self, rule: str) -> list[str]:
        """Why SLURM killed jobs of a rule, from its logs."""
        logs = (self.folder / "logs" / "slurm" / f"rule_{rule}").rglob("*.log")
        return [reason for log in sorted(logs) if (reason := reason_in(log))]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[LocalSlurm]:
    cluster = LocalSlurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
    except NoSlurm as failure:
        cluster.stop()
        pytest.skip(f"no SLURM here: {failure}")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def new_project(slurm, tmp_path_factory):
    def make(name: str) -> Project:
        return Project(tmp_path_factory.mktemp(name), slurm)

    return make
