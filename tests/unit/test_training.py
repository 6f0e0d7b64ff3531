"""Samples and training on made-up waves: draws, labels, resuming, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from lightning.pytorch.callbacks import ModelCheckpoint

from segdepth.config import Dataset, Imaging, Labels, Model, Specimen, Splits, Training
from segdepth.errors import ConfigError, StoreError
from segdepth.labels.depth import project_depth
from segdepth.learning import samples as samples_module
from segdepth.learning.callbacks import CURVE_FIELDS, Curve
from segdepth.learning.loss import column_cross_entropy, ordinal_targets, weighted_cross_entropy
from segdepth.learning.norm_statistics import fresh_samples
from segdepth.learning.samples import (
    Crops,
    Source,
    StructureCache,
    TrainingSamples,
    fixed_batches,
    number_columns,
    share_memory,
)
from segdepth.learning.training import train_model
from segdepth.learning.training_sets import TrainingSet, join_training_sets
from segdepth.networks.files import load_network
from segdepth.networks.training_record import structures_seen
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.specimen.plan import plan_specimens
from segdepth.steps.build_specimens import build_specimens
from segdepth.store.manifest import read_manifest, writing
from segdepth.store.zarr_store import write_zarr

SPECIMEN = Specimen(structures=6, shard_size=4, field_pm=1352.75, margin_pm=338.1875, bulk_atoms=(3, 5))
IMAGING = Imaging(defocus_nm=(2, 6), focal_steps=3)
DATASET = Dataset(
    specimen="s", beam="b", imaging="i", labels="l", splits={"test": 0.2, "validation": 0.2, "train": 0.6}
)
OTHER_SPLITS = Splits(test=0.1, validation=0.3, train=0.6)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> dict[str, list[Path]]:
    """Real atoms and labels; waves of random phase, since nothing here asks whether they belong together."""
    root = tmp_path_factory.mktemp("shards")
    plan_specimens(SPECIMEN, "s", 3, root / "specimens/s/plan.csv", "code")
    orders = stored_orders(SPECIMEN.cell_pm, 300, 45)
    found: dict[str, list[Path]] = {"waves": [], "depth": []}
    for shard in range(SPECIMEN.shards):
        atoms = root / f"specimens/s/shard-{shard:03d}.extxyz"
        build_specimens(SPECIMEN, "s", 3, shard, root / "specimens/s/plan.csv", atoms, "code")
        depth = root / f"depth/s/l/shard-{shard:03d}.zarr"
        project_depth(Labels(), atoms, depth, "code")
        with xr.open_zarr(depth, consolidated=False) as store:
            indices = store["structure"].values
        waves = []
        for index in indices:
            rng = np.random.default_rng(index)
            wave = 0.002 * (rng.normal(size=(2 * orders + 1,) * 2) + 1j * rng.normal(size=(2 * orders + 1,) * 2))
            wave[0, 0] = 1
            waves.append(wave.astype(np.complex64))
        text = {"units": "1", "long_name": "test"}
        dataset = xr.Dataset(
            {"wave": (("structure", "configuration", "ky", "kx"), np.stack(waves)[:, None], text)},
            coords={"structure": ("structure", indices, text)},
            attrs={
                "cell_pm": SPECIMEN.cell_pm, "margin_pm": SPECIMEN.margin_pm, "wavelength_pm": wavelength_pm(300),
                "stored_angle_mrad": 45.0,
            },
        )  # fmt: skip
        path = root / f"waves/s/b/shard-{shard:03d}.zarr"
        with writing(path, command="simulate-waves", code="code", parameters={}, inputs=[atoms]) as partial:
            write_zarr(dataset, partial, parameters={})
        found["waves"].append(path)
        found["depth"].append(depth)
    return found


def block(**changes) -> Training:
    settings = {"crop_pixels": 64, "batch_size": 2, "epoch_samples": 12, "epochs": 4, "precision": "float32"}
    return Training(**(settings | changes))


def training_set(shards, dataset: Dataset = DATASET, imaging: Imaging = IMAGING) -> TrainingSet:
    return TrainingSet(dataset, SPECIMEN, imaging, Labels(), shards["waves"], shards["depth"])


def source(structures: StructureCache, imaging: Imaging = IMAGING, dose_lambda: float = 2.5) -> Source:
    return Source(structures, imaging, dose_lambda, "s")


def train(shards, folder: Path, training: Training, **changes) -> Path:
    settings = {
        "name": "net",
        "model": Model(datasets=["d"], architecture={"base_channels": 2}, training=training),
        "training_sets": [training_set(shards)],
        "root_seed": 3,
        "out": folder / "models" / "net",
        "checkpoints": folder / "checkpoints" / "net",
        "code": "code",
        "device": "cpu",
        "threads": 1,
    }
    train_model(**(settings | changes))
    return folder / "models" / "net"


def test_samples_are_fresh_each_epoch_and_repeat_with_the_seed(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5])
    samples = TrainingSamples([source(structures)], block(optics_repeats=2), CPU)
    first = list(samples)
    assert len(first) == len(samples) == 6 and first[0].noisy.shape == (2, 1, 64, 64)
    again = list(samples)
    assert all(torch.equal(a.noisy, b.noisy) for a, b in zip(first, again))
    samples.epoch = 1
    assert not any(torch.equal(a.noisy, b.noisy) for a, b in zip(first, samples))


def test_labels_are_those_of_the_structure_mirrored_or_not(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [2])
    whole = structures.maps(0)["depth"]
    seen = set()
    for batch in TrainingSamples([source(structures)], block(), CPU):
        for depth in batch.depth:
            seen.add(
                "same" if torch.equal(depth, whole) else "flip_average" if torch.equal(depth, whole.flip(-1)) else "?"
            )
    assert seen == {"same", "flip_average"}


def test_noise_is_fresh_while_the_optics_are_reused(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [2])
    training = block(optics_repeats=6, flip=False, batch_size=1, epoch_samples=6)
    batches = [batch.noisy[0, 0] for batch in TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)]
    difference = max(float((a - batches[0]).abs().mean()) for a in batches[1:])
    assert 0 < difference < 0.01  # the same image, but for shot noise at a very high dose
    assert all(not torch.equal(a, batches[0]) for a in batches[1:])


def test_norms_are_averaged_over_samples_that_nothing_was_learnt_from(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5])
    samples = TrainingSamples([source(structures)], block(optics_repeats=1), CPU)  # else nothing would be the same
    fresh = fresh_samples(samples)
    assert fresh.sources == samples.sources
    learnt = []
    for epoch in range(samples.training.epochs):
        samples.epoch = epoch
        learnt += list(samples)
    assert not any(torch.equal(a.noisy, b.noisy) for a in fresh for b in learnt)
    assert (
        fresh_samples(TrainingSamples([source(structures)], block(optics_repeats=6), CPU)).training.optics_repeats == 1
    )


def test_a_crop_is_the_slice_that_it_names():
    maps = torch.arange(3 * 10 * 14).reshape(3, 10, 14)
    crops = Crops(np.array([0, 2, 1]), np.array([3, 0, 2]), np.array([False, True, False]))
    wanted = [maps[0, 0:4, 3:7], maps[1, 2:6, 0:4].flip(-1), maps[2, 1:5, 2:6]]
    assert torch.equal(crops.cut([list(maps)], 4)[0], torch.stack(wanted))
    assert torch.equal(maps[crops.places(4, 1, CPU)], torch.stack(wanted))
    wanted = [maps[0, 0:4, 6:10], maps[1, 4:8, 0:4].flip(-1), maps[2, 2:6, 4:8]]  # two pixels a label pixel
    assert torch.equal(crops.cut([list(maps)], 4, ratio=2)[0], torch.stack(wanted))
    assert torch.equal(maps[crops.places(4, 2, CPU)], torch.stack(wanted))


def test_shelves_that_read_ahead_hold_the_same(shards):
    one, other = (StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5]) for _ in range(2))
    other.read_ahead()
    for position in range(4):
        assert torch.equal(one.wave(position), other.wave(position))
        assert all(torch.equal(maps, other.maps(position)[name]) for name, maps in one.maps(position).items())
    assert other.wave.cache_info().misses == other.maps.cache_info().misses == 4


def test_shelves_share_memory_by_what_they_hold(shards, monkeypatch):
    few, many = (StructureCache(shards["waves"], shards["depth"], wanted) for wanted in ([1], [0, 2, 4, 5]))
    monkeypatch.setattr(samples_module, "KEPT_BYTES", 3 * few.bytes_each)
    share_memory([few, many], CPU)
    assert (few.kept_bytes, many.kept_bytes) == (3 * few.bytes_each // 5, 12 * few.bytes_each // 5)
    assert few.wave.cache_info().maxsize == 1 and many.wave.cache_info().maxsize == 2
    assert many.part([0, 2]).kept_bytes == many.kept_bytes


def kinds_among(batches: list[torch.Tensor]) -> int:
    """How many different images there are, noise aside."""
    firsts: list[torch.Tensor] = []
    for image in batches:
        if all(float((image - other).abs().mean()) > 0.002 for other in firsts):
            firsts.append(image)
    return len(firsts)


def test_an_images_repeats_lie_far_apart(shards, monkeypatch):
    """Every image of a pool comes once before any comes again; large images make a small pool."""
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5])
    training = block(optics_repeats=3, flip=False, batch_size=1, epoch_samples=36)
    images = TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)
    batches = [batch.noisy[0, 0] for batch in images]
    assert kinds_among(batches[:12]) == kinds_among(batches) == 12
    monkeypatch.setattr(samples_module, "POOL_BYTES", 2 * 4 * 64**2)
    batches = [batch.noisy[0, 0] for batch in images]
    assert kinds_among(batches[:6]) == 2 and kinds_among(batches) > 8


def test_an_epoch_is_cut_into_equal_pools(shards, monkeypatch):
    """A few images at its end, used again and again, would be learnt by heart just before the validation."""
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5])
    samples = TrainingSamples([source(structures)], block(optics_repeats=3, batch_size=1, epoch_samples=39), CPU)
    formed = []
    monkeypatch.setattr(samples, "_form", lambda which, _: formed.append(len(which)) or torch.ones(len(which), 64, 64))
    assert len(list(samples)) == 39
    assert formed == [7, 7]  # for 19 and 20 steps; not 12 and 1


def test_validation_does_not_depend_on_the_batch_size(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [0, 3])
    small, large = (fixed_batches([source(structures)], block(batch_size=size), 3, CPU) for size in (1, 5))
    assert torch.equal(torch.cat([b.noisy for b in small]), torch.cat([b.noisy for b in large]))
    assert torch.equal(torch.cat([b.depth for b in small]), torch.cat([b.depth for b in large]))


def test_a_structure_that_no_shard_holds_is_named(shards):
    with pytest.raises(ConfigError, match=r"\[99\]"):
        StructureCache(shards["waves"], shards["depth"], [0, 99])


def test_the_loss_is_the_papers_weighted_cross_entropy():
    logits, depth, weight = torch.randn(2, 11, 3, 4), torch.randint(11, (2, 3, 4)), torch.rand(2, 3, 4)
    probability = torch.softmax(logits, 1)
    total = sum(
        -weight[b, i, j] * probability[b, depth[b, i, j], i, j].log()
        for b in range(2) for i in range(3) for j in range(4)
    )  # fmt: skip
    assert float(weighted_cross_entropy(logits, depth, weight)) == pytest.approx(float(total / weight.sum()), rel=1e-5)


def cut_the_power_in_epoch(number: int, monkeypatch):
    """Training stops with an error after the epoch's row, before its checkpoint; returns what was there before."""
    ended = Curve.on_train_epoch_end

    def stop(self, trainer, pl_module):
        ended(self, trainer, pl_module)
        if trainer.current_epoch == number:
            raise RuntimeError("power cut")

    monkeypatch.setattr(Curve, "on_train_epoch_end", stop)
    return ended


