"""The network that comes with the package: float16 weights that say the same, its card, its name, its chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from evaluation_data import DATASET, PIXEL, SPECIMEN
from safetensors.torch import load_file

from segdepth import cli
from segdepth.config import (
    Beam,
    Config,
    Imaging,
    Labels,
    Micrograph,
    Model,
    Prediction,
    Specimen,
    load_config,
    validate,
)
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.evaluate import _check_unseen
from segdepth.evaluation.metrics import NAMES
from segdepth.evaluation.model_card import Origin, model_card
from segdepth.networks.files import WEIGHTS, NetworkCard, load_network, save_network
from segdepth.networks.unet import UNet
from segdepth.steps import export_model
from segdepth.steps.export_model import MODEL_CARD, export_model, half_precision
from segdepth.store.manifest import check_whole, manifest_path, read_manifest, writing
from segdepth.store.trace import describe, trace

ROOT = Path(__file__).parents[2]
FOLDER = Path("pipeline/segdepth/bundled/network")
IMAGING = Imaging(defocus_nm=(2.0, 8.0), image_spread_pm=(10.0, 35.0))
TRAINING = {"dose_lambda": (0.9, 2.8), "crop_pixels": 64}
MODEL = Model(datasets=("d",), architecture={"base_channels": 4}, training=TRAINING)
SEEN = [1, 3]


def used_network() -> UNet:
    """Random weights, and batch norms that have seen images."""
    torch.manual_seed(0)
    network = UNet(4, "binned", 11)
    with torch.no_grad():
        for _ in range(20):
            network(1 + 0.3 * torch.randn(2, 1, 128, 128))
        network.head.weight *= 20  # what is trained is sure of itself
    return network.eval()


def build_model(root: Path, network: UNet | None = None, **manifest) -> Path:
    """A trained network of ``root``'s project, with the waves that it learnt from."""
    waves, out = root / "data/waves/w/b/shard-000.zarr", root / "results/models/net"
    if not waves.exists():
        with writing(waves, command="simulate-waves", code="c", parameters={"beam": Beam().model_dump()}) as partial:
            partial.mkdir()
            (partial / "chunk").write_text("waves")
    labels = Labels().model_dump(mode="json")
    card = NetworkCard("binned", 4, 11, PIXEL, PIXEL, 64 * PIXEL, 2.5, labels, (0.9, 2.8), temperature=1.2)
    blocks = {"dataset": DATASET, "specimen": SPECIMEN, "imaging": IMAGING, "labels": Labels()}
    training_set = {name: block.model_dump(mode="json") for name, block in blocks.items()}
    told = {
        "parameters": {"model": MODEL.model_dump(mode="json"), "training_sets": [training_set]},
        "seeds": {"root_seed": 7, "training": 0},
        "notes": {"training_structures": [{"specimen": "w", "root_seed": 7, "indices": SEEN}]},
    } | manifest
    with writing(out, command="train-model", code="c", inputs=[waves], **told) as partial:
        partial.mkdir()
        save_network(network or used_network(), card, partial)
        environment = {"device": "cpu", "training_seconds": 387.4, "parameters": 70000, "best": {"epoch": 3}}
        (partial / "environment.json").write_text(json.dumps(environment))
    return out


def build_evaluation(root: Path, model: Path, dataset: str = "d") -> Path:
    facts = {"model": "net", "dataset": dataset, "structures": 28, "images": 252, "dose_lambda": 2.5}
    facts |= {name: 0.75 for name in NAMES} | {f"{name}_interval": [0.7, 0.8] for name in NAMES}
    facts |= {"expected_calibration_error": 0.012, "expected_calibration_error_columns": None}
    out = root / "results/evaluation/net" / dataset
    with writing(out, command="evaluate-model", code="c", parameters={}, inputs=[model]) as partial:
        partial.mkdir()
        (partial / "metrics.json").write_text(json.dumps(facts))
    return out


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    model = build_model(root)
    export_model(model, [build_evaluation(root, model)], root / FOLDER, "c")
    return root


