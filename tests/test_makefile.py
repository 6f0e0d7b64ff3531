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
    exported = ((Path(f"results/export/{model}"), "new") for model in ("particles", "gpu"))
    for folder, text in ((BUNDLED / "network", "old"), (BUNDLED / "particles/network", "old"), *exported):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "weights").write_text(text)
        (tmp_path / f"{folder}.manifest.json").write_text(text)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def export(project: Path, snakemake: str, *options: str) -> int:
    return make(project, "export", snakemake, *options)


def make(project: Path, target: str, snakemake: str, *options: str) -> int:
    command = ["make", target, f"SNAKEMAKE={snakemake}", *options]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # tests run under make
    return subprocess.run(command, cwd=project, env=alone, capture_output=True, text=True).returncode


@pytest.mark.parametrize(("model", "place", "other"), [("particles", "particles", "."), ("gpu", ".", "particles")])
@pytest.mark.parametrize(("snakemake", "found"), [("true", "new"), ("false", "old")])
def test_export_replaces_the_network_of_its_kind_only_if_it_succeeds(project, snakemake, found, model, place, other):
    assert (export(project, snakemake, f"MODEL={model}") == 0) == (found == "new")
    for folder, text in ((project / BUNDLED / place, found), (project / BUNDLED / other, "old")):
        assert (folder / "network" / "weights").read_text() == text
        assert (folder / "network.manifest.json").read_text() == text
        assert not (folder / "network.new").exists()


def test_the_first_export_of_particles_makes_their_folder(project):
    shutil.rmtree(project / BUNDLED / "particles")
    assert export(project, "true") == 0
    assert (project / BUNDLED / "particles" / "network" / "weights").read_text() == "new"


@pytest.mark.parametrize("particles", [False, True])
def test_familiarity_is_put_beside_each_network_that_is_there(project, particles):
    (project / "results/familiarity").mkdir()
    for name in ("bundled", "bundled_particles"):
        for end in (".json", ".json.manifest.json"):
            (project / f"results/familiarity/{name}{end}").write_text(name)
    if particles:
        (project / BUNDLED / "particles/network/network.json").write_text("{}")
    assert make(project, "familiarity", "true") == 0
    for end in (".json", ".json.manifest.json"):
        assert (project / BUNDLED / f"familiarity{end}").read_text() == "bundled"
        beside = project / BUNDLED / f"particles/familiarity{end}"
        assert (beside.read_text() == "bundled_particles") if particles else not beside.exists()


def test_export_refuses_other_networks(project):
    assert export(project, "true", "MODEL=unet16") != 0
    assert (project / BUNDLED / "network" / "weights").read_text() == "old"


def test_shown_tables_and_figures_of_a_film_are_copied_with_their_manifests(project):
    names = [f"tables/film_{kind}_bundled_surface.csv" for kind in ("scores", "dwell", "detectability")]
    names += [f"figures/{kind}_bundled_surface.png" for kind in ("fig12_film", "film_scores")]
    for folder in ("results/tables", "results/figures", "docs/results/tables", "docs/images"):
        (project / folder).mkdir(parents=True)
    for name in names:
        for end in ("", ".manifest.json", ".run.json"):
            (project / f"results/{name}{end}").write_text(name)
    assert make(project, "docs-results", "true") == 0
    for name in names:
        shown = project / "docs" / (name.replace("figures", "images") if "figures" in name else f"results/{name}")
        for end in ("", ".manifest.json", ".run.json"):
            assert shown.with_name(shown.name + end).read_text() == name