def stopped(shards, tmp_path, monkeypatch, name: str = "last") -> Path:
    """A checkpoint of a training whose power was cut in epoch 2."""
    with monkeypatch.context() as patch:
        cut_the_power_in_epoch(2, patch)
        with pytest.raises(RuntimeError, match="power cut"):
            train(shards, tmp_path, block())
    (path,) = (tmp_path / "checkpoints/net").glob(f"*/{name}.ckpt")
    return path


def test_a_training_resumed_elsewhere_tells_both_devices(shards, tmp_path, monkeypatch):
    path = stopped(shards, tmp_path, monkeypatch)
    kept = torch.load(path, weights_only=True)
    assert kept["callbacks"]["Devices"] == {"names": ["cpu"]}
    kept["callbacks"]["Devices"]["names"] = ["A GPU"]
    torch.save(kept, path)
    facts = json.loads((train(shards, tmp_path, block()) / "environment.json").read_text())
    assert facts["device"] == "A GPU, then cpu"


def test_a_stopped_training_goes_on_to_the_same_network(shards, tmp_path, monkeypatch):
    whole = train(shards, tmp_path / "whole", block())
    ended = cut_the_power_in_epoch(2, monkeypatch)
    with pytest.raises(RuntimeError, match="power cut"):
        train(shards, tmp_path / "cut", block())
    assert not (tmp_path / "cut/models/net").exists()
    assert list((tmp_path / "cut/checkpoints").rglob("last.ckpt"))
    monkeypatch.setattr(Curve, "on_train_epoch_end", ended)
    resumed = train(shards, tmp_path / "cut", block())
    assert (whole / "curve.csv").read_text() == (resumed / "curve.csv").read_text()
    assert (whole / "weights.safetensors").read_bytes() == (resumed / "weights.safetensors").read_bytes()
    assert not list((tmp_path / "cut/checkpoints/net").iterdir())


