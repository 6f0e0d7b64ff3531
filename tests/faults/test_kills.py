"""SIGKILL at random moments: nothing half-written passes for whole, and the same command again makes the same bits."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from segdepth.store.manifest import content_hash, remove

from ..workflow.conftest import ROOT
from . import warm
from .conftest import Reference, Trial
from .project import BESIDE, Job, TinyProject

pytestmark = pytest.mark.faults

SEED = 17
RULES = (
    "plan_specimens",
    "build_specimens",
    "simulate_waves",
    "form_images",
    "record_micrograph",
    "record_film",
    "fit_lens",
    "project_depth",
    "train_model",
    "export_model",
    "evaluate_model",
    "estimate_ideal_observer",
    "tabulate_table1",
    "tabulate_networks",
    "tabulate_limits",
    "tabulate_paper",
    "predict_micrograph",
    "compare_micrograph",
    "measure_film",
    "measure_yardstick",
    "estimate_yardstick_observer",
    "tabulate_yardsticks",
    "explain_prediction",
    "measure_sets",
    "measure_denoiser",
    "measure_gradients",
    "measure_boundary",
    "map_limits",
    "plot_figure",
    "plot_montage",
    "plot_training",
    "plot_prediction",
    "plot_comparison",
    "plot_film",
    "plot_lens_fit",
    "plot_gradients",
    "plot_boundary",
    "plot_doses",
    "plot_limits",
    "plot_limit_map",
)
LEFT_OUT = {
    "plan_adaptation": "its result depends on rates that it measures",
    "adapt_network": "its result depends on rates that were measured",
    "measure_familiarity": "needs frames of 20 structures and more",
    "study_convergence": "takes minutes",
    "plot_convergence": "a figure of the study",
    "plot_benchmark": "a figure, of networks on all benchmarks",
    "plot_generalization": "a figure, of two networks and more",
    "tabulate_generalization": "a table as tabulate_networks makes",
    "tabulate_film": "copies a table of measure_film",
    "track_columns": "the tracks of measure_film, of a film that is predicted by itself",
}
"""Rules without a job here, and why."""

MOMENTS = (("time", False), ("time", True), ("write", False), ("end", True))
"""Of the kills of a rule: a random time; a random change of a file; a random one of the last changes, which put the
finished artefact into its place. True: an earlier artefact is replaced."""

LAST_CHANGES = 12
SNAKEMAKE_KILLS = 5
TARGET = "results/figures/training_net.png"
"""Of the runs that are killed: plan, atoms, waves, depth maps, a training and its figure."""

LONGEST_WAIT_S = 6
"""From the beginning of a job to the kill of its Snakemake."""


def test_all_rules_are_here(reference):
    assert {job.rule for job in reference.jobs} == set(RULES)


def test_every_rule_is_tried_or_left_out_for_a_reason():
    files = (ROOT / "workflow").rglob("*.smk")
    rules = {name for path in files for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)}
    assert rules - {"paper"} == set(RULES) | set(LEFT_OUT)  # a target alone
    assert not set(RULES) & set(LEFT_OUT)


@pytest.mark.parametrize("rule", RULES)
def test_a_killed_command(reference: Reference, work: TinyProject, rule: str):
    trial, draw = Trial("kills of commands"), random.Random(f"{SEED} {rule}")
    for moment, existed in MOMENTS:
        job = draw.choice(reference.jobs_of(rule))
        what = f"{rule}, by {moment}, {'replacing' if existed else 'new'}"
        for _ in range(20):  # a kill by time may come too late
            if not existed:
                _remove(work, job)
            killed = _kill(reference, work, job, moment, draw)
            if killed.status == -signal.SIGKILL:
                break
        else:
            raise AssertionError(f"{what}: was never killed in time")
        problems = _whole_ones_differ(reference, work, job)
        again = warm.run(job.arguments, work.folder)
        if again.status:
            problems.append(f"the same command again ends with {again.status}: {again.told[-1000:]}")
            _remove(work, job)
            again = warm.run(job.arguments, work.folder)
        if work.contents() != reference.contents:
            problems.append("the same command again does not make the same")
        problems += [f"{name} remains" for name in work.remains()]
        trial.one(what, problems)
    trial.end()


def _remove(work: TinyProject, job: Job) -> None:
    for name in job.makes:
        for end in BESIDE:
            remove(work.folder / f"{name}{end}")


def _kill(reference: Reference, work: TinyProject, job: Job, moment: str, draw: random.Random) -> warm.Ended:
    undisturbed = reference.ended[job.out]
    if moment == "time":
        command = warm.Command(job.arguments, work.folder)
        command.kill_after(draw.uniform(0, undisturbed.seconds))
        return command.wait()
    changes = len(undisturbed.changes)
    first = 0 if moment == "write" else max(0, changes - LAST_CHANGES * len(job.makes))
    return warm.run(job.arguments, work.folder, die_before=draw.randrange(first, changes))


def _whole_ones_differ(reference: Reference, work: TinyProject, job: Job | None = None) -> list[str]:
    """What a reader takes for whole and is not, and what is no longer whole though nobody was to make it anew."""
    problems, contents = [], work.contents()
    for name in reference.contents if job else contents:
        if work.taken_for_whole(name):
            recorded = work.recorded(name)
            if content_hash(work.folder / name) != recorded or contents[name] != reference.contents[name]:
                problems.append(f"{name} is taken for whole and differs from an undisturbed run's")
        elif job and name not in job.makes:
            problems.append(f"{name} is no longer whole")
    told = {str(finding.path.relative_to(work.folder)) for finding in work.findings()}
    stores = [name for name in (job.makes if job else ()) if name.endswith((".zarr", ".extxyz"))]
    for name in stores:
        if (work.folder / name).exists() and not work.taken_for_whole(name) and name not in told:
            problems.append(f"{name} is not whole, and verify does not say so")
    return problems


def _begun(told: Path) -> list[str]:
    """Rules of the jobs that a Snakemake has begun."""
    return re.findall(r"^(?:local)?rule (\w+):", told.read_text(), re.MULTILINE)


def test_killed_runs(reference: Reference, tmp_path):
    """Snakemake and its jobs are killed at random times, unlocked and started again, until the target is made."""
    trial, draw = Trial("kills of whole runs"), random.Random(SEED)
    project = TinyProject(tmp_path / "killed")
    before: dict[str, str] = {}
    for number in range(SNAKEMAKE_KILLS):
        told = project.folder / f"told-{number}"
        process = project.start(TARGET, told=told.name)
        jobs, seconds = draw.randint(1, 3), draw.uniform(0, LONGEST_WAIT_S)
        while process.poll() is None and len(_begun(told)) < jobs:
            time.sleep(0.05)
        time.sleep(seconds)
        problems = [] if process.poll() is None else [f"ended: {told.read_text()[-2000:]}"]
        if not problems:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        problems += _whole_ones_differ(reference, project)
        contents = project.contents()
        problems += [f"{name} was made, and is no longer there" for name in before if name not in contents]
        before = contents
        status, unlocked = project.snakemake("--unlock")
        if status:
            problems.append(f"--unlock: {unlocked}")
        trial.one(f"kill {number + 1}, in {_begun(told)[-1:]}, {len(contents)} artefacts are there", problems)
    status, text = project.snakemake(TARGET)
    problems = [] if status == 0 else [f"ends with {status}: {text[-3000:]}"]
    contents = project.contents()
    if TARGET not in contents or any(content != reference.contents[name] for name, content in contents.items()):
        problems.append("the last run does not make the same")
    problems += [str(finding) for finding in project.findings()]
    status, text = project.snakemake("--dry-run", TARGET)
    if "Nothing to be done" not in text:
        problems.append(f"something is left to do: {text[-2000:]}")
    trial.fail("the last run", problems)
    trial.end()
