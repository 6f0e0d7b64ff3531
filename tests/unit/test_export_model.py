"""The network that comes with the package: float16 weights that say the same, its card, its name, its chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import CERIA, RINGS
from evaluation_data import DATASET, PIXEL, SPECIMEN
from safetensors.torch import load_file

from segdepth import cli
from segdepth.config import (
    Beam,
    Config,
    Imaging,
    Micrograph,
    Model,
    Prediction,
    Specimen,
    load_config,
    validate,
)
from segdepth.config.tables import METRIC_NAMES
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.model_card import Origin, model_card, union
from segdepth.networks import bundled
from segdepth.networks.compatibility import check_unseen
from segdepth.networks.files import WEIGHTS, NetworkCard, load_network, save_network
from segdepth.networks.half_precision import half_precision
from segdepth.networks.training_record import record_entry
from segdepth.networks.unet import UNet
from segdepth.steps import export_model as step
from segdepth.steps.export_model import MODEL_CARD, export_model
from segdepth.steps.stored_evaluation import FACTS
from segdepth.steps.training_facts import training_facts
from segdepth.store.manifest import check_whole, manifest_path, read_manifest, write_artefact
from segdepth.store.trace import describe, trace

ROOT = Path(__file__).parents[2]
FOLDER = Path("pipeline/segdepth/bundled/network")
IMAGING = Imaging(defocus_nm=(2.0, 8.0), image_spread_pm=(10.0, 35.0))
TRAINING = {"dose_lambda": (0.9, 2.8), "crop_pixels": 64}
MODEL = Model(datasets=("d",), architecture={"base_channels": 4}, training=TRAINING)
SEEN = [2, 4, 5]


def used_network() -> UNet:
    """Random weights, and batch norms that have seen images."""
    torch.manual_seed(0)
    network = UNet(4, "binned", 11)
    with torch.no_grad():
        for _ in range(20):
            network(1 + 0.3 * torch.randn(2, 1, 128, 128))
        network.head.weight *= 20  # what is trained is sure of itself
    return network.eval()


def build_model(
    root: Path, network: UNet | None = None, card: dict | None = None, earlier: bool = False, **manifest
) -> Path:
    """A trained network of ``root``'s project, with the waves that it learnt from."""
    waves, out = root / "data/waves/w/b/shard-000.zarr", root / "results/models/net"
    if not waves.exists():
        with write_artefact(
            waves, command="simulate-waves", code="c", parameters={"beam": Beam().model_dump()}
        ) as partial:
            partial.mkdir()
            (partial / "chunk").write_text("waves")
    labels = RINGS.model_dump(mode="json")
    told_by_card = {"crystal": CERIA.to_dict(), "training_record": [record_entry(DATASET, SPECIMEN, 7)]}
    card = NetworkCard(
        "binned",
        4,
        11,
        PIXEL,
        PIXEL,
        64 * PIXEL,
        2.5,
        labels,
        (0.9, 2.8),
        temperature=1.2,
        **told_by_card | (card or {}),
    )
    blocks = {"dataset": DATASET, "specimen": SPECIMEN, "imaging": IMAGING, "labels": RINGS}
    training_set = {name: block.model_dump(mode="json") for name, block in blocks.items()}
    told = {
        "parameters": {"model": MODEL.model_dump(mode="json"), "training_sets": [training_set]},
        "seeds": {"root_seed": 7, "training": 0},
    } | manifest
    facts = {
        "runs": [{"device": "cpu", "threads": 2, "commit": "abc123", "versions": {"torch": "2.9", "segdepth": "1"}}],
        "training_seconds": 387.4, "parameters": 70000, "best": {"epoch": 3},
    }  # fmt: skip
    told["notes"] = {} if earlier else {"training": facts}
    with write_artefact(out, command="train-model", code="c", inputs=[waves], **told) as partial:
        partial.mkdir()
        save_network(network or used_network(), card, partial)
        if earlier:
            (partial / "environment.json").write_text(json.dumps(facts))
    return out


def build_evaluation(root: Path, model: Path, dataset: str = "d") -> Path:
    facts = {"model": "net", "dataset": dataset, "structures": 28, "images": 252, "dose_lambda": 2.5}
    rows = [(name, element, 0.75, 0.7, 0.8) for element in ("all", "Ce", "O") for name in METRIC_NAMES]
    rows += [("expected_calibration_error", "all", 0.012, None, None)]
    rows += [("expected_calibration_error_pixels_of_columns", "all", None, None, None)]
    out = root / "results/evaluation/net" / dataset
    with write_artefact(out, command="evaluate-model", code="c", parameters={}, inputs=[model]) as partial:
        partial.mkdir()
        (partial / FACTS).write_text(json.dumps(facts | {"elements": ["Ce", "O"]}))
        table = pd.DataFrame(rows, columns=["metric", "element", "value", "low", "high"])
        table.to_csv(partial / "metrics.csv", index=False)
        for name in ("by_defocus", "by_atoms", "by_structure", "confusion", "calibration"):
            (partial / f"{name}.csv").write_text("metric\n")
    return out


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    model = build_model(root)
    export_model(model, [build_evaluation(root, model)], root / FOLDER, code="c")
    return root


