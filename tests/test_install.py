"""The core: it reads and predicts micrographs and forms images without what simulates, trains and plans.

The tests marked ``install`` put the core alone into an empty environment (a minute where the package index is near;
``pytest -m "not install"`` leaves them out); the others block the imports of the extras.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ("ase", "abtem", "lightning", "pytorch_optimizer", "snakemake", "mkdocs", "pytest")
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


ALONE = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> Path:
    """A frame of noise with a bright vacuum above: enough for a prediction to run."""
    level = np.where(np.arange(256)[:, None] > 160, 4.0, 3.0) * np.ones((256, 192))
    path = tmp_path_factory.mktemp("frame") / "frame.npy"
    np.save(path, np.random.default_rng(0).poisson(level).astype(np.uint16))
    return path


def arguments(counts: Path, out: Path) -> list[str]:
    geometry = ["--no-calibrate", "--pixel-pm", "10.568359375", "--rotation-deg", "0"]
    return ["predict", str(counts), *geometry, "--dose", "358", "--out", str(out)]


def check_prediction(folder: Path) -> None:
    assert (folder / "prediction.zarr").is_dir()
    assert (folder / "columns.csv").read_text().startswith("frame,column,x_pm,y_pm")


def test_prediction_imports_no_extra(counts, tmp_path):
    code = f"{BLOCKED}\nsys.argv[1:] = {arguments(counts, tmp_path / 'depth')!r}\nfrom segdepth.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_prediction(tmp_path / "depth")


@pytest.mark.parametrize("module", ["segdepth", "segdepth.steps.form_images", "segdepth.config", "segdepth.crystals"])
def test_modules_of_the_core_import_no_extra(module):
    done = subprocess.run([sys.executable, "-c", f"{BLOCKED}\nimport {module}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> Iterator[Path]:
    """The folder of the commands of an environment that has the core alone."""
    sources = tmp_path_factory.mktemp("sources")  # a copy: pip leaves a build folder behind, and would use an old one
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "pipeline", sources / "pipeline", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    folder = tmp_path_factory.mktemp("core") / "environment"
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
    command = [str(commands / "python"), "-m", "pip", "install", "--quiet", "--no-compile", str(sources)]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    done = subprocess.run([*command, *constraints], capture_output=True, text=True, timeout=1800, env=ALONE)
    assert done.returncode == 0, done.stderr
    yield commands
    shutil.rmtree(folder)  # 1.4 GB


@pytest.mark.install
def test_core_has_no_extras(core):
    command = [str(core / "python"), "-m", "pip", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=ALONE).stdout)
    assert not {entry["name"].lower().replace("-", "_") for entry in listed} & set(EXTRAS)


@pytest.mark.install
def test_core_predicts(core, counts, tmp_path):
    command = [str(core / "segdepth"), *arguments(counts, tmp_path / "depth")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ALONE)
    assert done.returncode == 0, done.stderr
    check_prediction(tmp_path / "depth")


@pytest.mark.install
def test_core_says_what_to_install(core, tmp_path):
    """A command that needs an extra names it in one line."""
    (tmp_path / "atoms.extxyz").write_text('1\nLattice="9 0 0 0 9 0 0 0 9"\nCe 0 0 0\n')
    command = [str(core / "segdepth"), "simulate-waves", "--atoms", "atoms.extxyz", "--beam", "{}", "--out", "w.zarr"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ALONE)
    assert done.returncode == 2
    assert "segdepth[simulate]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
