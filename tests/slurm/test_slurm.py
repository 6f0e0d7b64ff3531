"""The documented lines on a real SLURM give what a local run gives, and no fault of jobs or Snakemake changes that.

Four projects run beside each other: one without SLURM; one whose training is cancelled in the middle, and then, for
another defocus range, is killed, as is Snakemake while the training goes on; one with too little memory and time; and
one whose short jobs are put together.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess

import pytest

from segdepth.store.manifest import read_manifest

from .conftest import CHECK, LOCAL, ROOT, RUN, SCRIPTS, UNLOCK, Project
from .local_slurm import ACCOUNT, OTHER_ACCOUNT, PARTITION

pytestmark = pytest.mark.slurm

DEPTH = "data/depth/tiny/rings/shard-000.zarr"
WAVES = ["data/waves/tiny/coarse/shard-000.zarr", "data/waves/tiny/coarse/shard-001.zarr"]

TOO_LITTLE = """
set-resources:
  build_specimens:
    mem_mb: 150 if attempt == 1 else 1500
  project_depth:
    runtime: 1 if attempt == 1 else 30
"""

HANGS_ONCE = f"""#!/bin/sh
if [ "$1" = project-depth ] && rm hangs 2> /dev/null; then sleep 120; fi
exec {SCRIPTS}/segdepth "$@"
"""


@pytest.fixture(scope="module")
def started(new_project) -> dict[str, tuple[Project, subprocess.Popen]]:
    """The four projects, on their way."""
    local, faulty, cancelled, grouped = (new_project(name) for name in ("local", "faulty", "cancelled", "grouped"))
    for key in ("groups", "group-components"):
        grouped.edit_profile(f"# {key}:", f"{key}:")
    with open(faulty.profile, "a") as profile:
        profile.write(TOO_LITTLE)
    command = faulty.folder / "bin" / "segdepth"
    command.parent.mkdir()
    command.write_text(HANGS_ONCE)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (faulty.folder / "hangs").touch()
    return {
        "faulty": (faulty, faulty.start(*RUN, DEPTH)),
        "cancelled": (cancelled, cancelled.start(*RUN)),
        "grouped": (grouped, grouped.start(*RUN, *WAVES)),
        "local": (local, local.start(*LOCAL)),
    }


@pytest.fixture(scope="module")
def cancelled(started) -> Project:
    """The whole workflow; its training was cancelled after a checkpoint."""
    project, process = started["cancelled"]
    number = project.job_of(process, "train_model")
    project.checkpointed(process, number)
    project.slurm.run("scancel", number)
    project.ended(process)
    return project


@pytest.fixture(scope="module")
def local(started) -> Project:
    project, process = started["local"]
    project.ended(process)
    return project


@pytest.fixture(scope="module")
def faulty(started) -> Project:
    project, process = started["faulty"]
    project.ended(process)
    return project


@pytest.fixture(scope="module")
def grouped(started) -> Project:
    project, process = started["grouped"]
    project.ended(process)
    return project


def runs(project: Project) -> int:
    """How many processes a network was trained in."""
    return len(read_manifest(project.folder / "results/models/net")["notes"]["training"]["runs"])


def test_the_readme_has_the_line_that_is_run():
    assert f"`{shlex.join(RUN)}`" in (ROOT / "README.md").read_text()


def test_the_check_tells_the_account_before_anything_is_submitted(started):
    project, _ = started["local"]
    fine = project.run(*CHECK)
    assert fine.returncode == 0, fine.stderr
    assert fine.stdout.count("\n") == 1 and f"account {ACCOUNT}, {PARTITION} (" in fine.stdout
    kept = project.profile.read_text()
    try:
        project.profile.write_text(kept.replace(f"slurm_account: {ACCOUNT}", f"slurm_account: {OTHER_ACCOUNT}"))
        wrong = project.run(*CHECK)
    finally:
        project.profile.write_text(kept)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert f"got {OTHER_ACCOUNT}; yours: {ACCOUNT}, root" in wrong.stderr


def test_the_documented_line_gives_what_a_local_run_gives(cancelled, local):
    assert cancelled.contents() == local.contents() and len(local.contents()) > 8


def test_a_cancelled_job_is_noticed_and_tried_again(cancelled):
    assert cancelled.finished_in_slurm("train_model") == ["CANCELLED", "COMPLETED"]


def test_the_training_went_on_where_it_was_stopped(cancelled, local):
    assert (runs(cancelled), runs(local)) == (2, 1)


def test_a_job_without_memory_is_tried_again_with_more(faulty):
    first, second = faulty.finished_in_slurm("build_specimens")
    assert first in ("FAILED", "OUT_OF_MEMORY") and second == "COMPLETED"
    assert "out of memory" in faulty.killed("build_specimens")


def test_a_job_out_of_time_is_tried_again_with_more(faulty):
    assert faulty.finished_in_slurm("project_depth") == ["TIMEOUT", "COMPLETED"]
    assert faulty.killed("project_depth") == ["out of time"]
    assert (faulty.folder / f"{DEPTH}.manifest.json").is_file()


def test_short_jobs_of_a_rule_run_in_one_job_of_slurm(grouped, local):
    assert [grouped.finished_in_slurm(name) for name in ("atoms", "waves")] == [["COMPLETED"], ["COMPLETED"]]
    assert len(grouped.finished_in_slurm("")) == 3  # the third is that of the plan
    everything = local.contents()
    assert grouped.contents() == {path: everything[path] for path in grouped.contents()}
    assert {f"{path}.manifest.json" for path in WAVES} <= set(grouped.contents())


def test_a_new_defocus_range_with_its_training_and_snakemake_killed(cancelled, local):
    """No multislice runs again; a training that is killed goes on in another job, and after Snakemake is killed in a
    third one, to the bits of a training that nothing disturbed."""
    waves = cancelled.waves()
    for project in (cancelled, local):
        project.config["imaging"]["lens"]["defocus_nm"] = [1, 3, 5]
        project.write()
    elsewhere = local.start(*LOCAL)
    process = cancelled.start(*RUN)
    first = cancelled.job_of(process, "train_model")
    cancelled.checkpointed(process, first)
    cancelled.kill_training(first)
    second = cancelled.job_of(process, "train_model", unlike=first)
    cancelled.checkpointed(process, second)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    cancelled.stop_jobs_left()
    assert cancelled.run(*UNLOCK).returncode == 0
    cancelled.ended(cancelled.start(*RUN))
    local.ended(elsewhere)
    assert cancelled.contents() == local.contents()
    assert cancelled.finished_in_slurm("train_model")[2:] == ["FAILED", "CANCELLED", "COMPLETED"]
    assert (runs(cancelled), runs(local)) == (3, 1)
    assert cancelled.waves() == waves and len(cancelled.finished_in_slurm("simulate_waves")) == 2
