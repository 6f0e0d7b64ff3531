"""``segdepth predict`` and ``compare-micrograph`` at the terminal: options, blocks, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from film_data import crystal_film, open_prediction, small_network, vacuum_film

from segdepth.cli import main
from segdepth.store.code_hash import reached
from segdepth.store.manifest import check_whole, read_manifest
from segdepth.store.trace import trace

CONFIG = Path(__file__).parents[2] / "config.yaml"


KNOWN = ("--no-calibrate", "--pixel-pm", 6.3, "--rotation-deg", 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("model"), flip_average=True)


@pytest.fixture
def micrograph(tmp_path):
    place = tmp_path / "it's a film.npy"
    np.save(place, vacuum_film()[0])
    return place


def segdepth(*arguments) -> int:
    """Exit status of the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["segdepth", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
    return done.value.code


def predict(micrograph, model, out, *more) -> int:
    return segdepth("predict", "--model", model, "--device", "cpu", "--out", out, *more, "--", micrograph)


def test_a_film_without_any_option(tmp_path, model, capsys):
    """Pixel, rotation and dose are found; what is found is told, and where the page is."""
    np.save(tmp_path / "film.npy", crystal_film(2))
    out = tmp_path / "mine"
    for _ in range(2):  # and again over itself
        assert predict(tmp_path / "film.npy", model, out) == 0
        told = capsys.readouterr()
        assert told.out.strip() == str(out / "prediction.html") and Path(told.out.strip()).is_file()
        lines = [line for line in told.err.splitlines() if line.startswith(("note: ", "warning: "))]
        assert any("electrons per Å² and frame, from the vacuum" in line for line in lines)
        assert any(line.startswith("note: what this network has learnt is not known") for line in lines)
        assert len(lines) == len({line.split(": ", 1)[1] for line in lines})  # none twice
        assert check_whole(out)["command"] == "predict-micrograph" and not trace(out).broken
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert str(summary).count("the lattice") and len(summary["warnings"]) == len(lines)


def test_noise_is_refused_in_one_line_and_nothing_is_written(tmp_path, micrograph, capsys):
    """With the network that comes with the package, as a new user would."""
    before = sorted(tmp_path.rglob("*"))
    assert segdepth("predict", micrograph, "--out", tmp_path / "out", "--device", "cpu") == 2
    told = capsys.readouterr().err
    assert told.startswith("segdepth: error: ") and "no lattice at all" in told and told.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_geometry_that_is_given_is_taken(tmp_path, micrograph, model, capsys):
    assert predict(micrograph, model, tmp_path / "out", *KNOWN, "--dose", 500, "--file-grid") == 0
    told = capsys.readouterr().err
    assert "note: 500 electrons per Å² and frame, from what was given" in told
    assert "note: no column of CeO2 [110] was found" in told
    store = open_prediction(tmp_path / "out")
    assert store.attrs["pixel_pm"] == 6.3 and store.attrs["rotation_deg"] == 0
    assert store["dose"].values == pytest.approx([500]) and store["file_depth"].shape == (1, 150, 230)


def test_a_dose_that_is_given_scales_the_image(tmp_path, micrograph, model):
    seen = {}
    for dose in (400, 800):
        assert predict(micrograph, model, tmp_path / str(dose), *KNOWN, "--dose", dose) == 0
        seen[dose] = float(np.nanmean(open_prediction(tmp_path / str(dose))["counts"].values))
    assert seen[400] / seen[800] == pytest.approx(2, rel=0.01)
    assert seen[800] == pytest.approx(3 / (800 * 0.063**2), rel=0.02)


def test_an_option_has_the_last_word_over_a_block(tmp_path, micrograph, model):
    block = json.dumps({"calibrate": False, "pixel_pm": 6.3, "rotation_deg": 20, "flip": True, "invalid": float("nan")})
    given = ("--prediction", block, "--rotation-deg", -7.5, "--no-flip-average", "--no-flip")
    assert predict(micrograph, model, tmp_path / "out", *given) == 0
    noted = read_manifest(tmp_path / "out")["parameters"]
    assert (noted["pixel_pm"], noted["rotation_deg"], noted["flip"], noted["invalid"]) == (6.3, -7.5, False, "nan")
    assert noted["flip_average"] is False and noted["calibrate"] is False


def test_a_block_of_the_configuration(tmp_path, micrograph, model):
    text = CONFIG.read_text(encoding="utf-8").replace("  camera: {model:", "  camera: {dose_e_per_a2: 650, model:")
    (tmp_path / "my config.yaml").write_text(text, encoding="utf-8")
    given = ("--prediction", f"{tmp_path / 'my config.yaml'}:camera", *KNOWN)
    assert predict(micrograph, model, tmp_path / "out", *given) == 0
    assert read_manifest(tmp_path / "out")["parameters"]["dose_e_per_a2"] == 650


@pytest.mark.parametrize(
    "given, expected",
    [
        ((), "no lattice at all"),
        (("--no-calibrate",), "calibrate: false needs pixel_pm and rotation_deg"),
        (("--dose", "0"), "dose_e_per_a2: got 0"),
        (("--gain", "-1"), "gain: got -1"),
        (("--false-discovery", "0"), "false_discovery: got 0"),
        (("--image", "2"), "2"),
        (("--vacuum-counts", "4"), "No such option: --vacuum-counts"),
        (("--familiarity", "nowhere.json"), "nowhere.json"),
        (("--pixel-pm", "0"), "pixel_pm: got 0.0"),
        (("--pixel-pm", "nan"), "pixel_pm: got nan"),
        (("--pixel-pm", "6.3", "--rotation-deg", "nan"), "rotation_deg: got nan"),
        (("--pixel-pm", "6.3", "--precision", "half"), "precision: got 'half'"),
        (("--prediction", "{"), "--prediction: is not valid JSON"),
        (("--prediction", '{"pixel": 6}'), "--prediction: pixel: unknown key"),
        (("--prediction", "camera"), "--prediction: got 'camera'; allowed: FILE:NAME or JSON"),
        (("--prediction", f"{CONFIG}:other"), "has no predictions block 'other'"),
    ],
)
def test_what_is_refused_is_one_line(tmp_path, micrograph, model, capsys, given, expected):
    before = sorted(tmp_path.iterdir())
    assert predict(micrograph, model, tmp_path / "out", *given) == 2
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1 and told.startswith("segdepth: error: ")
    assert sorted(tmp_path.iterdir()) == before


def test_the_same_for_a_comparison(tmp_path, micrograph, capsys):
    common = ("compare-micrograph", "--waves", "nowhere.zarr", "--structure", 0, "--imaging", "{}")
    for given, expected in (
        (("--comparison", '{"frames": 1}'), "--comparison: frames: unknown key (did you mean frame?)"),
        (("--pixel-pm", 6.3, "--defocus-nm", 500), "defocus_nm: got 500.0"),
        (("--pixel-pm", 6.3), "nowhere.zarr"),
    ):
        assert segdepth(*common, *given, "--out", tmp_path / "out", micrograph) == 2
        told = capsys.readouterr().err
        assert expected in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_comparison_uses_one_thread_and_leaves_as_many_as_before(tmp_path, micrograph, monkeypatch):
    threads, inside = torch.get_num_threads(), []
    monkeypatch.setattr(
        "segdepth.steps.compare_micrograph.compare_micrograph",
        lambda *_, **__: inside.append(torch.get_num_threads()) or [],
    )
    common = ("compare-micrograph", "--waves", "w", "--structure", 0, "--imaging", "{}", "--pixel-pm", 6.3)
    try:
        torch.set_num_threads(3)
        assert segdepth(*common, "--no-picture", "--out", tmp_path / "out", micrograph) == 0
        assert (inside, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(threads)


def test_a_change_of_a_picture_repeats_no_comparison():
    """The verb draws too, but its rule's hash does not follow the drawing; a prediction's folder holds its picture."""
    assert not {
        target.module for target in reached("compare-micrograph") if target.module.startswith("segdepth.figures")
    }
    assert "segdepth.figures.prediction" in {target.module for target in reached("predict")}
    for verb in ("plot-prediction", "plot-comparison"):
        assert {target.module for target in reached(verb) if target.module.startswith("segdepth.figures")}
