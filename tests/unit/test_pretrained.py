"""Trainings that begin with the weights of a trained network."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segdepth.config import Architecture, Config, Film, Model, Paper, Splits, load_config
from segdepth.errors import ConfigError, StoreError
from segdepth.networks.architectures import make_network
from segdepth.networks.bundled import bundled_folder
from segdepth.networks.card import NetworkCard, read_card
from segdepth.networks.files import NEW_CLASS_LOGIT, load_network, load_weights, save_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.training_record import structures_seen
from segdepth.steps.pretrained import MADE_BY, check_pretrained, check_pretrained_network
from segdepth.store.manifest import check_whole, read_manifest, write_artefact

ROOT = Path(__file__).parents[2]
FIRST_WEIGHTS = "32d450a51ef61f93b105f3b19780cf2190ef27dbf96535a3b4900663b4591fa0"
SPLITS = {"test": 0, "validation": 0.5, "train": 0.5}
RECORD = [{"specimen": "s", "root_seed": 3, "structures": 9, "splits": SPLITS}]


def trained(folder: Path, base_channels: int = 2, command: str = "train-model", record=RECORD) -> Path:
    card = NetworkCard("binned", base_channels, 11, 21.0, 21.0, 5411.0, 2.5, {}, training_record=record)
    with write_artefact(folder, command=command, code="c", parameters={}) as partial:
        partial.mkdir()
        save_network(make_network("binned", base_channels, 11), card, partial)
    return folder


def paper_with(film: str | None, model: str) -> Paper:
    names = {key: (model,) for key in ("widths", "dose_widths", "dose_trained")}
    return Paper(
        dataset="quick", segmentation=model, denoised=model, joint=model, dose_datasets=("quick",), film=film, **names
    )


def with_models(**models) -> Config:
    """The default configuration with other models of two channels, each with its ``init_weights``."""
    config = load_config(ROOT / "config.yaml")
    small = config.models["unet16"].model_copy(update={"architecture": Architecture(base_channels=2)})
    return config.model_copy(
        update={"models": {name: small.model_copy(update={"init_weights": first}) for name, first in models.items()}}
    )


def test_a_network_gets_all_of_the_others_weights(tmp_path):
    folder, network = trained(tmp_path / "first"), make_network("binned", 2, 11)
    load_weights(network, folder)
    wanted = load_network(folder)[0].state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("variant", ["binned", "space_to_depth"])
@pytest.mark.parametrize("classes", [5, 32])
def test_a_network_with_other_classes_keeps_the_logits_of_those_that_both_have(tmp_path, variant, classes):
    first = make_network(variant, 2, 11).eval()
    save_network(first, NetworkCard(variant, 2, 11, 21.0, 21.0, 5411.0, 2.5, {}), tmp_path)
    network = make_network(variant, 2, classes).eval()
    load_weights(network, tmp_path)
    with torch.no_grad():
        old, new = (
            one(torch.rand(2, 1, 128, 64, generator=torch.Generator().manual_seed(1))) for one in (first, network)
        )
    both = min(classes, 11)
    assert new.shape[1] == classes and torch.equal(new[:, :both], old[:, :both])
    if classes > 11:
        beyond = old[:, 10:] + NEW_CLASS_LOGIT
        assert torch.allclose(new[:, 11:], beyond.expand(-1, 21, -1, -1), atol=1e-5)
        assert new.softmax(1)[:, 11:].sum(1).max() < 0.13


@pytest.mark.parametrize("harm", ["damaged", "wide"])
def test_weights_that_are_damaged_or_do_not_fit_are_refused(tmp_path, harm):
    folder = trained(tmp_path / "first", 4 if harm == "wide" else 2)
    if harm == "damaged":
        (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(StoreError, match="cannot be read" if harm == "damaged" else "does not fit the network"):
        load_weights(make_network("binned", 2, 11), folder)


@pytest.mark.parametrize("harm", ["edited", "kind"])
def test_a_folder_that_is_not_a_whole_network_is_refused(tmp_path, harm):
    """As the step asks before it reads the weights."""
    folder = trained(tmp_path / "first", command="ship-it" if harm == "kind" else "export-model")
    if harm == "edited":
        (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(StoreError, match="edited" if harm == "edited" else "was made by ship-it"):
        check_whole(folder, MADE_BY)


def test_a_network_to_begin_with_is_known_by_its_card(tmp_path):
    folder = trained(tmp_path / "first")
    check_pretrained_network("models.a.init_weights", folder, Architecture(base_channels=2))
    with pytest.raises(
        ConfigError, match=r"models.a.init_weights: got .*first, which is binned with base_channels 2; .* 4"
    ):
        check_pretrained_network("models.a.init_weights", folder, Architecture(base_channels=4))
    (folder / "network.json").write_text(json.dumps({"variant": "round", "base_channels": 2}))
    for place in (folder, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="no trained network lies there"):
            check_pretrained_network("models.a.init_weights", place, Architecture(base_channels=2))


def test_one_training_may_follow_another_but_none_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "first")
    check_pretrained(with_models(a="first", b="results/models/a", c=None, d="results/models/c"))
    with pytest.raises(ConfigError, match="leads back to itself: a <- b <- a"):
        check_pretrained(with_models(a="results/models/b", b="results/models/a"))
    with pytest.raises(ConfigError, match="leads back to itself: a <- a"):
        check_pretrained(with_models(a="results/models/a"))
    with pytest.raises(ConfigError, match=r"models.a.init_weights: got 'results/models/z'; no trained network"):
        check_pretrained(with_models(a="results/models/z"))
    config = with_models(a="results/models/b", b=None)
    other = config.models["b"].model_copy(update={"architecture": Architecture(base_channels=4)})
    with pytest.raises(ConfigError, match="base_channels 4; the network to be trained is binned with base_channels 2"):
        check_pretrained(config.model_copy(update={"models": config.models | {"b": other}}))
    thick = config.labels["rings"].model_copy(update={"most_atoms": 20})
    data = config.datasets["quick"].model_copy(update={"labels": "thick"})
    update = {"labels": config.labels | {"thick": thick}, "datasets": config.datasets | {"thick": data}}
    other = config.models["b"].model_copy(update={"datasets": ("thick",)})
    check_pretrained(config.model_copy(update=update | {"models": config.models | {"b": other}}))


def test_a_folder_has_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("./results/models/a", "results/models/a/", " results/models/b/../a"):
        model = Model(datasets=["quick"], init_weights=folder)
        assert model.init_weights == "results/models/a"
    trained(tmp_path / "results/models/a")
    with pytest.raises(
        ConfigError, match=r"models.b.init_weights: got '/.*/results/models/a'; write results/models/a$"
    ):
        check_pretrained(with_models(a=None, b=str(tmp_path / "results/models/a")))


def test_no_training_begins_with_the_network_that_an_export_replaces():
    with pytest.raises(ConfigError, match="models.a.init_weights: got .*make export replaces; copy it"):
        check_pretrained(with_models(a=str(bundled_folder())))


@pytest.mark.parametrize("harm", ["no manifest", "edited", "no record"])
def test_a_network_that_is_not_whole_is_refused_before_any_job(harm, tmp_path):
    folder = trained(tmp_path / "first", record=[] if harm == "no record" else RECORD)
    if harm == "no manifest":
        (tmp_path / "first.manifest.json").unlink()
    elif harm == "edited":
        (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(
        ConfigError,
        match="models.a.init_weights: got '/.*first'; .*(no manifest|edited|training_record cannot be read)",
    ):
        check_pretrained(with_models(a=str(folder)))


def test_what_the_network_before_was_trained_on_counts_as_seen(tmp_path, monkeypatch):
    """Be it trained on the way or elsewhere."""
    monkeypatch.chdir(tmp_path)
    config = with_models(a=None, b="results/models/a", c="results/models/b")
    tests = Splits(test=1, validation=0, train=0)
    all_of_it = config.datasets["quick"].model_copy(update={"splits": tests})
    config = config.model_copy(update={"datasets": config.datasets | {"all": all_of_it}})
    for model in ("b", "c"):
        check_pretrained(config.model_copy(update={"evaluations": {model: ["quick"]}}))
        with pytest.raises(
            ConfigError, match=rf"evaluations.{model}: \d+ test structures of 'all' .*models/[ab] was trained on"
        ):
            check_pretrained(config.model_copy(update={"evaluations": {model: ["all"]}}))
    shown = {
        "micrographs": {"m": config.micrographs["camera"].model_copy(update={"dataset": "all"})},
        "predictions": {"p": config.predictions["camera"].model_copy(update={"model": "b", "micrograph": "m"})},
    }
    with pytest.raises(ConfigError, match=r"predictions.p: \d+ test structures of 'all'"):
        check_pretrained(config.model_copy(update=shown | {"evaluations": {}}))
    film = {"films": {"f": Film(dataset="all")}, "paper": paper_with("f", "b"), "evaluations": {}}
    with pytest.raises(ConfigError, match=r"paper.film: \d+ test structures of 'all' .*models/a was trained on"):
        check_pretrained(config.model_copy(update=film))
    for other in ({"paper": paper_with("f", "a")}, {"paper": paper_with(None, "b")}):
        check_pretrained(config.model_copy(update=film | other))
    trained(tmp_path / "first", record=[RECORD[0] | {"specimen": "wedge", "root_seed": config.root_seed}])
    outside = config.model_copy(
        update={"models": {"d": with_models(d="first").models["d"]}, "evaluations": {"d": ["all"]}}
    )
    with pytest.raises(
        ConfigError, match=r"evaluations.d: 9 test structures of 'all' \(the first is 0\) .* first was trained"
    ):
        check_pretrained(outside)


def test_the_networks_that_presets_begin_with_are_whole(tmp_path):
    """And stay so wherever the checkout lies."""
    for path in sorted((ROOT / "workflow" / "networks").glob("*/network/network.json")):
        folder = tmp_path / path.parts[-3]
        shutil.copytree(path.parents[1], folder)
        check_whole(folder / "network", MADE_BY)
        network, card = load_network(folder / "network")
        load_weights(network.network if isinstance(network, FlipAverage) else network, folder / "network")
        assert not structures_seen(card.training_record, "benchmark_smooth", 20260117)
        assert structures_seen(card.training_record, "train_smooth", 20260117)
        assert card.crystal["formula"] and read_card(folder / "network") == card
        manifest = folder / "network.manifest.json"
        assert len(manifest.read_text().splitlines()) <= 600 and read_manifest(folder / "network")["notes"]["rewritten"]


def test_the_first_networks_weights_are_those_that_were_trained():
    """Its papers were rewritten, its weights never."""
    weights = ROOT / "workflow" / "networks" / "first" / "network" / "weights.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == FIRST_WEIGHTS


def test_the_checks_of_a_configuration_need_no_pytorch():
    """Snakemake makes them while it reads its file."""
    program = (
        "import sys; from segdepth.config import load_config; from segdepth.steps.pretrained import check_pretrained; "
        "from segdepth.networks.bundled import check_bundled; config = load_config('config.yaml'); "
        "check_pretrained(config); check_bundled(config); print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]
