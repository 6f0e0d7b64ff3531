"""Every network that a configuration can name, by its variant. Knows nothing of how they are trained."""

from __future__ import annotations

from segdepth.networks.space_to_depth import SpaceToDepthUNet
from segdepth.networks.unet import UNet


def make_network(variant: str, base_channels: int) -> UNet | SpaceToDepthUNet:
    """``binned`` and ``full`` (the paper's, on the binned and on the fine frame) or ``folded`` (our own).

    Raises
    ------
    ValueError
        There is no such variant.
    """
    return SpaceToDepthUNet(base_channels) if variant == "space_to_depth" else UNet(base_channels, variant)
