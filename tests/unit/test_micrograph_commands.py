"""``segdepth predict`` and ``compare-micrograph`` at the terminal: options, blocks, pictures, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CERIA, RINGS

from segdepth.cli import main
from segdepth.networks.files import NetworkCard, save_network
from segdepth.networks.unet import UNet
from segdepth.store.code_hash import reached
from segdepth.store.manifest import check_whole, read_manifest
from segdepth.store.trace import trace

PIXEL = RINGS.pixel_pm
CONFIG = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    labels, crystal = RINGS.model_dump(mode="json"), CERIA.to_dict()
    card = NetworkCard(
        "binned", 4, RINGS.classes, PIXEL, PIXEL, 256 * PIXEL, 2.5, labels, flip_average=True, crystal=crystal
    )
    save_network(UNet(4, "binned", RINGS.classes), card, folder)
    return folder


@pytest.fixture
def micrograph(tmp_path):
    place = tmp_path / "it's a film.npy"
    np.save(place, np.random.default_rng(0).poisson(3.0, (150, 230)).astype(np.uint16))
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


def test_a_picture_lies_beside_the_folder_which_stays_whole(tmp_path, micrograph, model, capsys):
    out = tmp_path / "mine"
    for _ in range(2):  # and again over itself
        assert predict(micrograph, model, out, "--pixel-pm", 6.3) == 0
        assert "warning: frame 0: no columns on a CeO2 [110] lattice" in capsys.readouterr().err
        assert check_whole(out)["command"] == "predict-micrograph"
        for kind in ("png", "pdf"):
            assert not trace(tmp_path / f"mine.{kind}").broken
    assert sorted(path.name for path in out.iterdir()) == ["columns.csv", "prediction.zarr"]


def test_a_picture_of_someone_else_is_told_before_anything_is_computed(tmp_path, micrograph, model, capsys):
    (tmp_path / "mine.png").write_text("a thesis")
    assert predict(micrograph, model, tmp_path / "mine", "--pixel-pm", 6.3) == 2
    assert "mine.png" in capsys.readouterr().err and not (tmp_path / "mine").exists()
    assert predict(micrograph, model, tmp_path / "mine", "--pixel-pm", 6.3, "--no-picture") == 0
    assert (tmp_path / "mine.png").read_text() == "a thesis"


def test_an_option_has_the_last_word_over_a_block(tmp_path, micrograph, model):
    block = json.dumps({"pixel_pm": 6.3, "rotation_deg": 20, "flip": True, "invalid": float("nan")})
    given = ("--prediction", block, "--rotation-deg", -7.5, "--no-flip-average", "--no-flip", "--no-picture")
    assert predict(micrograph, model, tmp_path / "out", *given) == 0
    noted = read_manifest(tmp_path / "out")["parameters"]
    assert (noted["pixel_pm"], noted["rotation_deg"], noted["flip"], noted["invalid"]) == (6.3, -7.5, False, "nan")
    assert noted["looks"] == 1 and noted["flip_average"] is False


def test_a_block_of_the_configuration(tmp_path, micrograph, model):
    text = CONFIG.read_text(encoding="utf-8").replace("  camera: {model:", "  camera: {vacuum_counts: 2.5, model:")
    (tmp_path / "my config.yaml").write_text(text, encoding="utf-8")
    given = ("--prediction", f"{tmp_path / 'my config.yaml'}:camera", "--pixel-pm", 6.3, "--no-picture")
    assert predict(micrograph, model, tmp_path / "out", *given) == 0
    assert read_manifest(tmp_path / "out")["parameters"]["vacuum_counts"] == 2.5


@pytest.mark.parametrize(
    "given, expected",
    [
        ((), "pixel_pm"),
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


def test_a_change_of_a_picture_repeats_no_prediction():
    """The verbs draw too, but their rules' hashes do not follow the drawing."""
    for verb, other in (("predict", "plot-prediction"), ("compare-micrograph", "plot-comparison")):
        assert not {target.module for target in reached(verb) if target.module.startswith("segdepth.figures")}
        assert {target.module for target in reached(other) if target.module.startswith("segdepth.figures")}