def test_the_seconds_of_all_runs_are_told(shards, tmp_path, monkeypatch):
    last = stopped(shards, tmp_path, monkeypatch)
    kept = torch.load(last, weights_only=True)
    assert 0 < kept["callbacks"]["Timer"]["time_elapsed"]["train"] < 600
    kept["callbacks"]["Timer"]["time_elapsed"]["train"] = 5000.0
    torch.save(kept, last)
    facts = json.loads((train(shards, tmp_path, block()) / "environment.json").read_text())
    assert 5000 < facts["training_seconds"] < 5600


def test_a_training_with_other_splits_dose_or_seed_begins_anew(shards, tmp_path, monkeypatch):
    cut_the_power_in_epoch(1, monkeypatch)
    names = set()
    for changes in (
        {},
        {"training_sets": [training_set(shards, DATASET.model_copy(update={"dose_lambda": 50.0}))]},
        {"training_sets": [training_set(shards, DATASET.model_copy(update={"splits": OTHER_SPLITS}))]},
        {"root_seed": 4},
    ):
        with pytest.raises(RuntimeError, match="power cut"):
            train(shards, tmp_path, block(), **changes)
        names |= {folder.name for folder in (tmp_path / "checkpoints/net").iterdir()}
    assert len(names) == 4


def test_what_is_written_can_be_loaded_and_names_its_structures(shards, tmp_path):
    folder = train(shards, tmp_path, block(epochs=2))
    network, card = load_network(folder)
    assert card.variant == "binned" and card.dose_lambda == 2.5 and not network.training
    assert list(pd.read_csv(folder / "curve.csv").columns) == list(CURVE_FIELDS)
    (notes,) = read_manifest(folder)["notes"]["training_structures"]
    test = DATASET.structures_of("test", SPECIMEN)
    assert notes["indices"] and not set(notes["indices"]) & set(test)
    assert json.loads((folder / "environment.json").read_text())["epochs"] == 2


