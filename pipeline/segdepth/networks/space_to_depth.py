"""A U-Net of our own for the binned frame: 2 x 2 pixels folded into channels, then plainly doubling levels.

At 21 pm the finest thing to tell apart, Ce from O, is six pixels wide: the paper's first levels, with few channels on
many pixels, cost most of the time and hold little. Folding loses nothing, and the same time buys four times the width.
Nothing here knows of images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdepth.config import CLASSES
from segdepth.networks.unet import DoubleConvolution, check_sides, down_and_up

FOLD = 2
WIDTHS = (1, 2, 4, 4, 4)
"""Widths of the levels in units of the base channels, from the top down."""


class SpaceToDepthUNet(nn.Module):
    """Counts (vacuum = 1) to logits, (batch, 1, y, x) to (batch, 11, y, x); sides divisible by 64.

    Parameters
    ----------
    base_channels : channels of the first level, which has half the frame's sides.
    """

    def __init__(self, base_channels: int = 32) -> None:
        super().__init__()
        self.variant, self.base_channels = "space_to_depth", base_channels
        widths = [base_channels * factor for factor in WIDTHS]
        self.encoder = nn.ModuleList(
            DoubleConvolution(given, wanted, wanted) for given, wanted in zip([FOLD**2, *widths[:-1]], widths)
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for skip in reversed(widths[:-1]):
            self.decoder.append(DoubleConvolution(below + skip, skip, skip))
            below = skip
        self.head = nn.Conv2d(below, CLASSES * FOLD**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x)
        x = functional.pixel_unshuffle(x, FOLD).contiguous(memory_format=torch.channels_last)
        x = down_and_up(x, self.encoder, self.decoder)
        return functional.pixel_shuffle(self.head(x), FOLD)
