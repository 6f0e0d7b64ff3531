"""Two networks one after the other: the first takes the shot noise off an image, the second counts in what it gives."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DenoisedNetwork(nn.Module):
    """Counts (vacuum = 1) to logits, (batch, 1, y, x) to (batch, classes, y, x), through a denoised image.

    ``denoise_and_count`` is for a training of both: no gradient flows from the second network into the first (SegDepth,
    IV-F: the clean image optimises the denoiser's parameters, the depth map those of the second network).

    Parameters
    ----------
    denoiser : (batch, 1, y, x) to the image without noise, of the same shape.
    counter : (batch, 1, y, x) to logits on the same pixels.
    frozen : whether the denoiser stays as it is in a training, its batch norms included.
    """

    def __init__(self, denoiser: nn.Module, counter: nn.Module, *, frozen: bool = False) -> None:
        super().__init__()
        self.denoiser, self.counter, self.frozen = denoiser, counter, frozen
        self.variant, self.base_channels, self.classes = counter.variant, counter.base_channels, counter.classes
        if frozen:
            denoiser.requires_grad_(False)
            denoiser.eval()

    def train(self, mode: bool = True) -> DenoisedNetwork:
        super().train(mode)
        if self.frozen:
            self.denoiser.eval()
        return self

    def denoise_and_count(self, x: Tensor) -> Tensor:
        """The denoised image, then the logits: (batch, 1 + classes, y, x)."""
        clean = self.denoiser(x)
        logits = self.counter(clean.detach().contiguous(memory_format=torch.channels_last))
        return torch.cat([clean, logits], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.counter(self.denoiser(x).contiguous(memory_format=torch.channels_last))


def counting_part(network: nn.Module) -> nn.Module:
    """The network that counts: of two in a row the second."""
    return network.counter if isinstance(network, DenoisedNetwork) else network


def networks_in(network: nn.Module) -> list[nn.Module]:
    """Of two networks in a row both, of any other itself."""
    return [network.denoiser, network.counter] if isinstance(network, DenoisedNetwork) else [network]
