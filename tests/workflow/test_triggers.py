"""What makes the workflow do something again: content, parameters and code; neither commit, time, machine nor path."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import xarray as xr

from segdepth.store.manifest import manifest_path, read_manifest, write_artefact
from segdepth.store.run_record import run_path
from segdepth.store.zarr_store import open_zarr, write_zarr

from .conftest import Project

pytestmark = pytest.mark.workflow

TARGET = "results/evaluation/net/small"
SHARD = "data/waves/tiny/coarse/shard-001.zarr"
BEHIND = {"form_images": 1, "train_model": 1, "evaluate_model": 1, "total": 3}
"""Jobs behind one shard of waves."""


@pytest.fixture(scope="module")
def made(new_project) -> Project:
    """A chain from a plan to an evaluation."""
    project = new_project("made")
    done = project.snakemake(TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of it, in another folder."""
    shutil.copytree(made.folder, tmp_path / "moved", symlinks=True)
    return Project(tmp_path / "moved", copy.deepcopy(made.config))


def test_a_moved_folder_has_nothing_to_do(project):
    assert project.jobs(TARGET) == {}


def test_new_time_stamps_make_nothing_again(project):
    files = [path for top in ("data", "results") for path in (project.folder / top).rglob("*") if path.is_file()]
    random.Random(0).shuffle(files)
    for position, path in enumerate(files):
        os.utime(path, (1.9e9 + position, 1.9e9 + position))
    assert project.jobs(TARGET) == {}


def test_a_deleted_shard_made_again_by_another_commit_makes_nothing_behind_it_again(project, tmp_path, monkeypatch):
    store = project.folder / SHARD
    before, known = manifest_path(store).read_bytes(), read_manifest(store)["commit"]
    shutil.rmtree(store)
    manifest_path(store).unlink()
    assert project.jobs(TARGET) == {}  # nothing asks for it
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 0123456789012345678901234567890123456789\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    done = project.snakemake(SHARD)
    assert done.returncode == 0, done.stderr
    made_by = json.loads(run_path(store).read_text())["commit"]
    assert made_by.startswith("0123456789") and made_by != known and read_manifest(store)["commit"] == made_by
    assert manifest_path(store).read_bytes() == before
    assert project.jobs(TARGET) == {}


def test_another_content_makes_all_that_is_behind_it_again_and_nothing_else(project):
    store = project.folder / SHARD
    with open_zarr(store) as found:
        waves: xr.Dataset = found.load()
    waves["wave"][0] *= 1.001
    known = read_manifest(store)
    facts = {key: known[key] for key in ("command", "code", "parameters", "seeds")}
    atoms = [(store.parent / given["path"]).resolve() for given in known["inputs"]]
    with write_artefact(store, inputs=atoms, **facts) as partial:
        write_zarr(waves, partial, parameters=known["parameters"])
    (store / ".snakemake_timestamp").touch()
    assert project.jobs(TARGET) == BEHIND


def test_other_parameters_make_all_that_is_behind_them_again(project):
    project.config["imaging"]["lens"]["focal_steps"] = 7
    project.write()
    assert project.jobs(TARGET) == BEHIND | {"form_images": 3, "total": 5}
    project.config["beams"]["coarse"]["slice_pm"] = 95.65
    project.write()
    assert project.jobs(TARGET) == BEHIND | {"simulate_waves": 3, "form_images": 3, "total": 8}


def test_other_code_makes_all_that_is_behind_it_again(project, tmp_path):
    """Comments do not count, nor where the package lies."""
    root = Path(__file__).parents[2]
    for name in ("workflow", "pipeline", "envs"):
        shutil.copytree(root / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "code" / "pipeline" / "segdepth" / "simulation" / "focal.py"
    same = ("--snakefile", str(tmp_path / "code" / "workflow" / "Snakefile"))
    text = module.read_text()
    module.write_text("# a comment\n" + text)
    assert project.jobs(*same, TARGET) == {}
    assert "STEP_REACH = 2.0" in text
    module.write_text(text.replace("STEP_REACH = 2.0", "STEP_REACH = 2.5"))
    assert project.jobs(*same, TARGET) == BEHIND | {"form_images": 3, "total": 5}


def test_what_is_behind_a_step_that_failed_is_made_in_the_next_run(project):
    """Snakemake removes the earlier output of a failed step, and would not ask for it where all behind it exists."""
    waves = (project.folder / "data" / "waves").rglob("*")
    whole = {path: path.read_bytes() for path in waves if path.is_file() and "c" in path.parts}  # chunks
    assert len(whole) >= 3
    for path in whole:
        path.write_bytes(b"broken")
    project.config["imaging"]["lens"]["focal_steps"] = 7
    project.write()
    assert project.snakemake(TARGET).returncode != 0
    for path, content in whole.items():
        path.write_bytes(content)
    assert project.jobs(TARGET) == BEHIND | {"form_images": 3, "total": 5}
    assert project.snakemake(TARGET).returncode == 0
    assert project.jobs(TARGET) == {}
