"""Trainings that are stopped, end early or fail, on made-up waves."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from training_data import (
    DATASET,
    block,
    blocks_of,
    build_shards,
    cut_the_power_in_epoch,
    facts_of,
    train,
)

from segdepth.config import Splits
from segdepth.errors import TrainingError
from segdepth.learning.callbacks import Curve
from segdepth.learning.module import NetworkModule
from segdepth.learning.training import TrainedNetwork
from segdepth.store.manifest import manifest_path


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return build_shards(tmp_path_factory.mktemp("shards"))


def stopped(shards, tmp_path, monkeypatch, name: str = "last") -> Path:
    """A checkpoint of a training whose power was cut in epoch 2."""
    with monkeypatch.context() as patch:
        cut_the_power_in_epoch(2, patch)
        with pytest.raises(RuntimeError, match="power cut"):
            train(shards, tmp_path, block())
    (path,) = (tmp_path / "checkpoints/net").glob(f"*/{name}.ckpt")
    return path


def test_a_training_that_goes_on_elsewhere_adds_its_run(shards, tmp_path, monkeypatch):
    path = stopped(shards, tmp_path, monkeypatch)
    kept = torch.load(path, weights_only=True)
    (entry,) = kept["callbacks"]["Runs"]["entries"]
    assert entry["device"] == "cpu" and entry["epochs"] == [0, 1] and entry["versions"]["torch"]
    entry |= {"device": "A GPU", "commit": "0123", "versions": {"torch": "1.0"}, "seconds": 5000.0, "threads": 8}
    torch.save(kept, path)
    facts = facts_of(train(shards, tmp_path, block()))
    first, second = facts["runs"]
    assert first == entry  # the process that trained these epochs, not the one that finished
    assert second["device"] == "cpu" and second["epochs"] == [2, 3] and second["threads"] == 1
    assert second["versions"]["torch"] == torch.__version__ and len(second["commit"]) >= 7
    assert 5000 < facts["training_seconds"] < 5600 and 0 < second["seconds"] < 600


def test_a_stopped_training_goes_on_to_the_same_network(shards, tmp_path, monkeypatch):
    whole = train(shards, tmp_path / "whole", block())
    ended = cut_the_power_in_epoch(2, monkeypatch)
    with pytest.raises(RuntimeError, match="power cut"):
        train(shards, tmp_path / "cut", block())
    assert not (tmp_path / "cut/models/net").exists()
    assert list((tmp_path / "cut/checkpoints").rglob("last.ckpt"))
    monkeypatch.setattr(Curve, "on_train_epoch_end", ended)
    resumed = train(shards, tmp_path / "cut", block())
    assert (whole / "weights.safetensors").read_bytes() == (resumed / "weights.safetensors").read_bytes()
    assert (len(facts_of(whole)["runs"]), len(facts_of(resumed)["runs"])) == (1, 2)
    one, other = (manifest_path(folder).read_bytes() for folder in (whole, resumed))
    assert one == other, "what is behind a network must not be made again if it is the same one"
    assert not list((tmp_path / "cut/checkpoints/net").iterdir())


def test_a_checkpoint_is_whole_whenever_its_training_is_killed(shards, tmp_path, monkeypatch):
    """It is written beside its place, not through TMPDIR, and replaces the earlier one in one move."""
    moves, rename = [], os.replace

    class Killed(BaseException):
        pass

    def move(there, here):
        path = Path(here)
        if path.suffix == ".ckpt":
            moves.append((Path(there).parent, path.parent))
            if path.name == "last.ckpt" and path.exists() and torch.load(path, weights_only=True)["epoch"] == 2:
                raise Killed
        return rename(there, here)

    monkeypatch.setattr(os, "replace", move)
    monkeypatch.setattr(tempfile, "mkstemp", lambda *args, **options: pytest.fail("TMPDIR is used"))
    with pytest.raises(Killed):
        train(shards, tmp_path, block())
    assert len(moves) > 4 and all(there == here for there, here in moves)
    monkeypatch.setattr(os, "replace", rename)
    (last,) = (tmp_path / "checkpoints/net").glob("*/last.ckpt")
    assert torch.load(last, weights_only=True)["epoch"] == 2
    assert sorted(path.name for path in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]
    train(shards, tmp_path, block())


def test_a_training_goes_on_from_its_last_epoch_though_an_earlier_one_was_better(shards, tmp_path, monkeypatch):
    def worse(self, trainer, module):
        trainer.callback_metrics["validation_loss"] += trainer.current_epoch
        ended(self, trainer, module)

    ended = Curve.on_train_epoch_end
    monkeypatch.setattr(Curve, "on_train_epoch_end", worse)
    path = stopped(shards, tmp_path, monkeypatch)
    assert torch.load(path, weights_only=True)["epoch"] == 1
    assert torch.load(path.with_name("best.ckpt"), weights_only=True)["epoch"] == 0


def test_a_training_with_other_splits_dose_or_seed_begins_anew(shards, tmp_path, monkeypatch):
    cut_the_power_in_epoch(1, monkeypatch)
    names = set()
    for changes in (
        {},
        {"blocks": [blocks_of(DATASET.model_copy(update={"dose_lambda": 50.0}))]},
        {"blocks": [blocks_of(DATASET.model_copy(update={"splits": Splits(test=0.1, validation=0.3, train=0.6)}))]},
        {"root_seed": 4},
    ):
        with pytest.raises(RuntimeError, match="power cut"):
            train(shards, tmp_path, block(), **changes)
        names |= {folder.name for folder in (tmp_path / "checkpoints/net").iterdir()}
    assert len(names) == 4


def test_a_training_that_ends_early_ends_at_a_low_rate(shards, tmp_path):
    """And before its time; what is kept is the best epoch's, which the low rate may make better."""
    given = {"epochs": 30, "learning_rate": 0.3, "optimizer": "adam"}
    curve = pd.read_csv(train(shards, tmp_path / "early", block(patience_epochs=1, **given)) / "curve.csv")
    assert len(curve) < 30
    highest, last = curve["learning_rate"].max(), curve["learning_rate"].iloc[-1]
    assert highest > 1e-2 and last < 1e-3 * highest