def test_a_card_holds_counted_electrons(shards, tmp_path):
    """As a micrograph does, against which they are held."""
    lens = IMAGING.model_copy(update={"detection_efficiency": 0.4})
    _, card = load_network(train(shards, tmp_path, block(epochs=1), training_sets=[training_set(shards, imaging=lens)]))
    assert card.doses == pytest.approx((1.0, 1.0)) and card.dose_lambda == pytest.approx(1.0)
    _, card = load_network(train(shards, tmp_path / "one", block(epochs=1, dose_lambda=(0.5, 0.5))))
    assert tuple(card.doses) == (0.5, 0.5)  # not its data set's
    _, card = load_network(
        train(
            shards,
            tmp_path / "range",
            block(epochs=1, dose_lambda=(0.5, 10)),
            training_sets=[training_set(shards, imaging=lens)],
        )
    )
    assert card.doses == pytest.approx((0.2, 4.0))


def test_training_stops_early(shards, tmp_path):
    folder = train(shards, tmp_path, block(epochs=30, patience_epochs=1, learning_rate=0.3))
    assert len(pd.read_csv(folder / "curve.csv")) < 30


def test_a_loss_that_is_not_finite_is_told_in_one_line(shards, tmp_path, monkeypatch):
    from segdepth.learning import module

    monkeypatch.setattr(module, "weighted_cross_entropy", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(ConfigError, match="learning_rate"):
        train(shards, tmp_path, block(epochs=1))
    assert not (tmp_path / "models/net").exists()


@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_one_loss_that_is_not_finite_is_not_overlooked(wrong, shards, tmp_path, monkeypatch):
    """The loss is looked at now and then: the sum in between keeps what was wrong."""
    from segdepth.learning import module

    right, steps = module.weighted_cross_entropy, iter(range(100))
    monkeypatch.setattr(
        module, "weighted_cross_entropy", lambda *given: right(*given) * (np.inf if next(steps) == wrong else 1)
    )
    monkeypatch.setattr(module.DepthModule, "on_before_optimizer_step", lambda self, _: self.zero_grad())
    with pytest.raises(ConfigError, match="the loss became .* by step"):
        train(shards, tmp_path, block(epochs=1, batch_size=2, epoch_samples=12))
    assert not (tmp_path / "models/net").exists()


def test_weights_that_are_not_finite_are_told_and_the_last_good_checkpoint_stays(shards, tmp_path, monkeypatch):
    """The last step of an epoch may be the one that went too far: validation sees it."""
    from segdepth.learning import module

    validated = module.DepthModule.on_validation_epoch_start

    def spoil(self) -> None:
        if self.current_epoch == 1:
            next(self.network.parameters()).data.fill_(float("nan"))
        validated(self)

    monkeypatch.setattr(module.DepthModule, "on_validation_epoch_start", spoil)
    with pytest.raises(ConfigError, match="validation loss became nan.*learning_rate"):
        train(shards, tmp_path, block(epochs=3))
    with pytest.raises(ConfigError, match="validation loss became nan"):
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
    with pytest.raises(ConfigError, match=rf"{name}.ckpt: is damaged or another network's .*{says}"):
        train(shards, tmp_path, block())
    assert not (tmp_path / "models/net").exists()


def test_the_network_that_is_saved_is_the_one_that_is_measured(shards, tmp_path):
    lesson_ = training_set(shards)
    for count, same in ((0, True), (2, False)):
        folder = train(shards, tmp_path / str(count), block(epochs=3, norm_batches=count))
        facts = json.loads((folder / "environment.json").read_text())
        assert (facts["final"]["validation_loss"] == pytest.approx(facts["best"]["validation_loss"], rel=1e-6)) == same
        network, card = load_network(folder)
        held_out = fixed_batches([lesson_.source().part(lesson_.indices("validation"))], block(), 3, CPU)
        right = inside = 0
        with torch.no_grad():
            for batch in held_out:
                centre = batch.regions > 0
                right += int(((network(batch.noisy).argmax(1) == batch.depth) & centre).sum())
                inside += int(centre.sum())
        assert facts["final"]["centre_accuracy"] == pytest.approx(right / inside, abs=1e-6)


LEARNABLE = Model(datasets=["d"], architecture={"base_channels": 2}, training=block())


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
def test_what_cannot_be_learnt_is_told_at_once(changes, of_dataset, says, shards, tmp_path):
    """Also of blocks that were given by hand, which no configuration has checked."""
    model = Model.model_validate(
        LEARNABLE.model_dump() | {k: v if isinstance(v, dict | tuple) else v.model_dump() for k, v in changes.items()}
    )
    given = training_set(shards, DATASET.model_copy(update=of_dataset))
    with pytest.raises(ConfigError, match=says):
        train(shards, tmp_path, block(), model=model, training_sets=[given])
    assert not (tmp_path / "models").exists()


def test_the_full_network_reads_fine_pixels_and_labels_of_the_same_crop(shards, tmp_path):
    fine = Imaging(defocus_nm=(2, 6), focal_steps=3, pixel_pm=5411 / 1024)
    structures = StructureCache(shards["waves"], shards["depth"], [2])
    batch = next(iter(TrainingSamples([source(structures, fine)], block(crop_pixels=128, flip=False), CPU)))
    assert batch.noisy.shape == (2, 1, 128, 128) and batch.depth.shape == (2, 32, 32)
    places = structures.maps(0)["depth"].unfold(0, 32, 1).unfold(1, 32, 1)
    assert all((places == depth).all(-1).all(-1).any() for depth in batch.depth)
    model = Model(datasets=["d"], architecture={"variant": "full", "base_channels": 2}, training=block(epochs=1))
    folder = train(shards, tmp_path, model.training, model=model, training_sets=[training_set(shards, imaging=fine)])
    network, card = load_network(folder)
    assert network(torch.ones(1, 1, 64, 128)).shape == (1, 11, 16, 32) and card.input_pixel_pm == fine.pixel_pm


def test_what_does_not_fit_is_read_again(shards, monkeypatch):
    """A cache that keeps one structure at a time gives the same samples."""
    arguments = (shards["waves"], shards["depth"], [0, 2, 4, 5])
    everything = list(TrainingSamples([source(StructureCache(*arguments))], block(), CPU))
    monkeypatch.setattr("segdepth.learning.samples.KEPT_BYTES", 1)
    cache = StructureCache(*arguments)
    assert cache.wave.cache_info().maxsize == cache.maps.cache_info().maxsize == 1
    one_by_one = list(TrainingSamples([source(cache)], block(), CPU))
    assert all(torch.equal(a.noisy, b.noisy) and torch.equal(a.depth, b.depth) for a, b in zip(everything, one_by_one))
    assert cache.part([4, 0]).indices == [0, 4]


def test_doses_are_drawn_from_their_range(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [2])
    training = block(dose_lambda=(0.1, 10), batch_size=1, epoch_samples=40, flip=False)
    grain = [
        float(batch.noisy[0, 0, -4:].var())
        for batch in TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)
    ]
    assert max(grain) / min(grain) > 10  # variance c/λ, over two decades of λ


