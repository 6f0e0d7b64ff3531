"""The documented line on a real SLURM gives what a local run gives, and no fault of jobs or Snakemake changes that."""

from __future__ import annotations

import pytest

from .conftest import documented_line

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def local(new_project):
    """The tiny project, made without SLURM."""
    project = new_project("local")
    done = project.run("snakemake", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="module")
def submitted(new_project):
    project = new_project("submitted")
    process = project.start(*documented_line())
    project.ended(process)
    return project


def test_the_documented_line_gives_what_a_local_run_gives(local, submitted):
    assert submitted.contents() == local.contents() and len(local.contents()) > 8
