"""A trained network on disk: ``weights.safetensors`` (data only), ``network.json`` (what rebuilds it, where it serves).

``network.json`` holds ``variant``, ``base_channels``, ``classes``, ``input_pixel_pm``, ``label_pixel_pm``,
``field_pm``, ``dose_lambda`` (its data set's), ``dose_lambda_range`` (of its training, or null; both in counted
electrons, λ times the camera's ``detection_efficiency``, as a micrograph's counts are), ``temperature`` (by which its
logits were divided; the weights hold it already), ``mirrored`` (frames are looked at twice,
``segdepth.networks.flip_average``) and ``labels`` (the labels block). Weights of a shipped network are
float16, and are loaded as float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from segdepth.config import CLASSES
from segdepth.errors import StoreError
from segdepth.networks.architectures import make_network
from segdepth.networks.flip_average import FlipAverage
from segdepth.store.manifest import check_whole, manifest_path

WEIGHTS, CARD, ENVIRONMENT = "weights.safetensors", "network.json", "environment.json"


@dataclass(frozen=True)
class NetworkCard:
    """What a network is and where it applies."""

    variant: str
    base_channels: int
    classes: int
    input_pixel_pm: float
    label_pixel_pm: float
    field_pm: float
    dose_lambda: float
    labels: dict[str, Any]
    dose_lambda_range: tuple[float, float] | None = None
    temperature: float = 1.0
    flip_average: bool = False

    @property
    def doses(self) -> tuple[float, float]:
        """Lowest and highest λ, in counted electrons, that the network was trained at."""
        return self.dose_lambda_range or (self.dose_lambda, self.dose_lambda)


def save_network(network: nn.Module, card: NetworkCard, folder: Path) -> None:
    """Write both files into an existing folder."""
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS
    )
    (folder / CARD).write_text(json.dumps(asdict(card), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def misfit(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str | None:
    """The first tensor that is missing, has another shape, or that the network does not know; None where all fit."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"lacks the tensor {name}"
        if found[name].shape != tensor.shape:
            return f"the tensor {name} has the shape {[*found[name].shape]}, not {[*tensor.shape]}"
    return next((f"the network has no tensor {name}" for name in found if name not in wanted), None)


def load_weights(network: nn.Module, folder: str | Path) -> None:
    """Give a network the weights of a trained or shipped one, of its own architecture.

    Raises
    ------
    StoreError
        That one is missing, was edited, or does not fit.
    """
    folder = Path(folder)
    check_whole(folder, ("train-model", "export-model"))
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as failure:
        raise StoreError(f"{folder / WEIGHTS}: cannot be read ({str(failure).splitlines()[0]})") from None
    if told := misfit(network.state_dict(), weights):
        raise StoreError(f"{folder / WEIGHTS}: does not fit the network that is to begin with it ({told})")
    network.load_state_dict(weights)


def load_network(folder: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, NetworkCard]:
    """The network in evaluation mode, ``channels_last``, and its card.

    Raises
    ------
    StoreError
        A file is missing, damaged, or of another architecture: the first tensor that does not fit is named.
    """
    folder = Path(folder)
    if manifest_path(folder).exists():  # a network that came from elsewhere has none
        check_whole(folder, ("train-model", "export-model"))
    try:
        card = NetworkCard(**json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as failure:
        raise StoreError(f"{folder / CARD}: is not the card of a trained network ({failure})") from None
    if card.classes != CLASSES:
        raise StoreError(f"{folder / CARD}: classes: got {card.classes}; this version has {CLASSES}")
    try:
        network = make_network(card.variant, card.base_channels)
        weights = load_file(folder / WEIGHTS)
        told = misfit(network.state_dict(), weights)
        if told is None:
            network.load_state_dict(weights)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as failure:
        told = str(failure).splitlines()[0]
    if told is not None:
        raise StoreError(
            f"{folder / WEIGHTS}: does not fit its card ({told}); restore weights and card together, or train again"
        )
    network = FlipAverage(network) if card.flip_average else network
    return network.to(device, memory_format=torch.channels_last).eval(), card