def test_samples_count_by_their_dose(shards):
    """In the mean as without; a loss of doubled importance is doubled."""
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2])
    given = [source(structures), source(structures, dose_lambda=7.0)]
    training = block(dose_lambda=(0.1, 25), dose_importance=0.4, epoch_samples=1200, optics_repeats=64)
    found = torch.cat([batch.importance for batch in TrainingSamples(given, training, CPU)]).numpy()
    assert found.mean() == pytest.approx(1, abs=0.06)
    assert found.max() / found.min() == pytest.approx(250**0.4, rel=0.1)
    for changes in ({"dose_importance": 0.0, "dose_lambda": (0.1, 25)}, {"dose_importance": 0.7}):  # one dose: alike
        batches = TrainingSamples(given, block(**changes), CPU)
        assert all(torch.allclose(batch.importance, torch.ones(2)) for batch in batches)
    logits, depth, weight = torch.randn(2, 11, 3, 4), torch.randint(11, (2, 3, 4)), torch.rand(2, 3, 4)
    plain, double = (weighted_cross_entropy(logits, depth, weight, None, torch.full((2,), i)) for i in (1.0, 2.0))
    assert float(double) == pytest.approx(2 * float(plain))
    assert float(plain) == pytest.approx(float(weighted_cross_entropy(logits, depth, weight)))
    first = weighted_cross_entropy(logits, depth, weight, None, torch.tensor([1.0, 0.0]))
    alone = weighted_cross_entropy(logits[:1], depth[:1], weight[:1]) * weight[0].sum() / weight.sum()
    assert float(first) == pytest.approx(float(alone))


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
        load_network(folder)


