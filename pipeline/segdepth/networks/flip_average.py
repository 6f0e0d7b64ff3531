"""A network that looks at every frame twice, as it is and mirrored along x. Knows nothing of what it is made of."""

from __future__ import annotations

from torch import Tensor, nn


class FlipAverage(nn.Module):
    """Mean of the logits of a frame and of its mirror image, turned back; the crystal knows no left and right."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x) + self.network(x.flip(-1)).flip(-1)) / 2
