"""Training on made-up waves: resuming, what is written, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from training_data import (
    CPU,
    CRYSTAL,
    DATASET,
    IMAGING,
    LABELS,
    SPECIMEN,
    block,
    blocks_of,
    build_shards,
    cache_of,
    cut_the_power_in_epoch,
    facts_of,
    source,
    train,
    training_set,
)

from segdepth.config import Imaging, Model, Splits, join_blocks
from segdepth.errors import ConfigError, StoreError
from segdepth.learning.callbacks import Curve
from segdepth.learning.samples import TrainingSamples
from segdepth.learning.training_sets import counted_elements, crystal_of
from segdepth.learning.validation import fixed_batches
from segdepth.networks.card import read_card
from segdepth.networks.files import load_network
from segdepth.networks.training_record import structures_seen
from segdepth.steps.train_model import part_shards
from segdepth.store.manifest import check_whole, read_manifest
from segdepth.store.zarr_store import open_zarr

CURVE_FIELDS = (
    "epoch", "step", "train_loss", "validation_loss", "centre_accuracy", "centre_accuracy_Ce", "centre_accuracy_O",
    "learning_rate",
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return build_shards(tmp_path_factory.mktemp("shards"))


def test_what_is_written_can_be_loaded_and_names_its_structures(shards, tmp_path):
    folder = train(shards, tmp_path, block(epochs=2))
    network, card = load_network(folder)
    assert card.variant == "binned" and card.dose_lambda == 2.5 and not network.training
    assert list(pd.read_csv(folder / "curve.csv").columns) == list(CURVE_FIELDS)
    splits = {"test": 0.2, "validation": 0.2, "train": 0.6}
    assert card.training_record == [{"specimen": "s", "root_seed": 3, "structures": 6, "splits": splits}]
    assert structures_seen(card.training_record, "s", 3) == set(DATASET.structures_seen(SPECIMEN)) != set()
    assert card.crystal == json.loads(json.dumps(CRYSTAL)) and card.classes == 11
    assert facts_of(folder)["epochs"] == 2 and "notes" not in read_manifest(folder)["parameters"]


def test_a_card_holds_counted_electrons(shards, tmp_path):
    """As a micrograph does, against which they are held."""
    lens = IMAGING.model_copy(update={"detection_efficiency": 0.4})
    _, card = load_network(train(shards, tmp_path, block(epochs=1), blocks=[blocks_of(imaging=lens)]))
    assert card.doses == pytest.approx((1.0, 1.0)) and card.dose_lambda == pytest.approx(1.0)
    _, card = load_network(train(shards, tmp_path / "one", block(epochs=1, dose_lambda=(0.5, 0.5))))
    assert tuple(card.doses) == (0.5, 0.5)  # not its data set's
    _, card = load_network(
        train(
            shards,
            tmp_path / "range",
            block(epochs=1, dose_lambda=(0.5, 10)),
            blocks=[blocks_of(imaging=lens)],
        )
    )
    assert card.doses == pytest.approx((0.2, 4.0))


def test_the_epoch_of_the_samples_is_not_the_curves_business(shards, tmp_path, monkeypatch):
    """Every epoch draws samples of its own, whatever watches the training."""
    drawn = []
    drawing = TrainingSamples.__iter__

    def watched(self):
        drawn.append(self.epoch)
        yield from drawing(self)

    monkeypatch.setattr(TrainingSamples, "__iter__", watched)
    monkeypatch.setattr(Curve, "on_train_epoch_end", lambda self, trainer, _: self.rows.append(
        {"epoch": trainer.current_epoch, "validation_loss": float(trainer.callback_metrics["validation_loss"])}
    ))  # fmt: skip
    train(shards, tmp_path, block(epochs=3))
    assert drawn == [0, 1, 2]


def test_the_network_that_is_saved_is_the_one_that_is_measured(shards, tmp_path):
    folder = train(shards, tmp_path, block(epochs=3))
    best = facts_of(folder)["best"]
    assert best["validation_loss"] == pd.read_csv(folder / "curve.csv")["validation_loss"].min()
    network, given = load_network(folder)[0], training_set(shards)
    held_out = fixed_batches([given.source().part(given.indices("validation"))], block(), 3, CPU)
    right = inside = 0
    with torch.no_grad():
        for batch in held_out:
            centre = batch.regions > 0
            right += int(((network(batch.noisy).argmax(1) == batch.depth) & centre).sum())
            inside += int(centre.sum())
    assert best["centre_accuracy"] == pytest.approx(right / inside, abs=1e-6)


def test_stores_are_closed_when_a_training_ends(shards, tmp_path, monkeypatch):
    """Also when it fails."""
    from segdepth.steps import train_model as step

    given, closed = [], []

    def watched(path, command):
        store = open_zarr(path, command)
        given.append(path)
        store.set_close(lambda: closed.append(path))
        return store

    monkeypatch.setattr(step, "open_zarr", watched)
    train(shards, tmp_path, block(epochs=1))
    assert sorted(closed) == sorted(given) == sorted(shards["waves"] + shards["depth"])
    given.clear(), closed.clear()
    cut_the_power_in_epoch(0, monkeypatch)
    with pytest.raises(RuntimeError, match="power cut"):
        train(shards, tmp_path / "cut", block(epochs=1))
    assert sorted(closed) == sorted(given) != []


TRAINABLE = Model(datasets=["d"], architecture={"base_channels": 2}, training=block())


@pytest.mark.parametrize(
    ("changes", "of_dataset", "says"),
    [
        ({}, {"splits": Splits(test=0.5, validation=0.5, train=0)}, r"datasets.d.splits.train: got 0, which leaves"),
        ({}, {"splits": Splits(test=0.5, validation=0, train=0.5)}, r"datasets.d.splits.validation: got 0"),
        ({"training": block(crop_pixels=128)}, {}, r"models.net.training.crop_pixels: got 128; the field has 64"),
        ({"architecture": {"base_channels": 2, "variant": "full"}}, {}, r"variant: got 'full'.* needs a label pixel 4"),
        ({"training": block(batch_size=1)}, {}, r"models.net.training.batch_size: got 1 with crops of 64"),
        ({"training": block(batch_size=16)}, {}, r"epoch_samples: got 12; one step .* takes 16"),
        ({"datasets": ("d", "e")}, {}, r"models.net.datasets: got 2 names and 1 data sets"),
    ],
)
def test_what_cannot_be_trained_is_told_at_once(changes, of_dataset, says, shards, tmp_path):
    """Also of blocks that were given by hand, which no configuration has checked."""
    model = Model.model_validate(
        TRAINABLE.model_dump() | {k: v if isinstance(v, dict | tuple) else v.model_dump() for k, v in changes.items()}
    )
    given = blocks_of(DATASET.model_copy(update=of_dataset))
    with pytest.raises(ConfigError, match=says):
        train(shards, tmp_path, block(), model=model, blocks=[given])
    assert not (tmp_path / "models").exists()


def test_the_full_network_reads_fine_pixels_and_labels_of_the_same_crop(shards, tmp_path):
    fine = Imaging(defocus_nm=(2, 6), focal_steps=3, pixel_pm=5411 / 1024)
    structures = cache_of(shards, [2])
    batch = next(iter(TrainingSamples([source(structures, fine)], block(crop_pixels=128, flip=False), CPU)))
    assert batch.noisy.shape == (2, 1, 128, 128) and batch.depth.shape == (2, 32, 32)
    places = structures.maps(0)["depth"].unfold(0, 32, 1).unfold(1, 32, 1)
    assert all((places == depth).all(-1).all(-1).any() for depth in batch.depth)
    model = Model(datasets=["d"], architecture={"variant": "full", "base_channels": 2}, training=block(epochs=1))
    folder = train(shards, tmp_path, model.training, model=model, blocks=[blocks_of(imaging=fine)])
    network, card = load_network(folder)
    assert network(torch.ones(1, 1, 64, 128)).shape == (1, 11, 16, 32) and card.input_pixel_pm == fine.pixel_pm


def test_nobody_elses_folder_is_removed_with_old_checkpoints(shards, tmp_path):
    folder = tmp_path / "checkpoints" / "net"
    (folder / "0123456789abcdef").mkdir(parents=True)
    (folder / "0123456789abcdef" / "last.ckpt").touch()  # an old training's
    (folder / "fedcba9876543210").mkdir()
    (folder / "fedcba9876543210" / "thesis.tex").touch()
    (folder / "photos").mkdir()
    (folder / "notes.txt").touch()
    train(shards, tmp_path, block(epochs=1))
    assert sorted(path.name for path in folder.iterdir()) == ["fedcba9876543210", "notes.txt", "photos"]


def test_edited_weights_are_refused(shards, tmp_path):
    folder = train(shards, tmp_path, block(epochs=1))
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(StoreError, match="edited or damaged"):
        check_whole(folder)
    model = Model(datasets=["d"], architecture={"base_channels": 2}, training=block(), init_weights=str(folder))
    with pytest.raises(StoreError, match="edited or damaged"):
        train(shards, tmp_path / "next", block(), model=model)


def test_several_data_sets_are_trained_on_together(shards, tmp_path):
    """Each with its own lens and dose; every structure as often."""
    bright = IMAGING.model_copy(update={"image_spread_pm": 60.0})
    cache = cache_of(shards, [0, 2, 4, 5])
    sources = [source(cache.part([0]), dose_lambda=1e6), source(cache.part([2, 4, 5]), bright, dose_lambda=0.1)]
    training = block(batch_size=4, epoch_samples=400, flip=False, noise_repeats=1)
    grain = torch.cat([batch.noisy.flatten(1).std(1) for batch in TrainingSamples(sources, training, CPU)])
    noisy = grain > grain.min() * 3
    assert noisy.float().mean() == pytest.approx(0.75, abs=0.08)
    other = DATASET.model_copy(update={"imaging": "j", "dose_lambda": 20.0})
    model = Model(datasets=["d", "e"], architecture={"base_channels": 2}, training=block(epochs=1))
    folder = train(
        shards,
        tmp_path,
        model.training,
        model=model,
        blocks=[blocks_of(), blocks_of(other, bright)],
    )
    card = read_card(folder)
    assert card.dose_lambda == 2.5 and len(card.training_record) == 1  # both are of the same structures


def test_shards_are_parted_by_the_specimens():
    more = SPECIMEN.model_copy(update={"structures": 3})
    paths = [Path(f"{i}") for i in range(3)]
    blocks = join_blocks([DATASET] * 2, [SPECIMEN, more], [IMAGING] * 2, [LABELS] * 2)
    assert blocks[1].specimen is more
    assert part_shards(blocks, paths, paths) == [(paths[:2], paths[:2]), (paths[2:], paths[2:])]
    with pytest.raises(ConfigError, match="--depth: got 2 shards; the specimens have 3"):
        part_shards(blocks, paths, paths[:2])
    with pytest.raises(ConfigError, match="1 --imaging"):
        join_blocks([DATASET] * 2, [SPECIMEN, more], [IMAGING], [LABELS] * 2)


def test_waves_of_two_crystals_are_not_trained_on_together(shards):
    one, other = training_set(shards), training_set(shards)
    for store in other.waves:
        store.attrs["crystal"] = json.dumps(CRYSTAL | {"formula": "ThO2"})
    with pytest.raises(StoreError, match=r"waves of CeO2 \[110\] and ThO2 \[110\] cannot be trained on together"):
        crystal_of([one, other])
    assert counted_elements([one]) == ("Ce", "O")
    for store in one.waves:
        del store.attrs["crystal"]
    assert crystal_of([one]) == {} and counted_elements([one]) == ("Ce", "O")  # as the labels block tells


def test_the_space_to_depth_network_trains_and_loads(shards, tmp_path):
    model = Model(
        datasets=["d"], architecture={"variant": "space_to_depth", "base_channels": 2}, training=block(epochs=1)
    )
    network, card = load_network(train(shards, tmp_path, model.training, model=model))
    assert card.variant == "space_to_depth" and network(torch.ones(1, 1, 64, 128)).shape == (1, 11, 64, 128)


def test_two_processes_train_one_network(shards, tmp_path):
    """As two GPUs would: the command starts the second process itself; one of them writes."""
    model = Model(datasets=["d"], architecture={"base_channels": 2}, training=block(epochs=2, devices=2))
    blocks = {"model": model, "dataset": DATASET, "specimen": SPECIMEN, "imaging": IMAGING, "labels": LABELS}
    command = [str(Path(sys.executable).with_name("segdepth")), "train-model", "--name", "net", "--root-seed", "3"]
    command += [part for name, one in blocks.items() for part in (f"--{name}", one.as_json())]
    command += [part for name in ("waves", "depth") for path in shards[name] for part in (f"--{name}", str(path))]
    command += ["--device", "cpu", "--threads", "1", "--checkpoints", str(tmp_path / "checkpoints")]
    done = subprocess.run([*command, "--out", str(tmp_path / "net")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "net" / "curve.csv")) == 2
    alone = train(shards, tmp_path, block(epochs=2))
    steps = [pd.read_csv(folder / "curve.csv")["step"].iloc[-1] for folder in (alone, tmp_path / "net")]
    assert steps == [12, 6]  # each process took half of the epoch's samples


def test_flip_average_reads_a_frame_twice(shards, tmp_path):
    plain = Model(datasets=["d"], architecture={"base_channels": 2}, training=block(epochs=1))
    once, twice = (
        load_network(train(shards, tmp_path / str(flip), plain.training, model=model))[0]
        for flip in (False, True)
        for model in [plain.model_copy(update={"flip_average": flip})]
    )
    frame = torch.rand(1, 1, 64, 128)
    with torch.no_grad():
        assert torch.allclose(twice(frame), twice(frame.flip(-1)).flip(-1), atol=1e-5)
        assert not torch.allclose(once(frame), once(frame.flip(-1)).flip(-1), atol=1e-3)


def test_a_card_tells_the_doses_of_all_data_sets(shards, tmp_path):
    other = DATASET.model_copy(update={"imaging": "j", "dose_lambda": 20.0})
    model = Model(datasets=["d", "e"], architecture={"base_channels": 2}, training=block(epochs=1))
    lens = IMAGING.model_copy(update={"detection_efficiency": 0.5})
    blocks = [blocks_of(), blocks_of(other, lens)]
    card = load_network(train(shards, tmp_path, model.training, model=model, blocks=blocks))[1]
    assert card.dose_lambda == 2.5 and tuple(card.doses) == (2.5, 10.0)


def test_a_training_goes_on_from_another_network_and_tells_so(shards, tmp_path):
    """With steps of next to nothing it stays where it began; the crystals of both are known as seen."""
    first = train(shards, tmp_path / "a", block(epochs=1))
    crawl = block(epochs=1, learning_rate=1e-9, seed=5)
    model = Model(datasets=["d"], architecture={"base_channels": 2}, training=crawl, init_weights=str(first))
    other = blocks_of(DATASET.model_copy(update={"specimen": "other"}))
    second = train(shards, tmp_path / "b", crawl, model=model, blocks=[other])
    begun, ended, fresh = (
        load_network(folder)[0].encoder[0][0].weight for folder in (first, second, train(shards, tmp_path / "c", crawl))
    )
    assert torch.allclose(begun, ended, atol=1e-6) and not torch.allclose(begun, fresh, atol=1e-2)
    assert str(first.resolve()) in [str((second.parent / g["path"]).resolve()) for g in read_manifest(second)["inputs"]]
    mine, its = (read_card(folder).training_record for folder in (second, first))
    assert structures_seen(mine, "s", 3) == structures_seen(its, "s", 3) != set()
    assert structures_seen(mine, "other", 3) and not structures_seen(its, "other", 3)


def test_a_training_goes_on_to_more_classes_than_the_other_network_had(shards, tmp_path):
    """With a score of the depths' order and samples upside down; its card says what the last class is."""
    made = {"architecture": {"variant": "space_to_depth", "base_channels": 2}}
    first = train(
        shards, tmp_path / "a", block(epochs=1), model=Model(datasets=["d"], training=block(epochs=1), **made)
    )
    crawl = block(epochs=1, learning_rate=1e-9, ordinal_weight=0.3, flip_y=True)
    model = Model(datasets=["d"], training=crawl, init_weights=str(first), **made)
    thick = LABELS.model_copy(update={"most_atoms": 30, "more": True})
    second = train(shards, tmp_path / "b", crawl, model=model, blocks=[blocks_of()._replace(labels=thick)])
    (old, before), (new, card) = load_network(first), load_network(second)
    assert (card.classes, card.most_atoms, card.more) == (32, 30, True) and (before.most_atoms, before.more) == (
        10,
        False,
    )
    frame = torch.rand(1, 1, 64, 128, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        old, new = old(frame) * before.temperature, new(frame) * card.temperature
    # what batch norms have seen differs
    assert torch.corrcoef(torch.stack([old.flatten(), new[:, :11].flatten()]))[0, 1] > 0.95
    assert new.argmax(1).max() <= 10


def test_a_training_refuses_to_begin_with_another_architecture(shards, tmp_path):
    first = train(shards, tmp_path / "a", block(epochs=1))
    model = Model(datasets=["d"], architecture={"base_channels": 4}, training=block(), init_weights=str(first))
    with pytest.raises(ConfigError, match=r"models.net.init_weights: got .*, which is binned with base_channels 2"):
        train(shards, tmp_path / "b", block(), model=model)
    assert not (tmp_path / "b" / "checkpoints").exists()