@pytest.fixture
def clone(project, tmp_path):
    """The package folder alone, as a fresh clone has it."""
    return shutil.copytree(project / FOLDER.parent, tmp_path / FOLDER.parent)


@torch.inference_mode()
def probabilities(network) -> np.ndarray:
    torch.manual_seed(1)
    return network(1 + 0.3 * torch.randn(1, 1, 192, 128)).softmax(dim=1).numpy()


def test_float16_weights_say_the_same(project):
    before, card = load_network(project / "results/models/net")
    after, shipped_card = load_network(project / FOLDER)
    assert shipped_card == card
    assert all(p.dtype == torch.float32 for p in after.parameters())
    first, second = probabilities(before), probabilities(after)
    assert first.max() > 0.9, "a network that is never sure would pass any test"
    assert np.abs(first - second).max() < 1e-2
    assert (first.argmax(axis=1) == second.argmax(axis=1)).mean() > 0.998
    sizes = [(project / folder / WEIGHTS).stat().st_size for folder in ("results/models/net", FOLDER)]
    assert sizes[1] < 0.65 * sizes[0]  # of a network this small vectors are a good part


def test_what_float16_would_spoil_stays():
    weights = {
        "running_var": torch.tensor([1e-9, 1.0]),
        "num_batches_tracked": torch.tensor(100_000),
        "fine": torch.tensor([[0.5, 1e-7]]),
        "large": torch.tensor([[1e5, 1.0]]),
        "tiny": torch.tensor([[3e-8, 1e-7]]),
        "zero": torch.zeros(2, 2),
    }
    kept = half_precision(weights)
    assert [name for name in kept if kept[name].dtype == torch.float16] == ["fine", "zero"]
    assert all(torch.equal(kept[name], weights[name]) for name in kept if kept[name].dtype != torch.float16)
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_every_shipped_tensor_is_finite_and_no_variance_is_0(project):
    for name, tensor in load_file(project / FOLDER / WEIGHTS).items():
        assert torch.isfinite(tensor).all(), name
        assert not name.endswith("running_var") or (tensor > 0).all()


def test_the_card_tells_what_must_be_known(project):
    text = (project / FOLDER / MODEL_CARD).read_text(encoding="utf-8")
    for words in (
        "# `net`", "[110] only", "simulated images only", "Oxygen counts follow mostly from the neighbouring columns",
        "calibrated on simulated images only", "C1 of 1.5 to 8.5 nm", "0.9 to 2.8 counted electrons",
        "10 to 35 pm of vibration", "21.14 pm", "GPL-3.0-or-later", "| pixelwise accuracy | 0.750 [0.700, 0.800] |",
        "| all pixels | 0.012 |", "| pixels of columns | – |", "temperature of 1.2", "| beam energy, keV | 300 |",
        "snakemake --cores all results/models/net", "| training seconds | 387.4 |", "| device | cpu |",
        read_manifest(project / "results/models/net")["commit"], "torch 2.", "best: epoch | 3", "base_channels 4",
    ):  # fmt: skip
        assert words in text, words
    assert f"| structures trained on | {len(DATASET.structures_of('train', SPECIMEN))} |" in text
    assert str(project) not in text and "unknown" not in text and "None" not in text


def origin_of(beams: dict, specimens: dict | None = None, **model) -> Origin:
    """A network of a data set for each beam; ``specimens`` gives theirs, by name, where it is not the default."""
    blocks = {name: Specimen(**(specimens or {}).get(name, {})) for name in beams}
    recipe = {
        "specimens": {name: block.model_dump(mode="json") for name, block in blocks.items()},
        "beams": {name: Beam(**values).model_dump(mode="json") for name, values in beams.items() if values is not None},
        "imaging": {"i": IMAGING.model_dump(mode="json")}, "labels": {"l": Labels().model_dump(mode="json")},
        "datasets": {name: {"specimen": name, "beam": name, "imaging": "i", "labels": "l"} for name in beams},
        "models": {"net": Model(datasets=tuple(beams), **model).model_dump(mode="json")},
    }  # fmt: skip
    return Origin("net", recipe, dict.fromkeys(beams, 3), "commit", {}, {})


