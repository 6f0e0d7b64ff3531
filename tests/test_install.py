"""The core alone, in an empty environment: it reads and predicts a micrograph without what simulates and trains.

Takes a minute where the package index is near; `pytest -m "not install"` leaves it out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ("ase", "abtem", "lightning", "snakemake", "pytorch-optimizer", "mkdocs", "pytest", "numba")


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> Path:
    """The folder of the commands of an environment that has the core alone."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder / "environment", with_pip=True)
    commands = folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")
    command = [
        str(commands / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return commands


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> Path:
    """A frame of noise with a bright vacuum above: enough for a prediction to run."""
    level = np.where(np.arange(256)[:, None] > 160, 4.0, 3.0) * np.ones((256, 192))
    path = tmp_path_factory.mktemp("frame") / "frame.npy"
    np.save(path, np.random.default_rng(0).poisson(level).astype(np.uint16))
    return path


@pytest.mark.install
def test_core_has_no_extras(core):
    listed = subprocess.run(
        [str(core / "python"), "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    names = {entry["name"].lower().replace("_", "-") for entry in json.loads(listed.stdout)}
    assert not names & set(EXTRAS)


@pytest.mark.install
def test_core_predicts(core, counts, tmp_path):
    command = [str(core / "segdepth"), "predict", str(counts), "--pixel-pm", "10.568359375", "--dose", "4"]
    done = subprocess.run([*command, "--out", str(tmp_path / "depth")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "depth" / "prediction.zarr").is_dir()
    assert (tmp_path / "depth" / "columns.csv").read_text().startswith("frame,x_pm,y_pm,element")


@pytest.mark.install
def test_core_says_what_to_install(core, tmp_path):
    """A command that needs an extra names it in one line."""
    (tmp_path / "atoms.extxyz").write_text("1\n\nCe 0 0 0\n")
    command = [str(core / "segdepth"), "simulate-waves", "--atoms", "atoms.extxyz", "--beam", "{}", "--out", "w.zarr"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "segdepth[simulate]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