def test_a_network_of_an_earlier_version_has_the_same_card(project, tmp_path):
    """Its folder holds what is now in the record of its run."""
    model = build_model(tmp_path, earlier=True)
    assert training_facts(model, read_manifest(model))["training_seconds"] == 387.4
    export_model(model, [build_evaluation(tmp_path, model)], tmp_path / FOLDER, code="c")
    assert (tmp_path / FOLDER / MODEL_CARD).read_text() == (project / FOLDER / MODEL_CARD).read_text()


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
    after, exported_card = load_network(project / FOLDER)
    assert exported_card == card
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


def test_every_bundled_tensor_is_finite_and_no_variance_is_0(project):
    for name, tensor in load_file(project / FOLDER / WEIGHTS).items():
        assert torch.isfinite(tensor).all(), name
        assert not name.endswith("running_var") or (tensor > 0).all()


def test_the_card_tells_what_must_be_known(project):
    text = (project / FOLDER / MODEL_CARD).read_text(encoding="utf-8")
    for words in (
        "# `net`", "CeO2 [110] only", "simulated images only", "columns of O follow mostly from the neighbouring",
        "calibrated on simulated images only", "C1 of 1.5 to 8.5 nm", "0.9 to 2.8 counted electrons",
        "image spread of 10 to 35 pm", "21.14 pm", "GPL-3.0-or-later", "| pixelwise accuracy | 0.750 [0.700, 0.800] |",
        "| columns exact, Ce | 0.750", "| all pixels | 0.012 |", "| pixels of columns | – |", "temperature of 1.2",
        "| beam energy, keV | 300 |", "snakemake --cores all results/models/net", "387.4 s", "device cpu, threads 2",
        "at commit `abc123`", "torch 2.9", "epoch 3", "base channels 4", "it can be confidently wrong",
        f"`d` ({len(DATASET.structures_of('train', SPECIMEN))})",
    ):  # fmt: skip
        assert words in text, words
    assert str(project) not in text and "unknown" not in text and "None" not in text and "$" not in text
    assert len(text.splitlines()) <= 120
    assert len(manifest_path(project / FOLDER).read_text().splitlines()) <= 400


def origin_of(beams: dict, specimens: dict | None = None, **model) -> Origin:
    """A network of a data set for each beam; ``specimens`` gives theirs, by name, where it is not the default."""
    blocks = {
        name: {
            "dataset": {"specimen": name, "beam": name, "imaging": "i", "labels": "l", "dose_lambda": 2.5},
            "specimen": Specimen(crystal="ceria", **(specimens or {}).get(name, {})).model_dump(mode="json"),
            "beam": {} if values is None else Beam(**values).model_dump(mode="json"),
            "imaging": IMAGING.model_dump(mode="json"),
            "labels": RINGS.model_dump(mode="json"),
        }
        for name, values in beams.items()
    }
    made = Model(datasets=tuple(beams), **model).model_dump(mode="json")
    return Origin("net", made, blocks, dict.fromkeys(beams, 3), 7, "commit", {}, {})


def card_text(origin: Origin) -> str:
    average = origin.model["flip_average"]
    card = NetworkCard(
        "binned", 4, 11, PIXEL, PIXEL, 64 * PIXEL, 2.5, {}, flip_average=average, crystal=CERIA.to_dict()
    )
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
        ({"a": {"random_tilt_mrad": (0, 17.4533)}}, {"a": {"tilt_deg": (0, 2)}}, "0 to 3"),
        ({"a": None}, {"a": {"tilt_deg": (0, 2)}}, "0 to 2"),  # the waves are gone
    ],
)
def test_the_card_tells_tilts_of_crystal_and_beam(beams, specimens, tilts):
    assert f"and tilts of {tilts}° off the zone axis, the beam's included" in card_text(origin_of(beams, specimens))


def test_the_card_spans_all_that_was_trained_over():
    specimens = {"b": {"count_shift_atoms": 2, "missing_probability": 0.0, "balanced_counts": True}}
    thermal = {"parametrization": "kirkland", "debye_waller_pm": {"Ce": 5, "O": 9}}
    text = card_text(origin_of({"a": thermal, "b": {"debye_waller_pm": {"Ce": 7, "O": 9}}}, specimens))
    for words in (
        "| scattering factors | kirkland, lobato |", "| rms vibration of the atoms, pm | Ce 5 to 7, O 9 |",
        "shifted by up to so many atoms | 0 to 2 |", "1/e length of the approach to the bulk, nm | 0.5 to 4 |",
        "| each count has its share of the columns | no, yes |", "lacks an atom | 0 to 0.03 |",
    ):  # fmt: skip
        assert words in text, words
    assert union([]) == "not recorded" and union([{"start": 1, "stop": 9, "step": 1}, 0.5]) == "0.5 to 9"


