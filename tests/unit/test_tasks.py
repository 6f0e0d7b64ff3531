"""Tasks of networks: denoising, counting in a denoised image, and both at once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from training_data import CPU, block, build_shards, cache_of, facts_of, source, train, training_set

from segdepth.config import Model, validate
from segdepth.errors import ConfigError
from segdepth.learning.optimizer import hidden_weights, make_optimizer
from segdepth.learning.samples import Batch, TrainingSamples
from segdepth.learning.tasks import make_task
from segdepth.learning.validation import fixed_batches
from segdepth.micrograph.familiarity.judgement import read_familiarity
from segdepth.networks.architectures import make_denoised
from segdepth.networks.bundled import bundled_network, familiarity_of
from segdepth.networks.card import CARD, read_card, write_card
from segdepth.networks.files import load_denoiser, load_network

SMALL = {"base_channels": 2}
FRAME = torch.rand(2, 1, 64, 128, generator=torch.Generator().manual_seed(0)) + 0.5


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return build_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def denoiser(shards, tmp_path_factory):
    """Folder of a denoiser."""
    model = Model(datasets=["d"], architecture=SMALL, task="denoise", training=block(epochs=2))
    return train(shards, tmp_path_factory.mktemp("denoiser"), model.training, model=model)


def made_up_batch() -> Batch:
    rng = np.random.default_rng(4)
    maps = {"depth": rng.integers(0, 3, (2, 64, 128)), "regions": rng.choice([0, 8, 58], (2, 64, 128))}
    given = {name: torch.as_tensor(values.astype(np.uint8)) for name, values in maps.items()}
    importance = torch.tensor([1.0, 3.0])
    return Batch(FRAME, weight=torch.ones(2, 64, 128), importance=importance, clean=FRAME + 0.1, **given)


def task(name: str, **training):
    return make_task(Model(datasets=["d"], task=name, training=training), 3, ("Ce", "O"))


def test_a_denoiser_is_trained_on_the_image_without_noise(shards, denoiser):
    card = read_card(denoiser)
    assert (card.task, card.classes, card.labels) == ("denoise", 1, {})
    curve = pd.read_csv(denoiser / "curve.csv")
    assert list(curve.columns)[2:] == ["train_loss", "validation_loss", "psnr_db", "learning_rate"]
    network, _ = load_denoiser(denoiser)
    given = training_set(shards)
    batches = fixed_batches([given.source().part(given.indices("validation"))], block(), 3, CPU, clean=True)
    with torch.no_grad():
        ratios = []
        for image, clean in ((network(b.noisy)[i], b.clean[i]) for b in batches for i in range(len(b.noisy))):
            error = float((image - clean).square().mean())
            ratios.append(10 * np.log10(float(clean.max() - clean.min()) ** 2 / error))
    assert facts_of(denoiser)["best"]["psnr_db"] == pytest.approx(np.mean(ratios), abs=1e-3)
    with pytest.raises(ConfigError, match="this network denoises images; give one that counts"):
        load_network(denoiser)


def test_the_clean_image_is_the_mean_of_noisy_ones(shards):
    """Of the same crop, flip and structure."""
    samples = TrainingSamples([source(cache_of(shards, [0, 2]))], block(dose_lambda=(1000, 1000)), CPU)
    batch = next(iter(samples))
    assert batch.clean.shape == batch.noisy.shape
    assert float((batch.noisy - batch.clean).abs().mean()) < 0.02 < float(batch.clean.std())


def test_a_network_that_counts_in_denoised_images_leaves_the_denoiser_as_it_was(shards, denoiser, tmp_path):
    model = Model(datasets=["d"], architecture=SMALL, denoiser=str(denoiser), training=block(epochs=2))
    folder = train(shards, tmp_path, model.training, model=model)
    card = read_card(folder)
    assert card.denoiser == {"variant": "binned", "base_channels": 2} and card.task == "depth" and card.classes == 11
    network, (first, _) = load_network(folder)[0], load_denoiser(denoiser)
    kept = load_denoiser(folder)[0]
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), kept.state_dict().values(), strict=True))
    with torch.no_grad():
        assert network(FRAME).shape == (2, 11, 64, 128)
        assert torch.allclose(network(FRAME), network.counter(first(FRAME)), atol=1e-6)


def test_both_are_trained_at_once(shards, tmp_path):
    model = Model(datasets=["d"], architecture=SMALL, task="denoise_and_depth", training=block(epochs=2))
    folder = train(shards, tmp_path, model.training, model=model)
    network, card = load_network(folder)
    assert card.denoiser == {"variant": "binned", "base_channels": 2} and card.classes == 11
    assert {"psnr_db", "centre_accuracy_O"} <= set(pd.read_csv(folder / "curve.csv").columns)
    with torch.no_grad():
        assert network(FRAME).shape == (2, 11, 64, 128) and load_denoiser(folder)[0](FRAME).shape == FRAME.shape


def test_each_network_of_two_learns_from_its_own_loss():
    """No gradient of the depth reaches the denoiser."""
    torch.manual_seed(0)
    network = make_denoised({"variant": "binned", "base_channels": 2}, "binned", 2, 3)
    both, batch = task("denoise_and_depth"), made_up_batch()
    gradients = []
    for depth in (batch.depth, 2 - batch.depth):
        network.zero_grad()
        both.loss(both.run(network, batch.noisy), batch._replace(depth=depth)).backward()
        gradients.append([part.head.weight.grad.clone() for part in (network.denoiser, network.counter)])
    assert torch.equal(gradients[0][0], gradients[1][0]) and not torch.equal(gradients[0][1], gradients[1][1])
    assert float(gradients[0][0].abs().sum()) > 0


def test_losses_and_metrics_are_those_of_their_tasks():
    batch = made_up_batch()
    denoise, depth, both = task("denoise"), task("depth"), task("denoise_and_depth")
    image, logits = batch.clean + torch.tensor([0.1, 0.2])[:, None, None, None], torch.rand(2, 3, 64, 128)
    assert float(denoise.loss(image, batch)) == pytest.approx((0.01 + 3 * 0.04) / 2, rel=1e-4)
    assert float(denoise.validation_loss(image, batch)) == pytest.approx(0.025, rel=1e-4)
    span = (batch.clean.amax((1, 2, 3)) - batch.clean.amin((1, 2, 3))).numpy()
    ratios = 20 * np.log10(span / [0.1, 0.2])
    (found,) = denoise.metrics(denoise.tally(image, batch))
    assert float(found) == pytest.approx(ratios.mean(), abs=1e-3)
    joined = torch.cat([image, logits], dim=1)
    assert both.channels == 1 + depth.channels == 4
    assert float(both.loss(joined, batch)) == pytest.approx(
        float(denoise.loss(image, batch)) + float(depth.loss(logits, batch)), rel=1e-6
    )
    apart = [*depth.metrics(depth.tally(logits, batch)), found]
    assert [*map(float, both.metrics(both.tally(joined, batch)))] == pytest.approx([*map(float, apart)])
    assert both.metric_names == (*depth.metric_names, "psnr_db") and len(apart) == len(both.metric_names)


def test_a_frozen_denoiser_is_no_parameter_and_keeps_its_norms():
    shape = {"variant": "space_to_depth", "base_channels": 4}
    frozen = make_denoised(shape, "binned", 2, 3, frozen=True)
    before = [tensor.clone() for tensor in frozen.denoiser.state_dict().values()]
    frozen.train()
    frozen(FRAME).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, frozen.denoiser.state_dict().values(), strict=True))
    trained = {id(p) for group in make_optimizer(frozen, block()).param_groups for p in group["params"]}
    assert trained == {id(p) for p in frozen.counter.parameters()}
    free = make_denoised(shape, "binned", 2, 3)
    hidden = {id(weight) for weight in hidden_weights(free)}
    ends = [free.denoiser.head, free.counter.head, free.denoiser.encoder[0][0], free.counter.encoder[0][0]]
    assert len(hidden) > 10 and not hidden & {id(module.weight) for module in ends}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "denoise", "denoiser": "results/models/a"}, "only task depth takes one"),
        ({"task": "denoise", "init_weights": "results/models/a"}, "init_weights: got 'results/models/a'; with task"),
        ({"task": "denoise", "architecture": {"variant": "full"}}, "architecture.variant: got 'full', whose output"),
        ({"task": "cook"}, "task"),
    ],
)
def test_blocks_that_cannot_be_trained_are_told(changes, says):
    with pytest.raises(ConfigError, match=says):
        validate(Model, {"datasets": ["d"], **changes}, "models.net")


def test_a_network_that_counts_is_no_denoiser(shards, tmp_path):
    counts = train(shards, tmp_path, block(epochs=1))
    with pytest.raises(ConfigError, match="counts and does not denoise"):
        load_denoiser(counts)
    model = Model(datasets=["d"], architecture=SMALL, denoiser=str(counts), training=block())
    says = r"models.net.denoiser: got .*whose task is depth; a network with task denoise"
    with pytest.raises(ConfigError, match=says):
        train(shards, tmp_path / "next", block(), model=model)


def test_the_card_of_a_network_that_counts_by_itself_is_as_before(tmp_path):
    """Familiarity, which is of one card, goes on to fit the networks of the package."""
    card = read_card(bundled_network())
    assert card.task == "depth" and not {"task", "denoiser"} & set(card.as_dict())
    assert read_familiarity(familiarity_of(bundled_network()), card)
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card and set(json.loads((tmp_path / CARD).read_text())) == set(card.as_dict())
