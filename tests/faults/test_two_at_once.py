"""Two commands, and two Snakemakes, that make the same at the same time: a result that is whole, and a clear line."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from segdepth.store.manifest import remove

from . import warm
from .conftest import Reference, Trial
from .project import BESIDE, PATIENCE_S, TinyProject
from .test_kills import RULES

pytestmark = pytest.mark.faults

SEED = 17


@pytest.mark.parametrize("rule", RULES)
def test_two_commands(reference: Reference, work: TinyProject, rule: str):
    trial, draw = Trial("pairs of commands"), random.Random(f"{SEED} {rule}")
    for existed in (False, True):
        job = draw.choice(reference.jobs_of(rule))
        if not existed:
            for name in job.makes:
                for end in BESIDE:
                    remove(work.folder / f"{name}{end}")
        first = warm.Command(job.arguments, work.folder)
        time.sleep(draw.uniform(0, 0.5 * reference.ended[job.out].seconds) if existed else 0)
        second = warm.Command(job.arguments, work.folder)
        both = [first.wait(), second.wait()]
        problems = [] if any(one.status == 0 for one in both) else ["neither succeeds"]
        for one in both:
            if one.status and not (one.is_refused and f"on {os.uname().nodename} is writing it" in one.errors[0]):
                problems.append(f"one ends with {one.status}: {one.told[-1500:]}")
        if work.contents() != reference.contents:
            problems.append("they do not make what one makes")
        problems += [f"{name} is not whole" for name in job.makes if not work.taken_for_whole(name)]
        problems += [f"{name} remains" for name in work.remains()]
        trial.one(f"{rule}, {'replacing' if existed else 'new'}", problems)
    trial.end()


@pytest.mark.parametrize("delay_s", [0, 3])
def test_two_snakemakes(reference: Reference, work: TinyProject, delay_s: float):
    trial = Trial("pairs of runs")
    remove(work.folder / "data" / "depth")
    targets = [f"data/depth/tiny/rings/shard-{number:03d}.zarr" for number in range(2)]
    running = [work.start(*targets, told="first")]
    try:
        time.sleep(delay_s)
        running.append(work.start(*targets, told="second"))
        statuses = sorted(process.wait(PATIENCE_S) for process in running)
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    told = [(work.folder / name).read_text() for name in ("first", "second")]
    problems = []
    if 0 not in statuses:
        problems.append(f"neither succeeds: {told[0][-2000:]} {told[1][-2000:]}")
    if statuses[-1] and not any("Directory cannot be locked" in text or "is writing it" in text for text in told):
        problems.append(f"no clear line: {told[0][-2000:]} {told[1][-2000:]}")
    if work.contents() != reference.contents:
        problems.append("they do not make what one makes")
    problems += [str(finding) for finding in work.findings()]
    trial.one(f"the second one after {delay_s} s", problems)
    trial.end()
