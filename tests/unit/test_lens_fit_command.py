"""``segdepth fit-lens`` at the terminal and in the workflow: options, blocks, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from adaptation_data import FIT

from segdepth.cli import main
from segdepth.cli.fitting import fit_lens
from segdepth.config import Config, LensFitOptions, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.fitting.result import write_lens_fit
from segdepth.steps.layout import Layout
from segdepth.steps.plot_lens_fit import plot_lens_fit
from segdepth.store.manifest import write_artefact

CONFIG = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def noise(tmp_path) -> Path:
    path = tmp_path / "noise.npy"
    np.save(path, np.random.default_rng(0).poisson(2.0, (300, 260)).astype(np.uint8))
    return path


def told(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["segdepth", "fit-lens", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err.strip()


def test_without_a_voltage_it_is_asked_for_and_nothing_is_written(monkeypatch, capsys, noise, tmp_path):
    code, said = told(monkeypatch, capsys, noise, "--out", tmp_path / "lens.json")
    assert code == 2 and said.count("\n") == 0 and "--energy-kev" in said
    assert not (tmp_path / "lens.json").exists()


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_what_is_in_the_pictures_place_is_told_before_the_fit(monkeypatch, capsys, noise, tmp_path, suffix):
    (tmp_path / f"lens{suffix}").write_text("mine")
    code, said = told(monkeypatch, capsys, noise, "--energy-kev", 300, "--out", tmp_path / "lens.json")
    assert code == 2 and f"lens{suffix}: exists but has no manifest" in said


@pytest.mark.parametrize(
    ("out", "pictures"),
    [("lens.json", ("lens.png", "lens.pdf")), ("film.v2", ("film.v2.png", "film.v2.pdf"))],
)
def test_the_pictures_have_the_name_of_the_fit(monkeypatch, noise, tmp_path, out, pictures):
    looked_at, drawn = [], []
    monkeypatch.setattr("segdepth.steps.fit_lens.fit_lens", lambda *_, **__: FIT)
    monkeypatch.setattr("segdepth.store.manifest.check_target", lambda path, *_: looked_at.append(path.name))
    monkeypatch.setattr("segdepth.cli.fitting.registered", lambda name: lambda fit, path: drawn.append(path.name))
    fit_lens(noise, tmp_path / out)
    assert tuple(looked_at) == pictures and drawn == [pictures[0]]


@pytest.mark.parametrize("given", ["{", "block", "config.yaml:none", '{"c1_nm": 3}'])
def test_a_wrong_block_is_told_with_the_option_that_was_typed(monkeypatch, capsys, noise, tmp_path, given):
    given = given.replace("config.yaml", str(CONFIG))
    code, said = told(monkeypatch, capsys, noise, "--lens-fit", given, "--out", tmp_path / "lens.json")
    assert code == 2 and said.startswith("segdepth: error: --lens-fit: ") and said.count("\n") == 0


@pytest.mark.parametrize("energy", [40, 1000])
def test_a_voltage_out_of_reach_is_refused(monkeypatch, capsys, noise, tmp_path, energy):
    code, said = told(monkeypatch, capsys, noise, "--energy-kev", energy, "--out", tmp_path / "lens.json")
    assert code == 2 and f"got {energy}" in said.splitlines()[-1]


def test_a_frame_without_a_lattice_is_refused(monkeypatch, capsys, noise, tmp_path):
    block = json.dumps({"energy_kev": 300, "pixel_pm": 7})
    code, said = told(monkeypatch, capsys, noise, "--lens-fit", block, "--out", tmp_path / "lens.json")
    assert code == 2 and "lattice" in said.splitlines()[-1]


def config(**fit) -> Config:
    text = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return Config.model_validate(text | {"lens_fits": {"mine": {"crystal": "ceria"} | fit}})


def test_a_block_becomes_options_a_file_and_a_figure():
    layout = Layout(config(input="film.tif", energy_kev=200, c3_um=-9, invalid=255))
    options = layout.lens_fit_options("mine")
    assert options == LensFitOptions(energy_kev=200, c3_um=-9, invalid=255)
    assert options.given == {"c3": -9}
    assert validate(LensFitOptions, json.loads(options.as_json())) == options
    assert {"results/lens_fits/mine.json", "results/figures/lens_fit_mine.png"} <= set(layout.targets())


def test_a_simulated_recording_brings_its_voltage_and_pixel():
    options = Layout(config(micrograph="camera")).lens_fit_options("mine")
    assert options.energy_kev == 300 and options.pixel_pm == 6.76375 and options.image == "counts"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"input": "film.tif", "crystal": "nothing"}, "lens_fits.mine.crystal"),
        ({"micrograph": "nothing"}, "lens_fits.mine.micrograph"),
        ({}, "exactly one of input"),
        ({"input": "film.tif", "energy_kev": 1000}, "energy_kev"),
    ],
)
def test_blocks_that_lead_nowhere_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        config(**wrong)


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="c1_nm"):
        validate(LensFitOptions, {"c1_nm": 3}, "fit_lens")


def test_what_is_no_fit_is_not_drawn(tmp_path):
    (tmp_path / "fit.json").write_text("{}")
    with pytest.raises(StoreError):
        plot_lens_fit(tmp_path / "fit.json", tmp_path / "fit.png", code="x")
    assert not (tmp_path / "fit.png").exists()


@pytest.mark.parametrize(
    ("cells", "told"),
    [(None, "has no average unit cells"), ({"orders": [[0, 0]]}, "is not a fit of the lens of this version")],
)
def test_a_fit_without_its_unit_cells_is_not_drawn(tmp_path, cells, told):
    path = tmp_path / "fit.json"
    with write_artefact(path, command="fit-lens", code="x", parameters={}) as partial:
        write_lens_fit(FIT, partial, {"cells": cells})
    with pytest.raises(StoreError, match=told) as failure:
        plot_lens_fit(path, tmp_path / "fit.png", code="x")
    assert str(failure.value).startswith(str(path)) and not (tmp_path / "fit.png").exists()