def test_several_data_sets_are_learnt_from_together(shards, tmp_path):
    """Each with its own lens and dose; every structure as often."""
    bright = IMAGING.model_copy(update={"image_spread_pm": 60.0})
    cache = StructureCache(shards["waves"], shards["depth"], [0, 2, 4, 5])
    sources = [source(cache.part([0]), dose_lambda=1e6), source(cache.part([2, 4, 5]), bright, dose_lambda=0.1)]
    training = block(batch_size=4, epoch_samples=400, flip=False, optics_repeats=1)
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
        training_sets=[training_set(shards), training_set(shards, other, bright)],
    )
    assert len(read_manifest(folder)["notes"]["training_structures"]) == 2
    assert load_network(folder)[1].dose_lambda == 2.5


def test_lessons_are_parted_by_the_specimens_shards(shards):
    more = SPECIMEN.model_copy(update={"structures": 3})
    paths = [Path(f"{i}") for i in range(3)]
    blocks = ([DATASET] * 2, [SPECIMEN, more], [IMAGING] * 2, [Labels()] * 2)
    first, second = join_training_sets(*blocks, paths, paths)
    assert first.waves == paths[:2] and second.depth == paths[2:] and second.specimen is more
    with pytest.raises(ConfigError, match="--depth: got 2 shards; the specimens have 3"):
        join_training_sets(*blocks, paths, paths[:2])
    with pytest.raises(ConfigError, match="1 --imaging"):
        join_training_sets([DATASET] * 2, [SPECIMEN, more], [IMAGING], [Labels()] * 2, paths, paths)