def card_text(origin: Origin) -> str:
    mirrored = origin.model["flip_average"]
    card = NetworkCard("binned", 4, 11, PIXEL, PIXEL, 64 * PIXEL, 2.5, {}, flip_average=mirrored)
    return model_card(origin, card, [], largest_change=0, licence="GPL")


@pytest.mark.parametrize(
    ("beams", "specimens", "tilts"),
    [
        ({"a": {}}, {}, "0"),
        ({"a": {}, "b": {"tilt_mrad": (6.171, -6.171)}}, {}, "0 to 0.5"),
        ({"a": {}}, {"a": {"tilt_deg": (0, 3)}}, "0 to 3"),
        ({"a": {}, "b": {"tilt_mrad": (0, 17.4533)}}, {"a": {"tilt_deg": (0.2, 0.4)}}, "0.2 to 1"),
        ({"a": {"tilt_mrad": (0, 17.4533)}}, {"a": {"tilt_deg": (2, 3)}}, "1 to 4"),  # they add, or cancel
        ({"a": {"tilt_mrad": (0, 17.4533)}}, {}, "1"),
        ({"a": None}, {"a": {"tilt_deg": (0, 2)}}, "0 to 2"),  # the waves are gone
    ],
)
def test_the_card_tells_tilts_of_crystal_and_beam(beams, specimens, tilts):
    assert f"and tilts of {tilts}° off [110], the beam's included" in card_text(origin_of(beams, specimens))


def test_the_card_tells_all_that_was_learnt_over():
    crystals = {"b": {"count_shift_atoms": 2, "missing_probability": 0.0, "balanced_counts": True}}
    text = card_text(origin_of({"a": {"parametrization": "kirkland"}, "b": {"tilt_mrad": (6, 0)}}, crystals))
    for words in (
        "| scattering factors | kirkland | lobato |", "| tilt of the beam, mrad | x 0, y 0 | x 6, y 0 |",
        "shifted by up to so many atoms | 0 | 2 |", "1/e length of the approach to the bulk, nm | 0.5 to 4 |",
        "| each count has its share of the columns | no | yes |", "lacks an atom | 0.03 | 0 |",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(
    ("flip_average", "told"), [(True, "means over the frame and its mirror image"), (False, "once")]
)
def test_the_card_tells_whether_frames_are_mirrored(mirrored, told):
    assert told in card_text(origin_of({"a": {}}, flip_average=mirrored)).split("Licence")[0]


def test_the_cards_recipe_is_a_configuration(project):
    text = (project / FOLDER / MODEL_CARD).read_text(encoding="utf-8")
    recipe = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    recipe["specimens"]["w"]["structures"] = 60  # the test's few leave none for validation
    checked = validate(Config, recipe)
    assert checked.root_seed == 7 and checked.imaging["i"] == IMAGING and checked.beams["b"] == Beam()


def test_lost_waves_leave_the_beam_open(project, tmp_path):
    for name in ("results", "data"):
        shutil.copytree(project / name, tmp_path / name)
    shutil.rmtree(tmp_path / "data")
    export_model(tmp_path / "results/models/net", [tmp_path / "results/evaluation/net/d"], tmp_path / "out", "c")
    assert "The values of beam b are not recorded" in (tmp_path / "out" / MODEL_CARD).read_text()


def test_what_it_learned_from_travels_along(project, clone):
    check_whole(clone / "network", "export-model")
    with pytest.raises(ConfigError, match="was trained on 1 of the 2 structures"):
        _check_unseen(clone / "network", [1, 2], "w", 7)
    assert bundled.name_of(clone / "network") == "bundled" != bundled.name_of(project / "results/models/net") == "net"


def test_a_large_network_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(export_model, "MOST_BYTES", 100_000)
    with pytest.raises(StoreError, match=r"takes 0\.\d+ MB as float16; at most 0\.1 MB come") as told:
        export_model(project / "results/models/net", [], tmp_path / "out", "c")
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())


def test_a_network_that_half_precision_changes_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(export_model, "LARGEST_CHANGE", 1e-9)
    with pytest.raises(StoreError, match="float16 weights change a probability by"):
        export_model(project / "results/models/net", [], tmp_path / "out", "c")


