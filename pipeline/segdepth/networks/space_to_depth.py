"""A U-Net of our own for the binned frame: 2 x 2 pixels become channels (space to depth), then the levels double.

At 21 pm the finest thing to tell apart, one column from the next, is six pixels wide: the paper's first levels, with
few channels on many pixels, cost most of the time and hold little. Space to depth loses nothing and allows
four times the width in the same time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdepth.networks.unet import DoubleConvolution, check_sides, down_and_up

BLOCK = 2
"""Side of the square of pixels that becomes channels."""

WIDTHS = (1, 2, 4, 4, 4)
"""Widths of the levels in units of the base channels, from the top down."""


class SpaceToDepthUNet(nn.Module):
    """Counts (vacuum = 1) to logits, (batch, 1, y, x) to (batch, classes, y, x); sides divisible by 64.

    Parameters
    ----------
    base_channels : channels of the first level, which has half the frame's sides.
    classes : atoms that a pixel can hold, 0 to classes - 1.
    """

    def __init__(self, base_channels: int, classes: int) -> None:
        super().__init__()
        self.variant, self.base_channels, self.classes = "space_to_depth", base_channels, classes
        widths = [base_channels * factor for factor in WIDTHS]
        self.encoder = nn.ModuleList(
            DoubleConvolution(given, wanted, wanted) for given, wanted in zip([BLOCK**2, *widths[:-1]], widths)
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for skip in reversed(widths[:-1]):
            self.decoder.append(DoubleConvolution(below + skip, skip, skip))
            below = skip
        self.head = nn.Conv2d(below, classes * BLOCK**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x)
        x = functional.pixel_unshuffle(x, BLOCK).contiguous(memory_format=torch.channels_last)
        x = down_and_up(x, self.encoder, self.decoder)
        return functional.pixel_shuffle(self.head(x), BLOCK)
