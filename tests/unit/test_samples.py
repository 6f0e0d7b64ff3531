"""Samples, caches and validation on made-up waves: draws, labels, memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from training_data import CPU, block, build_shards, cache_of, source, training_set

from segdepth.errors import StoreError
from segdepth.learning import samples as samples_module
from segdepth.learning import structures as structures_module
from segdepth.learning.loss import ranked_probability_score, weighted_cross_entropy, weighted_ranked_probability
from segdepth.learning.module import NetworkModule
from segdepth.learning.samples import Crops, TrainingSamples
from segdepth.learning.structures import share_memory
from segdepth.learning.tasks import DepthTask
from segdepth.learning.training import training_and_validation
from segdepth.learning.validation import fixed_batches
from segdepth.networks.architectures import make_network
from segdepth.recently_used import RecentlyUsed


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return build_shards(tmp_path_factory.mktemp("shards"))


def test_samples_are_fresh_each_epoch_and_repeat_with_the_seed(shards):
    structures = cache_of(shards, [0, 2, 4, 5])
    samples = TrainingSamples([source(structures)], block(noise_repeats=2), CPU)
    first = list(samples)
    assert len(first) == len(samples) == 6 and first[0].noisy.shape == (2, 1, 64, 64)
    again = list(samples)
    assert all(torch.equal(a.noisy, b.noisy) for a, b in zip(first, again))
    samples.epoch = 1
    assert not any(torch.equal(a.noisy, b.noisy) for a, b in zip(first, samples))


def test_labels_are_those_of_the_structure_flipped_or_not(shards):
    structures = cache_of(shards, [2])
    whole = structures.maps(0)["depth"]
    seen = set()
    for batch in TrainingSamples([source(structures)], block(), CPU):
        for depth in batch.depth:
            seen.add("same" if torch.equal(depth, whole) else "flipped" if torch.equal(depth, whole.flip(-1)) else "?")
    assert seen == {"same", "flipped"}


def test_samples_are_mirrored_along_y_where_that_is_asked_for(shards):
    """Images and all labels alike, as often as not."""
    structures = cache_of(shards, [2])
    training = block(flip=False, flip_y=True, batch_size=4, epoch_samples=64, noise_repeats=1)
    plain, seen = block(flip=False, batch_size=1, epoch_samples=1), []
    maps, sharp = structures.maps(0), source(structures, dose_lambda=1e8)
    upright = next(iter(TrainingSamples([sharp], plain, CPU))).noisy[0, 0]
    for batch in TrainingSamples([sharp], training, CPU):
        for noisy, depth, weight, regions in zip(batch.noisy[:, 0], batch.depth, batch.weight, batch.regions):
            flipped = not torch.equal(depth, maps["depth"])
            seen.append(flipped)
            turned = {name: each.flip(-2) if flipped else each for name, each in maps.items()}
            assert torch.equal(depth, turned["depth"]) and torch.equal(weight, turned["weight"])
            assert torch.equal(regions, turned["regions"])
            # another lens, but the same wave: more alike as it lies than upside down
            same, other = (upright.flip(-2), upright) if flipped else (upright, upright.flip(-2))
            assert (
                np.corrcoef(noisy.flatten(), same.flatten())[0, 1] > np.corrcoef(noisy.flatten(), other.flatten())[0, 1]
            )
    assert 0.25 < np.mean(seen) < 0.75


def test_noise_is_fresh_while_the_optics_are_reused(shards):
    structures = cache_of(shards, [2])
    training = block(noise_repeats=6, flip=False, batch_size=1, epoch_samples=6)
    batches = [batch.noisy[0, 0] for batch in TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)]
    difference = max(float((a - batches[0]).abs().mean()) for a in batches[1:])
    assert 0 < difference < 0.01  # the same image, but for shot noise at a very high dose
    assert all(not torch.equal(a, batches[0]) for a in batches[1:])


def test_a_crop_is_the_slice_that_it_names():
    maps = torch.arange(3 * 10 * 14).reshape(3, 10, 14)
    crops = Crops(
        np.array([0, 2, 1]), np.array([3, 0, 2]), np.array([False, True, False]), np.array([False, True, True])
    )
    wanted = [maps[0, 0:4, 3:7], maps[1, 2:6, 0:4].flip(-1, -2), maps[2, 1:5, 2:6].flip(-2)]
    assert torch.equal(crops.cut([list(maps)], 4)[0], torch.stack(wanted))
    assert torch.equal(maps[crops.places(4, 1, CPU)], torch.stack(wanted))
    wanted = [
        maps[0, 0:4, 6:10],
        maps[1, 4:8, 0:4].flip(-1, -2),
        maps[2, 2:6, 4:8].flip(-2),
    ]  # two pixels a label pixel
    assert torch.equal(crops.cut([list(maps)], 4, ratio=2)[0], torch.stack(wanted))
    assert torch.equal(maps[crops.places(4, 2, CPU)], torch.stack(wanted))


def test_caches_that_read_ahead_hold_the_same(shards):
    one, other = (cache_of(shards, [0, 2, 4, 5]) for _ in range(2))
    other.read_ahead()
    for position in range(4):
        assert torch.equal(one.wave(position), other.wave(position))
        assert all(torch.equal(maps, other.maps(position)[name]) for name, maps in one.maps(position).items())
    assert other.waves.reads == other.labels.reads == 4


def test_caches_share_memory_by_what_they_hold(shards, monkeypatch):
    few, many = (cache_of(shards, wanted) for wanted in ([1], [0, 2, 4, 5]))
    monkeypatch.setattr(structures_module, "KEPT_BYTES", 3 * few.bytes_each)
    share_memory([few, many], CPU)
    assert (few.kept_bytes, many.kept_bytes) == (3 * few.bytes_each // 5, 12 * few.bytes_each // 5)
    assert few.waves.most == 1 and many.waves.most == 2


def kinds_among(batches: list[torch.Tensor]) -> int:
    """How many different images there are, noise aside."""
    firsts: list[torch.Tensor] = []
    for image in batches:
        if all(float((image - other).abs().mean()) > 0.002 for other in firsts):
            firsts.append(image)
    return len(firsts)


def test_an_images_repeats_lie_far_apart(shards, monkeypatch):
    """Every image of a pool comes once before any comes again; large images make a small pool."""
    structures = cache_of(shards, [0, 2, 4, 5])
    training = block(noise_repeats=3, flip=False, batch_size=1, epoch_samples=36)
    images = TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)
    batches = [batch.noisy[0, 0] for batch in images]
    assert kinds_among(batches[:12]) == kinds_among(batches) == 12
    monkeypatch.setattr(samples_module, "POOL_BYTES", 2 * 4 * 64**2)
    batches = [batch.noisy[0, 0] for batch in images]
    assert kinds_among(batches[:6]) == 2 and kinds_among(batches) > 8


def test_an_epoch_is_cut_into_equal_pools(shards, monkeypatch):
    """A few images at its end, used again and again, would be memorised just before the validation."""
    structures = cache_of(shards, [0, 2, 4, 5])
    samples = TrainingSamples([source(structures)], block(noise_repeats=3, batch_size=1, epoch_samples=39), CPU)
    formed = []
    monkeypatch.setattr(samples, "_form", lambda which, _: formed.append(len(which)) or torch.ones(len(which), 64, 64))
    assert len(list(samples)) == 39
    assert formed == [7, 7]  # for 19 and 20 steps; not 12 and 1


def test_validation_does_not_depend_on_the_batch_size(shards):
    structures = cache_of(shards, [0, 3])
    small, large = (fixed_batches([source(structures)], block(batch_size=size), 3, CPU) for size in (1, 5))
    assert torch.equal(torch.cat([b.noisy for b in small]), torch.cat([b.noisy for b in large]))
    assert torch.equal(torch.cat([b.depth for b in small]), torch.cat([b.depth for b in large]))


def test_a_structure_that_no_shard_holds_is_named(shards):
    with pytest.raises(StoreError, match=r"\[99\]"):
        cache_of(shards, [0, 99])


def test_what_does_not_fit_is_read_again(shards, monkeypatch):
    """A cache that keeps one structure at a time gives the same samples."""
    everything = list(TrainingSamples([source(cache_of(shards, [0, 2, 4, 5]))], block(), CPU))
    monkeypatch.setattr("segdepth.learning.structures.KEPT_BYTES", 1)
    cache = cache_of(shards, [0, 2, 4, 5])
    assert cache.waves.most == cache.labels.most == 1
    one_by_one = list(TrainingSamples([source(cache)], block(), CPU))
    assert all(torch.equal(a.noisy, b.noisy) and torch.equal(a.depth, b.depth) for a, b in zip(everything, one_by_one))
    assert cache.part([4, 0]).indices == [0, 4]


def test_doses_are_drawn_from_their_range(shards):
    structures = cache_of(shards, [2])
    training = block(dose_lambda=(0.1, 10), batch_size=1, epoch_samples=40, flip=False)
    grain = [
        float(batch.noisy[0, 0, -4:].var())
        for batch in TrainingSamples([source(structures, dose_lambda=1e6)], training, CPU)
    ]
    assert max(grain) / min(grain) > 10  # variance c/λ, over two decades of λ


def test_samples_count_by_their_dose(shards):
    """In the mean as without; a loss of doubled importance is doubled."""
    structures = cache_of(shards, [0, 2])
    given = [source(structures), source(structures, dose_lambda=7.0)]
    training = block(dose_lambda=(0.1, 25), dose_importance=0.4, epoch_samples=1200, noise_repeats=64)
    found = torch.cat([batch.importance for batch in TrainingSamples(given, training, CPU)]).numpy()
    assert found.mean() == pytest.approx(1, abs=0.06)
    assert found.max() / found.min() == pytest.approx(250**0.4, rel=0.1)
    for changes in ({"dose_importance": 0.0, "dose_lambda": (0.1, 25)}, {"dose_importance": 0.7}):  # one dose: alike
        batches = TrainingSamples(given, block(**changes), CPU)
        assert all(torch.allclose(batch.importance, torch.ones(2)) for batch in batches)
    logits, depth, weight = torch.randn(2, 11, 3, 4), torch.randint(11, (2, 3, 4)), torch.rand(2, 3, 4)
    plain, double = (weighted_cross_entropy(logits, depth, weight, torch.full((2,), i)) for i in (1.0, 2.0))
    assert float(double) == pytest.approx(2 * float(plain))
    assert float(plain) == pytest.approx(float(weighted_cross_entropy(logits, depth, weight)))
    first = weighted_cross_entropy(logits, depth, weight, torch.tensor([1.0, 0.0]))
    alone = weighted_cross_entropy(logits[:1], depth[:1], weight[:1]) * weight[0].sum() / weight.sum()
    assert float(first) == pytest.approx(float(alone))


def test_processes_draw_samples_of_their_own(shards):
    structures = cache_of(shards, [0, 2])
    first, second = (list(TrainingSamples([source(structures)], block(devices=2), CPU, rank)) for rank in (0, 1))
    assert len(first) == len(second) == 3  # of 12 samples in batches of 2
    assert not any(torch.equal(a.noisy, b.noisy) for a, b in zip(first, second))


def test_validation_covers_the_doses_that_are_trained(shards):
    structures = cache_of(shards, [0, 3])
    (few, many) = (
        torch.cat([b.noisy for b in fixed_batches([source(structures)], block(dose_lambda=doses), 3, CPU)])
        for doses in ((0.1, 0.1), (0.1, 1000))
    )
    grain = [images[..., -4:, :].flatten(1).var(1) for images in (few, many)]
    assert grain[0].max() / grain[0].min() < 3 < 10 < grain[1].max() / grain[1].min()


def test_the_loss_is_the_papers_weighted_cross_entropy():
    logits, depth, weight = torch.randn(2, 11, 3, 4), torch.randint(11, (2, 3, 4)), torch.rand(2, 3, 4)
    probability = torch.softmax(logits, 1)
    total = sum(
        -weight[b, i, j] * probability[b, depth[b, i, j], i, j].log()
        for b in range(2) for i in range(3) for j in range(4)
    )  # fmt: skip
    assert float(weighted_cross_entropy(logits, depth, weight)) == pytest.approx(float(total / weight.sum()), rel=1e-5)


def test_the_ranked_probability_score_is_the_squared_distance_of_distributions():
    made = torch.Generator().manual_seed(2)
    logits, depth = torch.randn(2, 6, 3, 4, generator=made), torch.randint(6, (2, 3, 4), generator=made)
    weight = torch.rand(2, 3, 4, generator=made)
    at_most = torch.softmax(logits, 1).cumsum(1)
    wanted = torch.stack([(at_most[:, k] - (depth <= k).float()) ** 2 for k in range(6)]).sum(0)
    assert torch.allclose(ranked_probability_score(logits, depth.to(torch.uint8)), wanted, atol=1e-6)
    importance = torch.tensor([0.5, 2.0])
    found = weighted_ranked_probability(logits, depth, weight, importance)
    assert float(found) == pytest.approx(
        float((wanted * weight * importance[:, None, None]).sum() / weight.sum()), rel=1e-5
    )
    sure = torch.full((1, 6, 1, 1), -50.0)
    sure[0, 1] = 50
    scores = [float(ranked_probability_score(sure, torch.full((1, 1, 1), n))) for n in range(6)]
    assert scores == pytest.approx([1, 0, 1, 2, 3, 4])


def test_the_ranked_probability_scores_gradient_is_that_of_its_values():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 32, 2, 3, generator=generator).requires_grad_()
    depth = torch.tensor([[[0, 31, 7], [12, 30, 1]]])
    ranked_probability_score(logits, depth).sum().backward()
    with torch.no_grad():
        for place in ((0, 0, 0, 0), (0, 31, 0, 1), (0, 9, 0, 2), (0, 20, 1, 1)):
            step = torch.zeros_like(logits)
            step[place] = 1e-2
            rise = ranked_probability_score(logits + step, depth) - ranked_probability_score(logits - step, depth)
            assert float(logits.grad[place]) == pytest.approx(float(rise.sum()) / 2e-2, abs=2e-4)


def test_the_ranked_probability_score_holds_in_half_precision():
    """32 classes, logits far apart and rounded to bfloat16: finite, and the same as in float64."""
    logits = (30 * torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(5))).bfloat16().requires_grad_()
    depth = torch.randint(32, (2, 4, 4), generator=torch.Generator().manual_seed(6))
    with torch.autocast("cpu", torch.bfloat16):
        found = ranked_probability_score(logits, depth)
    at_most = logits.detach().double().softmax(1).cumsum(1)
    wanted = (at_most - (torch.arange(32)[:, None, None] >= depth[:, None]).double()).square().sum(1)
    assert found.dtype == torch.float32 and torch.allclose(found.double(), wanted, atol=1e-5)
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_the_loss_of_a_training_has_both_parts_but_its_validation_the_likelihood_alone(shards):
    structures = cache_of(shards, [2])
    batch = next(iter(TrainingSamples([source(structures)], block(), CPU)))
    network = make_network("binned", 2, 11).eval()
    losses = []
    for weight in (0.0, 0.5):
        training = block(ordinal_weight=weight)
        module = NetworkModule(network, DepthTask(11, ("Ce", "O"), training), training, 10)
        module.log = lambda *_, **__: None
        losses.append(float(module.training_step(batch, 1).detach()))
    with torch.no_grad():
        logits = network(batch.noisy)
    parts = [float(of(logits, batch.depth, batch.weight, batch.importance))
             for of in (weighted_cross_entropy, weighted_ranked_probability)]  # fmt: skip
    assert losses == pytest.approx([parts[0], parts[0] + 0.5 * parts[1]], rel=1e-6)


def test_what_was_used_last_is_kept():
    kept, read = RecentlyUsed(2), []
    for number in (1, 2, 1, 3, 1, 2, 2):
        assert kept.get(number, lambda given: read.append(given) or 10 * given) == 10 * number
    assert read == [1, 2, 3, 2] and kept.reads == 4 and len(kept) == 2


def test_training_and_validation_share_one_budget(shards, monkeypatch):
    """What is kept at any time, by both together, fits in it; in the end all of it is the training's."""
    room = 4 * cache_of(shards, [0]).bytes_each
    monkeypatch.setattr(structures_module, "KEPT_BYTES", room)
    caches, seen = [], []
    kept = structures_module.StructureCache.keep
    get = RecentlyUsed.get

    def keep(self, most_bytes):
        kept(self, most_bytes)
        caches.append(self) if self not in caches else None

    def watched(self, number, read):
        value = get(self, number, read)
        seen.append(sum(len(cache.waves) * cache.bytes_each for cache in caches))
        return value

    monkeypatch.setattr(structures_module.StructureCache, "keep", keep)
    monkeypatch.setattr(RecentlyUsed, "get", watched)
    sets = [training_set(shards), training_set(shards)]
    samples, validation = training_and_validation(sets, block(epoch_samples=40), 3, CPU)
    assert sum(each.structures.kept_bytes for each in samples.sources) == room
    assert len(list(samples)) == 20 and validation
    assert 0 < max(seen) <= room


def test_what_is_kept_is_freed_with_its_cache(shards):
    """At once, not when the garbage is collected: it may be a GPU's memory."""
    gc.disable()
    try:
        cache = cache_of(shards, [0, 2])
        wave = weakref.ref(cache.wave(0))
        assert wave() is not None
        del cache
        assert wave() is None
    finally:
        gc.enable()


def test_waves_and_depth_maps_of_other_structures_are_refused(shards):
    wrong = {"waves": shards["waves"], "depth": shards["depth"][::-1]}
    with pytest.raises(StoreError, match="structure 0 has waves in a shard whose depth maps lack it"):
        cache_of(wrong, [0, 5])
    with pytest.raises(StoreError, match="got 2 shards of waves and 1 of depth"):
        cache_of({"waves": shards["waves"], "depth": shards["depth"][:1]}, [0])