def test_an_evaluation_of_another_network_is_refused(tmp_path):
    model = build_model(tmp_path)
    evaluation = build_evaluation(tmp_path, model)
    build_model(tmp_path, UNet(4, "binned", 11))
    with pytest.raises(StoreError, match="did not measure .* as it is now"):
        export_model(model, [evaluation], tmp_path / "out", "c")


@pytest.mark.parametrize(
    "change", [{"parameters": {}}, {"notes": {}}, {"seeds": {}}, {"notes": {"training_structures": []}}]
)
def test_a_network_of_unknown_origin_is_refused(tmp_path, change):
    model = build_model(tmp_path, **change)
    with pytest.raises(StoreError, match="does not tell how it was trained") as told:
        export_model(model, [], tmp_path / "out", "c")
    assert "\n" not in str(told.value)


def make_figure(folder: Path) -> Path:
    path = folder.parents[3] / "figure.png"
    with writing(path, command="plot", code="c", parameters={}, inputs=[folder]) as partial:
        partial.write_text("figure")
    return path


def test_a_chain_goes_through_where_the_network_was_made(project):
    chain = trace(project / FOLDER)
    assert not chain.broken and not chain.elsewhere
    assert "simulate-waves" in describe(chain) and describe(chain).splitlines()[-1].endswith("manifest says")


def test_a_chain_ends_at_a_network_made_elsewhere(clone):
    chain = trace(make_figure(clone / "network"))
    text = describe(chain)
    assert not chain.broken
    assert "made elsewhere, from what is not here: results/models/net, results/evaluation/net/d" in text
    assert text.splitlines()[-1].startswith("whole: 2 artefacts") and "the chain ends at" in text.splitlines()[-1]
    build_model(clone.parents[2], UNet(4, "binned", 11))  # another network of the same name is not its origin
    assert not trace(make_figure(clone / "network")).broken


def test_a_damaged_shipped_network_is_told(clone):
    (clone / "network" / MODEL_CARD).write_text("better than it is")
    assert trace(clone / "network").broken
    with pytest.raises(StoreError, match="was edited or damaged"):
        load_network(clone / "network")


