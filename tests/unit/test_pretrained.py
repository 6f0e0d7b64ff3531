"""Trainings that begin with the weights of a trained network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from segdepth.config import Architecture, Config, Model, Splits, load_config
from segdepth.errors import ConfigError, StoreError
from segdepth.learning.pretrained import check_pretrained, check_pretrained_network
from segdepth.networks.architectures import make_network
from segdepth.networks.bundled import bundled_folder
from segdepth.networks.files import NetworkCard, load_network, load_weights, save_network
from segdepth.networks.training_record import structures_seen
from segdepth.store.manifest import writing

ROOT = Path(__file__).parents[2]
LEARNT = [{"specimen": "s", "root_seed": 3, "indices": [4, 7]}]


def trained(folder: Path, base_channels: int = 2, command: str = "train-model", notes=LEARNT) -> Path:
    card = NetworkCard("binned", base_channels, 11, 21.0, 21.0, 5411.0, 2.5, {})
    with writing(folder, command=command, code="c", parameters={}, notes={"training_structures": notes}) as partial:
        partial.mkdir()
        save_network(make_network("binned", base_channels), card, partial)
    return folder


def with_models(**models) -> Config:
    """The default configuration with other models of two channels, each with its ``start``."""
    config = load_config(ROOT / "config.yaml")
    small = config.models["unet16"].model_copy(update={"architecture": Architecture(base_channels=2)})
    return config.model_copy(
        update={"models": {name: small.model_copy(update={"start": start}) for name, start in models.items()}}
    )


def test_a_network_gets_all_of_the_others_weights(tmp_path):
    folder, network = trained(tmp_path / "first"), make_network("binned", 2)
    load_weights(network, folder)
    wanted = load_network(folder)[0].state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("harm", ["edited", "wide", "kind"])
def test_weights_that_are_not_whole_or_do_not_fit_are_refused(tmp_path, harm):
    folder = trained(tmp_path / "first", 4 if harm == "wide" else 2, "ship-it" if harm == "kind" else "export-model")
    if harm == "edited":
        (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(StoreError, match="edited|does not fit|was made by"):
        load_weights(make_network("binned", 2), folder)


def test_a_beginning_is_known_by_its_card(tmp_path):
    folder = trained(tmp_path / "first")
    check_pretrained_network("models.a.start", folder, Architecture(base_channels=2))
    with pytest.raises(ConfigError, match=r"models.a.start: got .*first, which is binned with base_channels 2; .* 4"):
        check_pretrained_network("models.a.start", folder, Architecture(base_channels=4))
    (folder / "network.json").write_text(json.dumps({"variant": "round", "base_channels": 2}))
    for place in (folder, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="no trained network lies there"):
            check_pretrained_network("models.a.start", place, Architecture(base_channels=2))


def test_one_training_may_follow_another_but_none_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "first")
    check_pretrained(with_models(a="first", b="results/models/a", c=None, d="results/models/c"))
    with pytest.raises(ConfigError, match="circle: a <- b <- a"):
        check_pretrained(with_models(a="results/models/b", b="results/models/a"))
    with pytest.raises(ConfigError, match="circle: a <- a"):
        check_pretrained(with_models(a="results/models/a"))
    with pytest.raises(ConfigError, match=r"models.a.start: got 'results/models/z'; no trained network"):
        check_pretrained(with_models(a="results/models/z"))
    config = with_models(a="results/models/b", b=None)
    other = config.models["b"].model_copy(update={"architecture": Architecture(base_channels=4)})
    with pytest.raises(ConfigError, match="base_channels 4; the network to be trained is binned with base_channels 2"):
        check_pretrained(config.model_copy(update={"models": config.models | {"b": other}}))


def test_a_beginning_has_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for start in ("./results/models/a", "results/models/a/", " results/models/b/../a"):
        model = Model(datasets=["quick"], start=start)
        assert model.init_weights == "results/models/a"
    trained(tmp_path / "results/models/a")
    with pytest.raises(ConfigError, match=r"models.b.start: got '/.*/results/models/a'; write results/models/a$"):
        check_pretrained(with_models(a=None, b=str(tmp_path / "results/models/a")))


def test_the_network_that_shipping_replaces_begins_none():
    with pytest.raises(ConfigError, match="models.a.start: got .*make ship replaces; copy it"):
        check_pretrained(with_models(a=str(bundled_folder())))


@pytest.mark.parametrize("harm", ["no manifest", "edited", "told nothing"])
def test_a_beginning_that_is_not_whole_is_refused_before_any_job(harm, tmp_path):
    folder = trained(tmp_path / "first")
    told = tmp_path / "first.manifest.json"
    if harm == "no manifest":
        told.unlink()
    elif harm == "edited":
        (folder / "weights.safetensors").write_bytes(b"no weights")
    else:
        told.write_text(told.read_text().replace("training_structures", "something_else"))
    with pytest.raises(ConfigError, match="models.a.start: got '/.*first'; .*(no manifest|edited|another version)"):
        check_pretrained(with_models(a=str(folder)))


def test_what_the_network_before_has_learnt_is_seen(tmp_path, monkeypatch):
    """Be it trained on the way or elsewhere."""
    monkeypatch.chdir(tmp_path)
    config = with_models(a=None, b="results/models/a", c="results/models/b")
    tests = Splits(test=1, validation=0, train=0)
    all_of_it = config.datasets["quick"].model_copy(update={"splits": tests})
    config = config.model_copy(update={"datasets": config.datasets | {"all": all_of_it}})
    for model in ("b", "c"):
        check_pretrained(config.model_copy(update={"evaluations": {model: ["quick"]}}))
        with pytest.raises(ConfigError, match=rf"evaluations.{model}: \d+ test structures of 'all' .*models/[ab] has"):
            check_pretrained(config.model_copy(update={"evaluations": {model: ["all"]}}))
    shown = {
        "micrographs": {"m": config.micrographs["camera"].model_copy(update={"dataset": "all"})},
        "predictions": {"p": config.predictions["camera"].model_copy(update={"model": "b", "micrograph": "m"})},
    }
    with pytest.raises(ConfigError, match=r"predictions.p: \d+ test structures of 'all'"):
        check_pretrained(config.model_copy(update=shown | {"evaluations": {}}))
    trained(tmp_path / "first", notes=[{"specimen": "wedge", "root_seed": config.root_seed, "indices": [3, 5]}])
    outside = config.model_copy(
        update={"models": {"d": with_models(d="first").models["d"]}, "evaluations": {"d": ["all"]}}
    )
    with pytest.raises(ConfigError, match=r"evaluations.d: 2 test structures of 'all' \(the first is 3\) .* first has"):
        check_pretrained(outside)


def test_the_networks_that_presets_begin_with_are_whole(tmp_path):
    """And stay so wherever the checkout lies."""
    for card in sorted((ROOT / "workflow" / "networks").glob("*/network/network.json")):
        folder = tmp_path / card.parts[-3]
        shutil.copytree(card.parents[1], folder)
        network = load_network(folder / "network")[0]
        load_weights(network, folder / "network")
        assert not structures_seen(folder / "network", "benchmark_smooth", 20260117)
        assert structures_seen(folder / "network", "train_smooth", 20260117)
