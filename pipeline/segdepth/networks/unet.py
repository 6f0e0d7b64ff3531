"""The network (SegDepth, appendix): a U-Net with seven levels, replication padding and a median tail.

Two variants: ``full`` reads 5.3 pm pixels and ends in two median downsamplings and a median filter; ``binned`` reads
the 4 x 4 binned frame and has no tail. Both give one logit for each class and 21 pm pixel; the paper has 11 classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdepth.config import NETWORK_STRIDE
from segdepth.networks.padding import ReplicateConv2d

ENCODER = (1, 1, 1, 2, 4, 8, 8)
DECODER = (4, 2, 1, 1, 1, 1)
"""Widths in units of the base channels, from the top down and from the bottom up (gives Table I)."""


class DoubleConvolution(nn.Sequential):
    """Twice: 3 x 3 convolution with replication padding and bias, batch norm, ReLU."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for given, wanted in ((inputs, middle), (middle, outputs)):
            layers += [
                ReplicateConv2d(given, wanted),
                nn.BatchNorm2d(wanted),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


def median_downsample(x: Tensor) -> Tensor:
    """Median of each 2 x 2 block, the mean of its two middle values; (…, y, x) to half the size."""
    blocks = torch.stack([x[..., 0::2, 0::2], x[..., 0::2, 1::2], x[..., 1::2, 0::2], x[..., 1::2, 1::2]])
    return (blocks.sum(0) - blocks.amax(0) - blocks.amin(0)) / 2


def median_filter(x: Tensor, size: int = 4) -> Tensor:
    """Median over a size x size window, (batch, channel, y, x).

    An even window has no centre pixel: it begins (size - 1)//2 before the pixel; edges are replicated. The median is
    the mean of the two middle values.
    """
    before = (size - 1) // 2
    after = size - 1 - before
    padded = functional.pad(x, (before, after, before, after), mode="replicate")
    windows = padded.unfold(-2, size, 1).unfold(-2, size, 1).flatten(-2)
    ordered = windows.sort(dim=-1).values
    half = size * size // 2
    return (ordered[..., half - 1] + ordered[..., half]) / 2


def check_sides(frames: Tensor) -> None:
    """Refuse frames (…, y, x) whose sides are no multiples of the networks' stride, with a ValueError."""
    if frames.shape[-1] % NETWORK_STRIDE or frames.shape[-2] % NETWORK_STRIDE:
        raise ValueError(f"sides must be divisible by {NETWORK_STRIDE}, got {tuple(frames.shape[-2:])}")


def down_and_up(x: Tensor, encoder: nn.ModuleList, decoder: nn.ModuleList) -> Tensor:
    """The U: 2 x 2 max-poolings between the encoder's levels, bilinear upsampling and concatenated skips in the
    decoder; (batch, channel, y, x) to the decoder's last channels on the same pixels."""
    skips = []
    for level, block in enumerate(encoder):
        x = block(functional.max_pool2d(x, 2) if level else x)
        skips.append(x)
    skips.pop()
    for block in decoder:
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = block(torch.cat([skips.pop(), x], dim=1))
    return x


class UNet(nn.Module):
    """Counts (vacuum = 1) to logits.

    Parameters
    ----------
    base_channels : channels of the first level (c in Table I).
    variant : ``binned`` or ``full``.
    classes : atoms that a pixel can hold, 0 to classes - 1.

    Input (batch, 1, y, x) with sides divisible by 64; output (batch, classes, y, x) for ``binned``, a quarter of the
    sides for ``full``.
    """

    def __init__(self, base_channels: int, variant: str, classes: int) -> None:
        super().__init__()
        if variant not in ("binned", "full"):
            raise ValueError(f"variant: got {variant!r}; allowed: binned, full")
        c = base_channels
        self.variant, self.base_channels, self.classes = variant, c, classes
        widths = [c * factor for factor in ENCODER]
        self.encoder = nn.ModuleList(
            DoubleConvolution(given, wanted, wanted) for given, wanted in zip([1, *widths[:-1]], widths)
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for skip, factor in zip(reversed(widths[:-1]), DECODER):
            joined = below + skip
            self.decoder.append(DoubleConvolution(joined, joined // 2, c * factor))
            below = c * factor
        self.tail = nn.ModuleList()
        if variant == "full":
            for factor in (2, 4):
                self.tail.append(DoubleConvolution(below, c * factor, c * factor))
                below = c * factor
        self.head = nn.Conv2d(below, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x)
        x = down_and_up(x, self.encoder, self.decoder)
        for block in self.tail:
            x = block(median_downsample(x))
        x = self.head(x)
        return median_filter(x) if self.variant == "full" else x


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