def predict(tmp_path: Path, monkeypatch, capsys, *options: str) -> tuple[int, str]:
    """Exit status and what is told of ``segdepth predict`` on a small frame."""
    counts = np.random.default_rng(0).poisson(40.0, (80, 90)).astype(np.uint16)
    np.save(tmp_path / "frame.npy", counts)
    words = ["segdepth", "predict", str(tmp_path / "frame.npy"), "--pixel-pm", "21.13671875", "--dose", "40"]
    monkeypatch.setattr("sys.argv", [*words, "--device", "cpu", "--out", str(tmp_path / "depth"), *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_predict_takes_the_shipped_network(tmp_path, clone, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "bundled_folder", lambda: clone / "network")
    code, told = predict(tmp_path, monkeypatch, capsys)
    assert code == 0, told
    used = [given["content"] for given in read_manifest(tmp_path / "depth")["inputs"]]
    assert read_manifest(clone / "network")["content"] in used


def test_predict_without_a_network_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "bundled_folder", lambda: tmp_path / "none" / "network")
    code, told = predict(tmp_path, monkeypatch, capsys)
    assert code == 2 and told.startswith("segdepth: error: no network comes with this version") and "--model" in told
    assert len(told.splitlines()) == 1 and not (tmp_path / "depth").exists()


def test_the_folder_lies_in_the_package():
    assert bundled.bundled_folder() == Path(bundled.__file__).parents[1] / "bundled" / "network"
    if manifest_path(bundled.bundled_folder()).exists():
        check_whole(bundled.bundled_network(), "export-model")
        load_network(bundled.bundled_network())


@pytest.fixture
def data() -> dict:
    return load_config(ROOT / "config.yaml").model_dump(mode="python")


def test_shipped_needs_no_models_entry(data):
    data["evaluations"]["bundled"] = ["quick"]
    data["predictions"]["mine"] = {"model": "bundled", "micrograph": "camera"}
    data["bundled"] = {"model": "unet16", "card_datasets": ["quick", "quick_lambda1"]}
    checked = validate(Config, data)
    assert checked.bundled.model == "unet16"


@pytest.mark.parametrize(
    ("section", "value", "says"),
    [
        ("models", {"bundled": {"datasets": ["quick"]}}, "models.shipped: this name is the package's own network's"),
        ("evaluations", {"bundled": ["none"]}, "evaluations.shipped: no block is called 'none'"),
        ("evaluations", {"bundled": ["quick", "quick"]}, "evaluations.shipped: names a data set twice"),
        ("predictions", {"p": {"model": "none", "micrograph": "camera"}}, "predictions.p.model: no block is called"),
        ("bundled", {"model": "none", "card_datasets": ["quick"]}, "bundled.model: no block is called 'none'"),
        ("bundled", {"model": "bundled", "card_datasets": ["quick"]}, "bundled.model: no block is called 'shipped'"),
        ("bundled", {"model": "unet16", "card_datasets": []}, "export.card_datasets"),
        ("bundled", {"model": "unet16", "card_datasets": ["none"]}, "bundled.card_datasets: no block is called 'none'"),
        ("bundled", {"model": "unet16", "card_datasets": ["quick"] * 2}, "bundled.card_datasets: names a data set"),
        ("bundled", {"model": "unet16"}, "bundled.card_datasets: missing"),
    ],
)
def test_a_wrong_name_is_told(data, section, value, says):
    data[section] = value if section == "bundled" else data[section] | value
    with pytest.raises(ConfigError) as told:
        validate(Config, data, "config.yaml")
    assert says in str(told.value) and "\n" not in str(told.value)


def measured_on(data: dict, **imaging) -> Config:
    """A configuration that measures the shipped network on all structures of specimen ``w``."""
    data = data | {
        "root_seed": 7,
        "evaluations": {"bundled": ["mine"]},
        "tables": {},
        "figures": None,
        "predictions": {},
    }
    data["specimens"]["w"] = data["specimens"]["wedge"]
    data["imaging"]["mine"] = data["imaging"]["overfocus"] | imaging
    splits = {"test": 1.0, "validation": 0.0, "train": 0.0}
    data["datasets"]["mine"] = data["datasets"]["quick"] | {"specimen": "w", "imaging": "mine", "splits": splits}
    return validate(Config, data)


def test_what_does_not_fit_the_shipped_network_is_told_before_any_simulation(data, clone, monkeypatch):
    monkeypatch.setattr(shipped, "bundled_folder", lambda: clone / "network")
    with pytest.raises(ConfigError, match=rf"evaluations.shipped: 'shipped' was trained on {len(SEEN)} of the test"):
        bundled.check_bundled(measured_on(data))
    bundled.check_bundled(measured_on(data).model_copy(update={"root_seed": 8}))
    with pytest.raises(ConfigError, match="evaluations.shipped: the input pixel of 'mine' is 42.2734 pm; 'shipped' is"):
        bundled.check_bundled(measured_on(data, pixel_pm=5411 / 128))
    fitting = measured_on(data)
    thick = fitting.labels["rings"].model_copy(update={"core_radius_pm": {"Ce": 50.0, "O": 40.0}})
    with pytest.raises(ConfigError, match="evaluations.shipped: the labels of 'mine' are not .* core_radius_pm is"):
        bundled.check_bundled(fitting.model_copy(update={"labels": {"rings": thick}, "root_seed": 8}))
    shown = {"micrographs": {"m": Micrograph(dataset="mine")}, "evaluations": {}}
    shown["predictions"] = {"p": Prediction(model="bundled", micrograph="m")}
    with pytest.raises(ConfigError, match=rf"predictions.p: 'shipped' was trained on {len(SEEN)} of the test"):
        bundled.check_bundled(fitting.model_copy(update=shown))
    (clone / "network" / "network.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        bundled.check_bundled(measured_on(data))
    monkeypatch.setattr(shipped, "bundled_folder", lambda: clone / "none")
    bundled.check_bundled(measured_on(data))
