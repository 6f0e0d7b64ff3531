"""Test-time augmentation: the mean over each frame and its mirror image along x."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FlipAverage(nn.Module):
    """Mean of the logits of a frame and of its mirror image, turned back; left and right are alike in the crystal.

    For a network in evaluation mode: frames and mirror images go through it as one batch.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits, mirrored = self.network(torch.cat([x, x.flip(-1)])).chunk(2)
        return (logits + mirrored.flip(-1)) / 2
