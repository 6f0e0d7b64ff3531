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
from pathlib import Path

import pytest
import yaml

from segdepth.cluster.reasons import reason_in

from .local_slurm import ACCOUNT, PARTITION, STATE, LocalSlurm, NoSlurm

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


PATIENCE_S = 600
"""For one wait; a machine that is busy takes long."""

BUDGET_S = 1320
"""For all of them together: once it is spent, what still waits fails at once."""

IN_THE_PROFILE = {
    "YOUR_ACCOUNT": ACCOUNT,
    "YOUR_PARTITION": PARTITION,
    "max-threads: 8": "max-threads: 1",
    "status-checks: 10": "status-checks: 3",
}
"""What the tests write there: the names; the threads of a training, whose number decides its last bits (inside a job
Snakemake has as many as the machine lets it, which is not the same everywhere); shorter waiting."""

LOCAL = ("snakemake", "--cores", "2", "--max-threads", "1")
"""A run without SLURM, with the profile's number of threads."""


_first_wait: list[float] = []


def patience(most: float = PATIENCE_S) -> float:
    """Seconds that a wait may take which begins now."""
    if not _first_wait:
        _first_wait.append(time.monotonic())
    return max(1.0, min(most, _first_wait[0] + BUDGET_S - time.monotonic()))


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
        self.started: list[subprocess.Popen] = []
        for part in ("workflow", "envs"):
            shutil.copytree(ROOT / part, folder / part)
        (folder / "pipeline").symlink_to(ROOT / "pipeline")
        profile = folder / "workflow" / "profiles" / "slurm" / "config.yaml"
        self.profile = profile
        for there, here in IN_THE_PROFILE.items():
            self.edit_profile(there, here)
        self.write()

    def edit_profile(self, there: str, here: str) -> None:
        text = self.profile.read_text()
        assert there in text, f"workflow/profiles/slurm: no {there!r}"
        self.profile.write_text(text.replace(there, here))

    def write(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    @property
    def environment(self) -> dict[str, str]:
        given = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "SLURM"))}
        found = given | self.slurm.environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "pipeline")}
        return found | {"PATH": f"{self.folder / 'bin'}:{SCRIPTS}:{found['PATH']}"}

    def run(self, *command: str, seconds: float = 120) -> subprocess.CompletedProcess:
        """A command to its end; what it starts is killed with it."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        try:
            told, errors = process.communicate(timeout=patience(seconds))
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"{shlex.join(command)}: no end within {seconds:g} s") from None
        return subprocess.CompletedProcess(command, process.returncode, told, errors)

    def start(self, *command: str) -> subprocess.Popen:
        """A command in a session of its own; what it prints goes to `told`."""
        with open(self.folder / "told", "ab") as told:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs here."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @property
    def told(self) -> str:
        return (self.folder / "told").read_text()

    def ended(self, process: subprocess.Popen) -> None:
        """Wait for a success."""
        seconds = patience()
        try:
            assert process.wait(seconds) == 0, self.told[-6000:]
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"no end within {seconds:.0f} s: {self.told[-6000:]}") from None

    def job_of(self, process: subprocess.Popen, rule: str, unlike: str = "") -> str:
        """Number of a job of a rule, as soon as there is one that runs."""
        end = time.monotonic() + patience()
        while time.monotonic() < end and process.poll() is None:
            for line in self.slurm.run("squeue", "-h", "-o", "%i|%T|%Z|%k").splitlines():
                number, now, where, comment = line.split("|", 3)
                if (
                    (now, where) == ("RUNNING", str(self.folder))
                    and comment.startswith(f"rule_{rule}")
                    and number != unlike
                ):
                    return number
            time.sleep(0.1)
        raise AssertionError(f"no job of {rule} was seen running: {self.told[-3000:]}")

    def checkpointed(self, process: subprocess.Popen, number: str) -> None:
        """Wait until the training in a job has written a checkpoint."""
        end = time.monotonic() + patience()
        started = time.time()
        while time.monotonic() < end and process.poll() is None:
            found = self.folder.glob("results/checkpoints/net/**/last.ckpt")
            if any(path.stat().st_mtime > started for path in found):
                return
            time.sleep(0.05)
        raise AssertionError(f"no checkpoint of job {number}: {self.told[-3000:]}")

    def kill_training(self, number: str) -> None:
        """kill -9 of the training that runs in a job."""
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"train-model" in words and f"SLURM_JOB_ID={number}".encode() in (
                    (process / "environ").read_bytes().split(b"\0")
                ):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
            except (OSError, ProcessLookupError):
                continue  # it ended meanwhile
        assert killed == 1, f"job {number}: {killed} trainings"

    def stop_jobs_left(self) -> None:
        """What the page says after Snakemake was killed: the printed line, then the check until it prints none."""
        end, stopped = time.monotonic() + patience(120), 0
        while lines := [line for line in self.run(*CHECK).stdout.splitlines() if "stop them: " in line]:
            assert len(lines) == 1 and time.monotonic() < end, lines
            if not stopped:
                stop = shlex.split(lines[0].split("stop them: ")[1])
                assert stop[0] == "scancel", lines
                self.slurm.run(*stop)
            stopped += 1
            time.sleep(0.5)
        assert stopped, "no job of the killed Snakemake was found"

    def waves(self) -> dict[str, int]:
        """When each file of the exit waves was written."""
        return {str(path): path.stat().st_mtime_ns for path in (self.folder / "data" / "waves").rglob("*")}

    def contents(self) -> dict[str, str]:
        """Hash of the bytes of each result of the chain."""
        found = {}
        for place in ("data", "results"):
            for path in (self.folder / place).rglob("*.manifest.json"):
                found[str(path.relative_to(self.folder))] = json.loads(path.read_text())["content"]
        return found

    def finished_in_slurm(self, name: str) -> list[str]:
        """Final states of the jobs of a rule or group, in the order of submission, as the accounting has them."""
        words = ("sacct", "-X", "-n", "-P", "-o", "JobIDRaw,State,Comment,WorkDir", "-S", "now-1days", "-u", "root")
        end = time.monotonic() + 60
        while True:  # the accounting comes later than the queue
            rows = [line.split("|") for line in self.slurm.run(*words).splitlines()]
            mine = [row for row in rows if row[3] == str(self.folder) and re.match(rf"(rule|group)_{name}", row[2])]
            states = [row[1].split()[0] for row in sorted(mine, key=lambda row: int(row[0]))]
            if not {"PENDING", "RUNNING", "COMPLETING"} & set(states) or time.monotonic() > end:
                return states
            time.sleep(0.5)

    def killed(self, rule: str) -> list[str]:
        """Why SLURM killed jobs of a rule, from its logs."""
        logs = (self.folder / "logs" / "slurm" / f"rule_{rule}").rglob("*.log")
        return [reason for log in sorted(logs) if (reason := reason_in(log))]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[LocalSlurm]:
    given = "SEGDEPTH_SLURM_STATE" in os.environ  # so that who started the tests can stop it as well
    cluster = LocalSlurm(STATE if given else tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
    except NoSlurm as failure:
        cluster.stop()
        pytest.skip(f"no SLURM here: {failure}")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def new_project(slurm, tmp_path_factory):
    made = []

    def make(name: str) -> Project:
        made.append(Project(tmp_path_factory.mktemp(name), slurm))
        return made[-1]

    yield make
    for project in made:
        project.end()
