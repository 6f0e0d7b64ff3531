"""Every network that a configuration can name, by its variant. Knows nothing of how they are trained."""

from __future__ import annotations

from segdepth.learning.folded import FoldedUNet
from segdepth.learning.unet import UNet


def make_network(variant: str, base_channels: int) -> UNet | FoldedUNet:
    """``binned`` and ``full`` (the paper's, on the binned and on the fine frame) or ``folded`` (our own).

    Raises
    ------
    ValueError
        There is no such variant.
    """
    return FoldedUNet(base_channels) if variant == "folded" else UNet(base_channels, variant)
