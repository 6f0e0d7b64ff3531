"""The card of a trained network, ``network.json``: its architecture, inputs and outputs, and training data.

| key | what it is |
|---|---|
| ``variant``, ``base_channels``, ``classes`` | the architecture; classes are 0 to ``classes - 1`` atoms, the last one
  is for all larger counts where the labels block has ``more`` |
| ``input_pixel_pm``, ``label_pixel_pm`` | side of a pixel of its input and of its output |
| ``field_pm`` | side of the fields that it was trained on |
| ``dose_lambda``, ``dose_lambda_range`` | λ of its first data set, and lowest and highest λ of its training or null |
| ``labels`` | the labels block; empty if it is not known |
| ``crystal`` | the crystal, ``Crystal.to_dict()``; empty if the training data had none |
| ``temperature`` | what its logits were divided by; the weights hold it already |
| ``flip_average`` | estimates are means over the frame and its mirror image |
| ``remark`` | a line that every prediction with it carries; mostly empty |
| ``task`` | ``depth``, ``denoise`` (its output is the image without shot noise, ``classes`` is 1 and ``labels`` is
  empty) or ``denoise_and_depth``; left out where it is ``depth`` |
| ``denoiser`` | ``variant`` and ``base_channels`` of the network that images pass before this one counts; left out
  where there is none |
| ``training_record`` | the structures it was trained on or chosen by, see ``segdepth.networks.training_record`` |

Doses are in counted electrons, λ times the camera's ``detection_efficiency``, as a micrograph's counts are. Reading a
card needs no PyTorch.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segdepth.config import TASKS, Architecture, Labels, validate
from segdepth.crystals import Crystal
from segdepth.errors import StoreError

CARD = "network.json"


@dataclass(frozen=True)
class NetworkCard:
    """The fields are the keys of ``network.json``."""

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
    crystal: dict[str, Any] = field(default_factory=dict)
    remark: str = ""
    training_record: list[dict[str, Any]] = field(default_factory=list)
    task: str = "depth"
    denoiser: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """What ``network.json`` holds: all keys but ``task`` and ``denoiser`` of a network that counts by itself."""
        usual = {"task": "depth", "denoiser": {}}
        return {name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]}

    @property
    def doses(self) -> tuple[float, float]:
        """Lowest and highest λ, in counted electrons, that the network was trained at."""
        return self.dose_lambda_range or (self.dose_lambda, self.dose_lambda)

    @property
    def more(self) -> bool:
        """Whether the last class stands for more than ``most_atoms``."""
        return bool(self.labels.get("more", False))

    @property
    def most_atoms(self) -> int:
        """The largest count that has a class of its own."""
        return self.classes - 1 - self.more


def read_card(folder: str | Path) -> NetworkCard:
    """The card of the network in ``folder``.

    Raises
    ------
    StoreError
        It is missing, or is no network's card.
    """
    path = Path(folder) / CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        card = NetworkCard(**found)
        _check(card)
    except (OSError, ValueError, TypeError) as failure:
        raise StoreError(f"{path}: is not the card of a trained network ({failure})") from None
    return card


def _check(card: NetworkCard) -> None:
    """Raise ValueError or TypeError where a value cannot be a trained network's."""
    for name in ("input_pixel_pm", "label_pixel_pm", "field_pm", "dose_lambda", "temperature", "doses"):
        values = card.doses if name == "doses" else [getattr(card, name)]
        if any(type(value) not in (int, float) or not 0 < value < math.inf for value in values):
            raise ValueError(f"{name}: got {', '.join(map(repr, values))}; a number above 0 is needed")
    if not isinstance(card.flip_average, bool) or not isinstance(card.training_record, list):
        raise ValueError("flip_average must be true or false, and training_record a list")
    if not isinstance(card.remark, str):
        raise ValueError(f"remark: got {card.remark!r}; a text is needed")
    validate(Architecture, {"variant": card.variant, "base_channels": card.base_channels}, "architecture")
    if card.task not in TASKS:
        raise ValueError(f"task: got {card.task!r}; allowed: {', '.join(TASKS)}")
    if card.denoiser:
        validate(Architecture, card.denoiser, "denoiser")
    if type(card.classes) is not int or card.classes < 1:
        raise ValueError(f"classes: got {card.classes!r}; a whole number above 0 is needed")
    if card.labels and validate(Labels, card.labels, "labels").classes != card.classes:
        raise ValueError(
            f"classes: got {card.classes!r}; labels have most_atoms {card.labels.get('most_atoms')}, more "
            f"{bool(card.labels.get('more'))}"
        )
    if card.crystal:
        try:
            Crystal.from_dict(card.crystal)
        except (KeyError, TypeError, ValueError, AttributeError) as failure:
            raise ValueError(f"crystal: {type(failure).__name__} {failure}") from None


def write_card(card: NetworkCard, folder: Path) -> None:
    """Write ``network.json`` into an existing folder."""
    (folder / CARD).write_text(json.dumps(card.as_dict(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
