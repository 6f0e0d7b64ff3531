"""Test-time augmentation: the mean over each frame and its mirror image along x."""

from __future__ import annotations

from torch import Tensor, nn


class FlipAverage(nn.Module):
    """Mean of the logits of a frame and of its mirror image, turned back; left and right are alike in the crystal."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x) + self.network(x.flip(-1)).flip(-1)) / 2
