"""Every network that a configuration can name, by its variant."""

from __future__ import annotations

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
