"""A trained network on disk: ``weights.safetensors`` (data only) beside its card, ``network.json``.

Weights of an exported network are float16, and are loaded as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from segdepth.errors import ConfigError, StoreError
from segdepth.networks.architectures import network_of_card
from segdepth.networks.bundled import network_folders
from segdepth.networks.card import CARD, NetworkCard, read_card, write_card
from segdepth.networks.flip_average import FlipAverage

WEIGHTS = "weights.safetensors"
NEW_CLASS_LOGIT = -5.0
"""Of a depth class that a trained network lacks, relative to its last one: 20 of them take an eighth of its share."""

__all__ = [
    "CARD",
    "WEIGHTS",
    "NetworkCard",
    "load_denoiser",
    "load_network",
    "load_weights",
    "misfit",
    "save_network",
]


def save_network(network: nn.Module, card: NetworkCard, folder: Path) -> None:
    """Write both files into an existing folder."""
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS
    )
    write_card(card, folder)


def misfit(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str | None:
    """The first tensor that is missing, has another shape, or that the network does not have; None where all fit."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"lacks the tensor {name}"
        if found[name].shape != tensor.shape:
            return f"the tensor {name} has the shape {[*found[name].shape]}, not {[*tensor.shape]}"
    return next((f"the network has no tensor {name}" for name in found if name not in wanted), None)


def load_weights(network: nn.Module, folder: str | Path) -> None:
    """Give a network the weights of a trained one of the same architecture, whose depth classes may be fewer or more.

    Logits of classes that both have are the trained network's. Each further class has the logits of its last one plus
    ``NEW_CLASS_LOGIT``.

    Raises
    ------
    StoreError
        They are missing, damaged, or do not fit.
    """
    path = Path(folder) / WEIGHTS
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as failure:
        raise StoreError(f"{path}: cannot be read ({str(failure).splitlines()[0]})") from None
    weights = _with_classes_of(network, weights)
    if reason := misfit(network.state_dict(), weights):
        raise StoreError(f"{path}: does not fit the network that it is to initialise ({reason})")
    network.load_state_dict(weights)


def _with_classes_of(network: nn.Module, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights whose head has the depth classes of ``network``, if it is the head alone that does not fit: classes that
    both have keep their rows; further ones begin with those of the last, made unlikely by ``NEW_CLASS_LOGIT``."""
    fitted = dict(weights)
    for name in ("head.weight", "head.bias"):
        wanted, found = network.state_dict()[name], weights.get(name)
        each = wanted.shape[0] // network.classes  # rows of a class: space_to_depth has one for each pixel of a block
        if found is None or found.shape[1:] != wanted.shape[1:] or len(found) % each or not len(found):
            return weights
        found = found[: len(wanted)]
        new = network.classes - len(found) // each
        last = found[-each:] + (NEW_CLASS_LOGIT if name == "head.bias" else 0)
        fitted[name] = torch.cat([found, *[last] * new])
    return fitted


def load_network(folder: str | Path | None = None, device: torch.device | str = "cpu") -> tuple[nn.Module, NetworkCard]:
    """A network that counts, in evaluation mode, ``channels_last``, and its card. The caller checks its manifest.

    Parameters
    ----------
    folder : holds both files; or the name of a network that comes with the package; None is the first of these.

    Raises
    ------
    StoreError
        A file is missing, damaged, or of another architecture: the first tensor that does not fit is named.
    ConfigError
        This version of the package comes without such a network, or the network denoises and does not count.
    """
    folder, *_ = network_folders(folder)
    network, card = _read_network(folder)
    if card.task == "denoise":
        raise ConfigError(f"{folder}: this network denoises images; give one that counts (models.*.task: depth)")
    network = FlipAverage(network) if card.flip_average else network
    return network.to(device, memory_format=torch.channels_last).eval(), card


def load_denoiser(folder: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, NetworkCard]:
    """The denoiser in a folder, in evaluation mode, and the folder's card: the network itself, or the first of two in a
    row. It gives (batch, 1, y, x) as it takes them.

    Raises
    ------
    StoreError
        As ``load_network``.
    ConfigError
        The network does not denoise.
    """
    network, card = _read_network(Path(folder))
    if card.task == "depth" and not card.denoiser:
        raise ConfigError(f"{folder}: this network counts and does not denoise; give one with models.*.task: denoise")
    denoiser = network.denoiser if card.denoiser else network
    denoiser = FlipAverage(denoiser) if card.flip_average and card.task == "denoise" else denoiser
    return denoiser.to(device, memory_format=torch.channels_last).eval(), card


def _read_network(folder: Path) -> tuple[nn.Module, NetworkCard]:
    card = read_card(folder)
    try:
        network = network_of_card(card)
        weights = load_file(folder / WEIGHTS)
        reason = misfit(network.state_dict(), weights)
        if reason is None:
            network.load_state_dict(weights)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as failure:
        reason = str(failure).splitlines()[0]
    if reason is not None:
        raise StoreError(
            f"{folder / WEIGHTS}: does not fit its card ({reason}); restore weights and card together, or train again"
        )
    return network, card
