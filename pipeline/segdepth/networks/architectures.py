"""Every network that a configuration can name, by its variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from segdepth.networks.denoised import DenoisedNetwork
from segdepth.networks.space_to_depth import SpaceToDepthUNet
from segdepth.networks.unet import UNet


def make_network(variant: str, base_channels: int, classes: int) -> UNet | SpaceToDepthUNet:
    """``binned`` and ``full`` (the paper's, on the binned and on the fine frame) or ``space_to_depth`` (our own).

    Raises
    ------
    ValueError
        There is no such variant.
    """
    if variant == "space_to_depth":
        return SpaceToDepthUNet(base_channels, classes)
    return UNet(base_channels, variant, classes)


def make_denoiser(variant: str, base_channels: int) -> nn.Module:
    """A network that gives an image instead of logits, (batch, 1, y, x) to the same; it begins at the vacuum."""
    network = make_network(variant, base_channels, 1)
    nn.init.ones_(network.head.bias)
    return network


def make_denoised(
    denoiser: Mapping[str, Any], variant: str, base_channels: int, classes: int, *, frozen: bool = False
) -> DenoisedNetwork:
    """A network that counts in what a denoiser gives.

    Parameters
    ----------
    denoiser : its ``variant`` and ``base_channels``.
    frozen : whether the denoiser stays as it is in a training.
    """
    first = make_denoiser(denoiser["variant"], denoiser["base_channels"])
    return DenoisedNetwork(first, make_network(variant, base_channels, classes), frozen=frozen)


def network_of_card(card: Any) -> nn.Module:
    """The network that a card describes, with random weights."""
    shape = (card.variant, card.base_channels, card.classes)
    return make_denoised(card.denoiser, *shape) if card.denoiser else make_network(*shape)