def test_processes_draw_samples_of_their_own(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [0, 2])
    first, second = (list(TrainingSamples([source(structures)], block(devices=2), CPU, rank)) for rank in (0, 1))
    assert len(first) == len(second) == 3  # of 12 samples in batches of 2
    assert not any(torch.equal(a.noisy, b.noisy) for a, b in zip(first, second))


def test_validation_covers_the_doses_that_are_trained(shards):
    structures = StructureCache(shards["waves"], shards["depth"], [0, 3])
    (few, many) = (
        torch.cat([b.noisy for b in fixed_batches([source(structures)], block(dose_lambda=doses), 3, CPU)])
        for doses in ((0.1, 0.1), (0.1, 1000))
    )
    grain = [images[..., -4:, :].flatten(1).var(1) for images in (few, many)]
    assert grain[0].max() / grain[0].min() < 3 < 10 < grain[1].max() / grain[1].min()


def test_ordinal_targets_prefer_the_neighbour_and_keep_the_background():
    targets = ordinal_targets(0.5)
    assert torch.allclose(targets.sum(1), torch.ones(11)) and targets[0, 0] == 1 and (targets[1:, 0] == 0).all()
    assert float(targets[5, 4] / targets[5, 5]) == pytest.approx(np.exp(-2)) and targets[5, 4] == targets[5, 6]
    logits, depth, weight = torch.randn(2, 11, 3, 4), torch.randint(11, (2, 3, 4)), torch.rand(2, 3, 4)
    sharp = weighted_cross_entropy(logits, depth, weight, torch.eye(11))
    assert float(sharp) == pytest.approx(float(weighted_cross_entropy(logits, depth, weight)), rel=1e-5)


@pytest.mark.parametrize(
    "option",
    [
        {"weight_average": 0.9},
        {"ordinal_width_atoms": 0.3},
        {"gradient_clip": 0.01},
        {"column_share": 0.5},
        {"norm_batches": 0},
    ],
)
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


def test_the_folded_network_trains_and_loads(shards, tmp_path):
    model = Model(
        datasets=["d"], architecture={"variant": "space_to_depth", "base_channels": 2}, training=block(epochs=1)
    )
    network, card = load_network(train(shards, tmp_path, model.training, model=model))
    assert card.variant == "space_to_depth" and network(torch.ones(1, 1, 64, 128)).shape == (1, 11, 64, 128)


def test_two_processes_train_one_network(shards, tmp_path):
    """As two GPUs would: the command starts the second process itself; one of them writes."""
    model = Model(datasets=["d"], architecture={"base_channels": 2}, training=block(epochs=2, devices=2))
    blocks = {"model": model, "dataset": DATASET, "specimen": SPECIMEN, "imaging": IMAGING, "labels": Labels()}
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


def test_a_mirrored_network_looks_twice(shards, tmp_path):
    plain = Model(datasets=["d"], architecture={"base_channels": 2}, training=block(epochs=1))
    once, twice = (
        load_network(train(shards, tmp_path / str(mirrored), plain.training, model=model))[0]
        for mirrored in (False, True)
        for model in [plain.model_copy(update={"flip_average": mirrored})]
    )
    frame = torch.rand(1, 1, 64, 128)
    with torch.no_grad():
        assert torch.allclose(twice(frame), twice(frame.flip(-1)).flip(-1), atol=1e-5)
        assert not torch.allclose(once(frame), once(frame.flip(-1)).flip(-1), atol=1e-3)


def test_columns_are_numbered_one_by_one():
    """As many as the table has inside the field, each with pixels of one depth."""
    regions = np.zeros((12, 20), np.uint8)
    regions[1:4, 1:4] = regions[2:5, 9:12] = regions[7:10, 9:12] = 58
    regions[1:4, 4:6] = 8  # touches a column of the other element
    found = number_columns(regions)
    assert found.max() == 4 and (found > 0).sum() == (regions > 0).sum()
    assert all(len(np.unique(regions[found == number])) == 1 for number in range(1, 5))
    assert found[2, 2] != found[2, 4] and found[3, 10] != found[8, 10]