@pytest.mark.parametrize(
    ("flip_average", "told"), [(True, "means over the frame and its mirror image"), (False, "once")]
)
def test_the_card_tells_whether_a_flip_is_averaged(flip_average, told):
    assert told in card_text(origin_of({"a": {}}, flip_average=flip_average)).split("Licence")[0]


def test_the_manifest_has_the_blocks_of_a_configuration(project):
    """With the model's block on the card they are what trains the network anew."""
    text = (project / FOLDER / MODEL_CARD).read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]) == {"net": MODEL.model_dump(mode="json")}
    told = read_manifest(project / FOLDER)["parameters"]
    assert validate(Imaging, json.loads(told["imaging"]["i"]), "i") == IMAGING and told["root_seed"] == 7
    assert validate(Beam, json.loads(told["beams"]["b"]), "b") == Beam()
    assert validate(Specimen, json.loads(told["specimens"]["w"]), "w") == SPECIMEN


def test_lost_waves_leave_the_beam_open(project, tmp_path):
    for name in ("results", "data"):
        shutil.copytree(project / name, tmp_path / name)
    shutil.rmtree(tmp_path / "data")
    export_model(tmp_path / "results/models/net", [tmp_path / "results/evaluation/net/d"], tmp_path / "out", code="c")
    assert "Beams of d are not recorded" in (tmp_path / "out" / MODEL_CARD).read_text()


def test_what_it_was_trained_on_travels_along(project, clone, monkeypatch):
    check_whole(clone / "network", "export-model")
    card = load_network(clone / "network")[1]
    with pytest.raises(ConfigError, match="was trained on 1 of its 2 structures"):
        check_unseen(card, [1, 2], "w", 7, network="net", name="d")
    monkeypatch.setattr(bundled, "bundled_folder", lambda: clone / "network")
    assert bundled.name_of(clone / "network") == "bundled" != bundled.name_of(project / "results/models/net") == "net"


def test_a_large_network_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "MOST_BYTES", 100_000)
    with pytest.raises(StoreError, match=r"takes 0\.\d+ MB as float16; at most 0\.1 MB come") as told:
        export_model(project / "results/models/net", [], tmp_path / "out", code="c")
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())


def test_a_network_that_half_precision_changes_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "LARGEST_CHANGE", 1e-9)
    with pytest.raises(StoreError, match="float16 weights change a probability by"):
        export_model(project / "results/models/net", [], tmp_path / "out", code="c")


def test_an_evaluation_of_another_network_is_refused(tmp_path):
    model = build_model(tmp_path)
    evaluation = build_evaluation(tmp_path, model)
    build_model(tmp_path, UNet(4, "binned", 11))
    with pytest.raises(StoreError, match="did not measure .* as it is now"):
        export_model(model, [evaluation], tmp_path / "out", code="c")


@pytest.mark.parametrize(
    "change", [{"parameters": {}}, {"seeds": {}}, {"card": {"training_record": []}}, {"card": {"crystal": {}}}]
)
def test_a_network_of_unknown_origin_is_refused(tmp_path, change):
    model = build_model(tmp_path, **change)
    with pytest.raises(StoreError, match="lacks the record of its training|training_record|has no 'crystal'") as told:
        export_model(model, [], tmp_path / "out", code="c")
    assert "\n" not in str(told.value)


def make_figure(folder: Path) -> Path:
    path = folder.parents[3] / "figure.png"
    with write_artefact(path, command="plot", code="c", parameters={}, inputs=[folder]) as partial:
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


def test_a_damaged_bundled_network_is_told(clone):
    (clone / "network" / MODEL_CARD).write_text("better than it is")
    assert trace(clone / "network").broken
    with pytest.raises(StoreError, match="was edited or damaged"):
        check_whole(clone / "network")


