"""`make export` replaces the network of the package after success only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLED = Path("pipeline/segdepth/bundled")


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with the Makefile, a network in the package and an installed environment that is empty."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for folder, text in ((BUNDLED / "network", "old"), (Path("results/export/particles"), "new")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "weights").write_text(text)
        (tmp_path / f"{folder}.manifest.json").write_text(text)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def export(project: Path, snakemake: str, *options: str) -> int:
    command = ["make", "export", f"SNAKEMAKE={snakemake}", *options]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # tests run under make
    return subprocess.run(command, cwd=project, env=alone, capture_output=True, text=True).returncode


@pytest.mark.parametrize(("snakemake", "found"), [("true", "new"), ("false", "old")])
def test_export_replaces_the_network_only_if_it_succeeds(project, snakemake, found):
    assert (export(project, snakemake) == 0) == (found == "new")
    assert (project / BUNDLED / "network" / "weights").read_text() == found
    assert (project / BUNDLED / "network.manifest.json").read_text() == found
    assert not (project / BUNDLED / "network.new").exists()


def test_export_refuses_other_networks(project):
    assert export(project, "true", "MODEL=unet16") != 0
    assert (project / BUNDLED / "network" / "weights").read_text() == "old"
