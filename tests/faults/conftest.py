"""What undisturbed commands make of the tiny project; how many faults were tried, printed at the end."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field

import pytest

from . import warm
from .project import Job, TinyProject, sorted_by_inputs

TRIED: Counter[str] = Counter()
FAILED: dict[str, list[str]] = {}


@dataclass
class Trial:
    """Faults of one kind, tried in one test."""

    kind: str
    failures: list[str] = field(default_factory=list)

    def one(self, what: str, problems: list[str]) -> None:
        """A fault was tried; these problems are failures of the program."""
        TRIED[self.kind] += 1
        self.fail(what, problems)

    def fail(self, what: str, problems: list[str]) -> None:
        """Problems that belong to none of them alone."""
        told = [f"{what}: {problem}" for problem in problems]
        self.failures += told
        FAILED.setdefault(self.kind, []).extend(told)

    def end(self) -> None:
        assert not self.failures, "\n".join(self.failures)


@dataclass(frozen=True)
class Reference:
    """The tiny project as undisturbed commands make it, its jobs in order, and how each ended."""

    project: TinyProject
    jobs: list[Job]
    ended: dict[str, warm.Ended]
    contents: dict[str, str]

    def jobs_of(self, rule: str) -> list[Job]:
        return [job for job in self.jobs if job.rule == rule]


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Reference:
    temporary = tmp_path_factory.mktemp("temporary")
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    project = TinyProject(tmp_path_factory.mktemp("reference"))
    jobs = sorted_by_inputs(project.jobs())
    warm.import_everything()
    ended = {}
    for job in jobs:
        ended[job.out] = warm.run(job.arguments, project.folder)
        assert ended[job.out].status == 0, (job.arguments, ended[job.out].told)
    assert sorted(project.artefacts()) == sorted(name for job in jobs for name in job.makes)
    assert not project.findings()
    return Reference(project, jobs, ended, project.contents())


@pytest.fixture
def work(reference, tmp_path) -> TinyProject:
    """A copy of the finished project."""
    return reference.project.copy(tmp_path / "work")


def pytest_terminal_summary(terminalreporter) -> None:
    for kind, count in TRIED.items():
        failures = FAILED[kind]
        terminalreporter.write_line(f"{count} {kind}, {len(failures)} failures")
        for failure in failures:
            terminalreporter.write_line(f"    {failure}")