def test_an_early_end_survives_a_stop(shards, tmp_path, monkeypatch):
    given = {"epochs": 30, "patience_epochs": 1, "learning_rate": 0.3, "optimizer": "adam"}
    whole = train(shards, tmp_path / "whole", block(**given))
    epochs = len(pd.read_csv(whole / "curve.csv"))
    ended = cut_the_power_in_epoch(epochs - 1, monkeypatch)  # within the faster end
    with pytest.raises(RuntimeError, match="power cut"):
        train(shards, tmp_path / "cut", block(**given))
    monkeypatch.setattr(Curve, "on_train_epoch_end", ended)
    resumed = train(shards, tmp_path / "cut", block(**given))
    for name in ("curve.csv", "weights.safetensors"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_a_training_that_ended_early_is_not_trained_further(shards, tmp_path, monkeypatch):
    given = {"epochs": 30, "patience_epochs": 1, "learning_rate": 0.3, "optimizer": "adam"}
    whole = train(shards, tmp_path / "whole", block(**given))

    def full_disk(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(TrainedNetwork, "write", full_disk)
        with pytest.raises(OSError, match="disk full"):
            train(shards, tmp_path / "cut", block(**given))
    resumed = train(shards, tmp_path / "cut", block(**given))
    for name in ("curve.csv", "weights.safetensors"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_without_patience_all_epochs_are_trained(shards, tmp_path):
    curve = pd.read_csv(train(shards, tmp_path, block(epochs=12, learning_rate=0.3, optimizer="adam")) / "curve.csv")
    assert len(curve) == 12 and curve["learning_rate"].iloc[-1] < 1e-3 * curve["learning_rate"].max()


def test_a_loss_that_is_not_finite_is_told_in_one_line(shards, tmp_path, monkeypatch):
    from segdepth.learning import tasks

    monkeypatch.setattr(tasks, "weighted_cross_entropy", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(TrainingError, match="learning_rate"):
        train(shards, tmp_path, block(epochs=1))
    assert not (tmp_path / "models/net").exists()


@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_one_loss_that_is_not_finite_is_not_overlooked(wrong, shards, tmp_path, monkeypatch):
    """The loss is checked now and then: the sum in between keeps what was wrong."""
    from segdepth.learning import tasks

    right, steps = tasks.weighted_cross_entropy, iter(range(100))
    monkeypatch.setattr(
        tasks, "weighted_cross_entropy", lambda *given: right(*given) * (np.inf if next(steps) == wrong else 1)
    )
    monkeypatch.setattr(NetworkModule, "on_before_optimizer_step", lambda self, _: self.zero_grad())
    with pytest.raises(TrainingError, match="the loss became .* by step"):
        train(shards, tmp_path, block(epochs=1, batch_size=2, epoch_samples=12))
    assert not (tmp_path / "models/net").exists()


def test_weights_that_are_not_finite_are_told_and_the_last_good_checkpoint_stays(shards, tmp_path, monkeypatch):
    """The last step of an epoch may be the one that went too far: validation sees it."""
    validated = NetworkModule.on_validation_epoch_start

    def spoil(self) -> None:
        if self.current_epoch == 1:
            next(self.network.parameters()).data.fill_(float("nan"))
        validated(self)

    monkeypatch.setattr(NetworkModule, "on_validation_epoch_start", spoil)
    with pytest.raises(TrainingError, match="validation loss became nan.*learning_rate"):
        train(shards, tmp_path, block(epochs=3))
    with pytest.raises(TrainingError, match="validation loss became nan"):
        train(shards, tmp_path, block(epochs=3, learning_rate=0.001))
    assert not (tmp_path / "models/net").exists()
    kept = sorted((tmp_path / "checkpoints/net").glob("*/best.ckpt"))
    assert len(kept) == 2
    state = torch.load(kept[0], weights_only=True)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("spoil", ["cut", "another width"])
def test_a_checkpoint_that_does_not_fit_is_told_in_one_line(name, spoil, shards, tmp_path, monkeypatch):
    path = stopped(shards, tmp_path, monkeypatch, name)
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        kept = torch.load(path, weights_only=True)
        kept["state_dict"]["network.head.bias"] = torch.zeros(7)
        torch.save(kept, path)
    if name == "best":  # read when the training is done, unless that is better
        monkeypatch.setattr(ModelCheckpoint, "on_train_epoch_end", lambda *_: None)
    says = "cannot be read" if spoil == "cut" else r"head.bias has the shape \[7\], not \[11\]"
    with pytest.raises(TrainingError, match=rf"{name}.ckpt: is damaged or another network's .*{says}"):
        train(shards, tmp_path, block())
    assert not (tmp_path / "models/net").exists()


@pytest.mark.parametrize("option", [{"gradient_clip": 0.01}, {"weight_decay": 0.3}, {"optimizer": "adam"}])
def test_an_option_changes_the_network_and_survives_a_stop(option, shards, tmp_path, monkeypatch):
    plain = train(shards, tmp_path / "plain", block())
    whole = train(shards, tmp_path / "whole", block(**option))
    ended = cut_the_power_in_epoch(2, monkeypatch)
    with pytest.raises(RuntimeError, match="power cut"):
        train(shards, tmp_path / "cut", block(**option))
    monkeypatch.setattr(Curve, "on_train_epoch_end", ended)
    resumed = train(shards, tmp_path / "cut", block(**option))
    bits = [(folder / "weights.safetensors").read_bytes() for folder in (plain, whole, resumed)]
    assert bits[0] != bits[1] == bits[2]
