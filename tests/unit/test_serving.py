"""The network as it predicts: norms fused, bfloat16, mirror images averaged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segdepth.errors import ConfigError
from segdepth.networks.architectures import make_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.networks.serving import BitwiseReLU, ServedNetwork, fuse_norms

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


def test_frame_and_mirror_image_go_as_one_batch_and_give_their_mean():
    network, frames = trained("space_to_depth"), torch.rand(3, 1, 64, 128)
    seen = []
    network.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    with torch.no_grad():
        both = FlipAverage(network)(frames)
        expected = (network(frames) + network(frames.flip(-1)).flip(-1)) / 2
    assert torch.allclose(both, expected, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(seen[0], torch.cat([frames, frames.flip(-1)]))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_served_relu_is_exact(kind):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = every[~every.isnan()].to(kind).reshape(1, -1, 1, 2).contiguous(memory_format=torch.channels_last)
    expected = x.relu()
    assert torch.equal(BitwiseReLU()(x), expected) and torch.equal(x, expected)


def test_weights_are_rounded_once_and_the_trained_network_keeps_its_own():
    network = trained("space_to_depth")
    served = ServedNetwork(network, "bfloat16")
    kinds = {m.weight.dtype for m in served.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)}
    assert kinds == {torch.bfloat16} and served.network.head.layer.weight.dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.requires_grad for p in network.parameters())
    assert any(isinstance(m, nn.ReLU) for m in network.modules())
    assert not served(torch.rand(1, 1, 64, 64)).requires_grad
