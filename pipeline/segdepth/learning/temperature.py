"""Temperature scaling: one number that calibrates a trained network's confidence (Guo et al., ICML 2017, section
4.2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional

from segdepth.learning.samples import Batch

STRIDE = 4
"""Every fourth pixel along y and x is used, since neighbours are correlated."""

RANGE = (0.1, 10.0)


@torch.no_grad()
def validation_logits(network: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Logits (pixel, class) and depths (pixel,) of held-out batches, thinned by ``STRIDE``."""
    logits, depths = [], []
    training = network.training
    network.eval()
    where = next(network.parameters()).device
    for batch in batches:
        found = network(batch.noisy.to(where).contiguous(memory_format=torch.channels_last)).float()
        logits.append(found[..., ::STRIDE, ::STRIDE].movedim(1, -1).flatten(0, -2).cpu())
        depths.append(batch.depth[..., ::STRIDE, ::STRIDE].flatten().long().cpu())
    network.train(training)
    return torch.cat(logits), torch.cat(depths)


def fit_temperature(logits: Tensor, depths: Tensor) -> float:
    """T > 0 for which softmax(logits / T) has the least negative log-likelihood of the depths."""

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / torch.tensor(log_temperature).exp(), depths))

    bounds = tuple(float(torch.tensor(end).log()) for end in RANGE)
    return float(torch.tensor(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x).exp())


@torch.no_grad()
def divide_logits(network: nn.Module, temperature: float) -> None:
    """Put the temperature into the last convolution; the estimated depths stay what they are."""
    network.head.weight /= temperature
    network.head.bias /= temperature
