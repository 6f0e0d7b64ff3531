"""The network as it predicts: norms fused, bfloat16, and a stream of counts to depth maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from segdepth.errors import ConfigError, MicrographError
from segdepth.micrograph.stream import depth_of_counts
from segdepth.networks.architectures import make_network
from segdepth.networks.card import NetworkCard
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.serving import ServedNetwork, fuse_norms

PIXEL = 5411 / 256
CLASSES = 11


def trained(variant: str) -> nn.Module:
    """A network whose norms have statistics of their own, as after a training."""
    torch.manual_seed(1)
    network = make_network(variant, 4, CLASSES)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval()


def test_a_network_with_flip_average_is_served_as_it_is():
    network, frame = FlipAverage(trained("space_to_depth")).eval(), torch.rand(1, 1, 64, 128)
    with torch.no_grad():
        expected = network(frame).softmax(1)
        assert torch.allclose(ServedNetwork(network, "float32")(frame).softmax(1), expected, atol=1e-5)
        assert torch.allclose(ServedNetwork(network, "bfloat16")(frame).softmax(1), expected, atol=0.05)


def test_logits_are_not_rounded_to_bfloat16():
    logits = ServedNetwork(trained("binned"), "bfloat16")(torch.rand(1, 1, 64, 64)).detach()
    assert (logits != logits.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize("variant", ["binned", "full", "space_to_depth"])
def test_fusing_norms_changes_nothing_but_rounding(variant):
    network, frame = trained(variant), torch.rand(1, 1, 128, 192)
    fused = fuse_norms(network)
    with torch.no_grad():
        expected = network(frame)
        assert torch.allclose(fused(frame), expected, atol=1e-3 * float(expected.abs().max()))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())  # the given one keeps its own


def test_bfloat16_rounds_and_float32_does_not():
    network, frame = trained("space_to_depth"), torch.rand(1, 1, 128, 64)
    with torch.no_grad():
        expected = network(frame).softmax(1)
        served = {kind: ServedNetwork(network, kind)(frame) for kind in ("float32", "bfloat16")}
    assert all(logits.dtype == torch.float32 for logits in served.values())
    errors = {kind: float((logits.softmax(1) - expected).abs().max()) for kind, logits in served.items()}
    assert errors["float32"] < 1e-5 < errors["bfloat16"] < 0.05
    with pytest.raises(ConfigError, match="precision: got 'half'; allowed: auto, float32, bfloat16"):
        ServedNetwork(network, "half")


def test_a_stream_of_counts_is_binned_exactly():
    network = trained("space_to_depth")
    card = NetworkCard("space_to_depth", 4, CLASSES, PIXEL, PIXEL, 128 * PIXEL, 2.5, {})
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.5, (2, 512, 256)).astype(np.uint8)
    depth, confidence = depth_of_counts(ServedNetwork(network, "float32"), card, counts, PIXEL / 4, 2.5)
    image = counts.reshape(2, 128, 4, 64, 4).sum((2, 4)) / (16 * 2.5)
    with torch.no_grad():
        expected = network(torch.tensor(image, dtype=torch.float32)[:, None]).softmax(1).numpy()
    assert depth.shape == (2, 128, 64) and depth.dtype == np.uint8
    assert np.allclose(confidence, expected.max(1), atol=1e-4) and (depth == expected.argmax(1)).mean() > 0.999
    for shape in ((2, 500, 500), (512, 512), (1, 512, 128)):
        with pytest.raises(MicrographError, match="sides a multiple of 256"):
            depth_of_counts(ServedNetwork(network), card, np.ones(shape), PIXEL / 4, 2.5)
    for pixel_pm in (PIXEL / 3.5, 2 * PIXEL):
        with pytest.raises(MicrographError, match="pixel_pm: got"):
            depth_of_counts(ServedNetwork(network), card, counts, pixel_pm, 2.5)
