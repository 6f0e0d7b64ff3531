"""Temperature scaling against logits whose temperature is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from segdepth.learning.samples import Batch
from segdepth.learning.temperature import divide_logits, fit_temperature, validation_logits
from segdepth.networks.unet import UNet


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_scaled_logits_is_found(temperature):
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(20_000, 11, generator=generator)
    depths = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(honest * temperature, depths) == pytest.approx(temperature, rel=0.05)


def batches() -> list[Batch]:
    rng = np.random.default_rng(0)
    noisy = torch.as_tensor(rng.normal(size=(3, 1, 64, 128)), dtype=torch.float32)
    depth = torch.as_tensor(rng.integers(0, 11, (3, 64, 128)), dtype=torch.uint8)
    return [
        Batch(noisy[i : i + 1], depth[i : i + 1], torch.ones(1, 64, 128), depth[i : i + 1], torch.ones(1))
        for i in range(3)
    ]


@pytest.mark.parametrize("variant", ["binned", "full"])
def test_dividing_changes_confidence_and_no_estimate(variant):
    torch.manual_seed(0)
    network = UNet(2, variant, 11).eval()
    given = batches()
    if variant == "full":
        given = [batch._replace(depth=batch.depth[:, ::4, ::4]) for batch in given]
    before, depths = validation_logits(network, given)
    assert len(before) == len(depths) == (3 * 16 * 32 if variant == "binned" else 3 * 4 * 8)
    divide_logits(network, 2.5)
    after, _ = validation_logits(network, given)
    assert torch.allclose(after, before / 2.5, atol=1e-5)
    assert torch.equal(after.argmax(1), before.argmax(1))
    assert not network.training


def test_the_fitted_temperature_lowers_the_loss():
    network = UNet(2, "binned", 11)
    with torch.no_grad():
        network.head.weight *= 30  # far too sure of itself
    logits, depths = validation_logits(network, batches())
    assert network.training
    temperature = fit_temperature(logits, depths)
    assert temperature > 2
    assert functional.cross_entropy(logits / temperature, depths) < functional.cross_entropy(logits, depths) - 0.1