def predict(tmp_path: Path, monkeypatch, capsys, *options: str) -> tuple[int, str]:
    """Exit status and what is told of ``segdepth predict`` on a small frame."""
    counts = np.random.default_rng(0).poisson(40.0, (80, 90)).astype(np.uint16)
    np.save(tmp_path / "frame.npy", counts)
    words = ["segdepth", "predict", str(tmp_path / "frame.npy"), "--no-calibrate"]
    words += ["--pixel-pm", "21.13671875", "--rotation-deg", "0"]
    monkeypatch.setattr("sys.argv", [*words, "--device", "cpu", "--out", str(tmp_path / "depth"), *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_predict_takes_the_bundled_network(tmp_path, clone, monkeypatch, capsys):
    monkeypatch.setattr(bundled, "bundled_folder", lambda: clone / "network")
    code, told = predict(tmp_path, monkeypatch, capsys)
    assert code == 0, told
    used = [given["content"] for given in read_manifest(tmp_path / "depth")["inputs"]]
    assert read_manifest(clone / "network")["content"] in used


def test_predict_without_a_network_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundled, "bundled_folder", lambda: tmp_path / "none" / "network")
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


@pytest.mark.parametrize("name", ["bundled", "bundled_particles"])
def test_bundled_needs_no_models_entry(data, name):
    data["evaluations"][name] = ["quick"]
    data["predictions"]["mine"] = {"model": name, "micrograph": "camera"}
    data["export"] = {"model": "unet16", "card_datasets": ["quick", "quick_lambda1"]}
    checked = validate(Config, data)
    assert checked.export.model == "unet16"


@pytest.mark.parametrize(
    ("section", "value", "says"),
    [
        ("models", {"bundled": {"datasets": ["quick"]}}, "models.bundled: this name is reserved"),
        ("models", {"bundled_particles": {"datasets": ["quick"]}}, "models.bundled_particles: this name is reserved"),
        ("evaluations", {"bundled_particles": ["none"]}, "evaluations.bundled_particles: no block is called 'none'"),
        ("evaluations", {"bundled": ["none"]}, "evaluations.bundled: no block is called 'none'"),
        ("evaluations", {"bundled": ["quick", "quick"]}, "evaluations.bundled: names a data set twice"),
        ("predictions", {"p": {"model": "none", "micrograph": "camera"}}, "predictions.p.model: no block is called"),
        ("export", {"model": "none", "card_datasets": ["quick"]}, "export.model: no block is called 'none'"),
        ("export", {"model": "bundled", "card_datasets": ["quick"]}, "export.model: no block is called 'bundled'"),
        ("export", {"model": "unet16", "card_datasets": []}, "export.card_datasets"),
        ("export", {"model": "unet16", "card_datasets": ["none"]}, "export.card_datasets: no block is called 'none'"),
        ("export", {"model": "unet16", "card_datasets": ["quick"] * 2}, "export.card_datasets: names a data set"),
        ("export", {"model": "unet16"}, "export.card_datasets: missing"),
    ],
)
def test_a_wrong_name_is_told(data, section, value, says):
    data[section] = value if section == "export" else data[section] | value
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


def test_what_does_not_fit_the_bundled_network_is_told_before_any_simulation(data, clone, monkeypatch):
    monkeypatch.setattr(bundled, "bundled_folder", lambda: clone / "network")
    with pytest.raises(ConfigError, match=rf"evaluations.bundled: .* 'bundled' was trained on {len(SEEN)} of its"):
        bundled.check_bundled(measured_on(data))
    bundled.check_bundled(measured_on(data).model_copy(update={"root_seed": 8}))
    with pytest.raises(ConfigError, match="data set 'mine' does not fit .* 'bundled': the image pixel is 42.2734 pm"):
        bundled.check_bundled(measured_on(data, pixel_pm=5411 / 128))
    fitting = measured_on(data)
    thick = fitting.labels["rings"].model_copy(update={"core_radius_pm": {"Ce": 50.0, "O": 40.0}})
    with pytest.raises(ConfigError, match="data set 'mine' does not fit .* the labels differ: core_radius_pm is"):
        bundled.check_bundled(fitting.model_copy(update={"labels": {"rings": thick}, "root_seed": 8}))
    shown = {"micrographs": {"m": Micrograph(dataset="mine")}, "evaluations": {}}
    shown["predictions"] = {"p": Prediction(model="bundled", micrograph="m")}
    with pytest.raises(ConfigError, match=rf"predictions.p: .* 'bundled' was trained on {len(SEEN)} of its"):
        bundled.check_bundled(fitting.model_copy(update=shown))
    (clone / "network" / "network.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        bundled.check_bundled(measured_on(data))
    monkeypatch.setattr(bundled, "bundled_folder", lambda: clone / "none")
    bundled.check_bundled(measured_on(data))


def test_what_does_not_fit_the_network_of_particles_is_told_too(data, clone, monkeypatch):
    monkeypatch.setattr(bundled, "bundled_folder", lambda: clone / "none" / "network")
    config = measured_on(data)
    config = config.model_copy(update={"evaluations": {"bundled_particles": config.evaluations["bundled"]}})
    bundled.check_bundled(config)
    shutil.copytree(clone / "network", bundled.folder_of("bundled_particles"))
    with pytest.raises(ConfigError, match=r"evaluations.bundled_particles: .* 'bundled_particles' was trained on"):
        bundled.check_bundled(config)
