"""Weights as float16, which halves the file.

Convolution weights become float16; vectors (biases, batch norm's) and whole numbers are a few thousandths of a file and
stay as they are: a variance of 1e-8 would become 0. A tensor that float16 cannot hold to a thousandth stays, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from segdepth.config import NETWORK_STRIDE, PAPER_PIXEL_PM
from segdepth.networks.card import NetworkCard

LARGEST_LOSS = 1e-3
"""Norm of what float16 takes from a tensor, over the tensor's own."""


def half_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by name, as float16 where that keeps them."""
    return {name: _half(tensor) for name, tensor in weights.items()}


def _half(tensor: Tensor) -> Tensor:
    if tensor.dim() < 2 or not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    loss = torch.linalg.vector_norm(half.double() - tensor.double())
    kept = bool(loss <= LARGEST_LOSS * torch.linalg.vector_norm(tensor.double()))  # what overflows loses infinitely
    return half if kept else tensor


@torch.inference_mode()
def largest_change(network: nn.Module, halved: nn.Module, card: NetworkCard) -> float:
    """Largest difference of any probability on a noisy image of fringes of 3 periods a nm."""
    side = 4 * NETWORK_STRIDE
    fringes = 1 + 0.3 * np.sin(np.arange(side) * card.input_pixel_pm / 50)
    level = card.doses[0] * (card.input_pixel_pm / PAPER_PIXEL_PM) ** 2
    noisy = np.random.default_rng(0).poisson(level * fringes, (side, side)) / level
    image = torch.from_numpy(noisy.astype(np.float32))[None, None]
    first, second = (net(image).softmax(dim=1) for net in (network, halved))
    return float((first - second).abs().max())
