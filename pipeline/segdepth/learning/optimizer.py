"""The optimizer that a training block asks for."""

from __future__ import annotations

import torch
from pytorch_optimizer import Muon
from torch import nn

from segdepth.config import Training
from segdepth.networks.denoised import networks_in

ADAM_BETAS = (0.9, 0.99)
"""Of the parameters that Muon leaves to Adam."""


def hidden_weights(network: nn.Module) -> list[nn.Parameter]:
    """Weights that are trained of all convolutions between the first and the last one of a network, or of each of two
    in a row: matrices from features to features."""
    found: list[nn.Parameter] = []
    for part in networks_in(network):
        found += [module.weight for module in part.modules() if isinstance(module, nn.Conv2d)][1:-1]
    return [weight for weight in found if weight.requires_grad]


def make_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam, or Muon for the hidden weights and Adam for the rest.

    Muon (K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) turns each step of a weight matrix, here
    (outputs, inputs · 9), into the nearest matrix whose singular values are all one, so that rare directions learn as
    fast as common ones. Its step is scaled to Adam's root mean square (J. Liu et al., arXiv:2502.16982, eq. 4), so that
    one learning rate serves both.
    """
    rate, decay = training.learning_rate, training.weight_decay
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if training.optimizer == "adam":
        kind = torch.optim.AdamW if decay else torch.optim.Adam
        return kind(trained, lr=rate, weight_decay=decay)
    hidden = hidden_weights(network)
    taken = {id(weight) for weight in hidden}
    rest = [parameter for parameter in trained if id(parameter) not in taken]
    by_muon = {"params": hidden, "lr": rate, "weight_decay": decay, "use_muon": True, "use_adjusted_lr": True}
    by_adam = {"params": rest, "lr": rate, "weight_decay": decay, "use_muon": False, "betas": ADAM_BETAS, "eps": 1e-8}
    return Muon([by_muon, by_adam])