def test_every_column_of_a_structure_has_a_number_of_its_own(shards):
    maps = StructureCache(shards["waves"], shards["depth"], [2]).maps(0)
    depth, columns = maps["depth"].numpy(), maps["columns"].numpy()
    assert ((columns > 0) == (maps["regions"].numpy() > 0)).all() and columns.max() > 20
    spread = [np.ptp(depth[columns == number]) for number in range(1, columns.max() + 1)]
    assert np.mean(np.array(spread) == 0) > 0.95  # beside a few at the field's edge, one depth a column


def test_the_loss_of_columns_by_hand():
    logits, depth = torch.randn(2, 11, 4, 5, requires_grad=True), torch.randint(11, (2, 4, 5))
    columns = torch.zeros(2, 4, 5, dtype=torch.int32)
    columns[0, 1:3, 1:3], columns[0, 0, 4], columns[1, 3, :2] = 1, 2, 1  # the same number in two samples
    depth[0, 1:3, 1:3], depth[1, 3, :2] = 4, 7
    p = logits.softmax(1)
    expected = [p[0, 4, 1:3, 1:3].mean(), p[0, depth[0, 0, 4], 0, 4], p[1, 7, 3, :2].mean()]
    loss = column_cross_entropy(logits, depth, columns)
    assert float(loss) == pytest.approx(float(-torch.stack(expected).log().mean()), rel=1e-5)
    assert float(column_cross_entropy(logits, depth, torch.zeros_like(columns))) == 0
    weighed = column_cross_entropy(logits, depth, columns, torch.tensor([0.25, 3.0]))
    first, second, third = -torch.stack(expected).log()
    assert float(weighed) == pytest.approx(float(0.25 * (first + second) + 3 * third) / 3, rel=1e-5)


def test_a_card_tells_the_doses_of_all_data_sets(shards, tmp_path):
    other = DATASET.model_copy(update={"imaging": "j", "dose_lambda": 20.0})
    model = Model(datasets=["d", "e"], architecture={"base_channels": 2}, training=block(epochs=1))
    lens = IMAGING.model_copy(update={"detection_efficiency": 0.5})
    training_sets = [training_set(shards), training_set(shards, other, lens)]
    card = load_network(train(shards, tmp_path, model.training, model=model, training_sets=training_sets))[1]
    assert card.dose_lambda == 2.5 and tuple(card.doses) == (2.5, 10.0)


def test_a_training_goes_on_from_another_network_and_tells_so(shards, tmp_path):
    """With steps of next to nothing it stays where it began; the crystals of both are known as seen."""
    first = train(shards, tmp_path / "a", block(epochs=1))
    crawl = block(epochs=1, learning_rate=1e-9, seed=5, norm_batches=0)
    model = Model(datasets=["d"], architecture={"base_channels": 2}, training=crawl, start=str(first))
    other = training_set(shards, DATASET.model_copy(update={"specimen": "other"}))
    second = train(shards, tmp_path / "b", crawl, model=model, training_sets=[other])
    begun, ended, fresh = (
        load_network(folder)[0].encoder[0][0].weight for folder in (first, second, train(shards, tmp_path / "c", crawl))
    )
    assert torch.allclose(begun, ended, atol=1e-6) and not torch.allclose(begun, fresh, atol=1e-2)
    assert str(first.resolve()) in [str((second.parent / g["path"]).resolve()) for g in read_manifest(second)["inputs"]]
    assert structures_seen(second, "s", 3) == structures_seen(first, "s", 3) != set()
    assert structures_seen(second, "other", 3)


def test_a_training_refuses_to_begin_with_another_architecture(shards, tmp_path):
    first = train(shards, tmp_path / "a", block(epochs=1))
    model = Model(datasets=["d"], architecture={"base_channels": 4}, training=block(), start=str(first))
    with pytest.raises(ConfigError, match=r"models.net.start: got .*, which is binned with base_channels 2"):
        train(shards, tmp_path / "b", block(), model=model)
    assert not (tmp_path / "b" / "checkpoints").exists()
