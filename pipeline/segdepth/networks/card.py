"""The card of a trained network, ``network.json``: its architecture, inputs and outputs, and training data.

| key | what it is |
|---|---|
| ``variant``, ``base_channels``, ``classes`` | the architecture; classes are 0 to ``classes - 1`` atoms |
| ``input_pixel_pm``, ``label_pixel_pm`` | side of a pixel of its input and of its output |
| ``field_pm`` | side of the fields that it was trained on |
| ``dose_lambda``, ``dose_lambda_range`` | λ of its first data set, and lowest and highest λ of its training or null |
| ``labels`` | the labels block |
| ``crystal`` | the crystal, ``Crystal.to_dict()``; empty if the training data had none |
| ``temperature`` | what its logits were divided by; the weights hold it already |
| ``flip_average`` | estimates are means over the frame and its mirror image |
| ``training_record`` | the structures it was trained on or chosen by, see ``segdepth.networks.training_record`` |

Doses are in counted electrons, λ times the camera's ``detection_efficiency``, as a micrograph's counts are. Reading a
card needs no PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    training_record: list[dict[str, Any]] = field(default_factory=list)

    @property
    def doses(self) -> tuple[float, float]:
        """Lowest and highest λ, in counted electrons, that the network was trained at."""
        return self.dose_lambda_range or (self.dose_lambda, self.dose_lambda)


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
        for name in ("base_channels", "classes"):
            if type(found[name]) is not int or found[name] < 1:
                raise ValueError(f"{name}: got {found[name]!r}; a whole number above 0 is needed")
        for name in ("input_pixel_pm", "label_pixel_pm", "field_pm", "dose_lambda", "temperature"):
            if type(getattr(card, name)) not in (int, float) or not getattr(card, name) > 0:
                raise ValueError(f"{name}: got {getattr(card, name)!r}; a number above 0 is needed")
        for name, kind in (("labels", dict), ("crystal", dict), ("training_record", list)):
            if not isinstance(getattr(card, name), kind):
                raise ValueError(f"{name}: got {type(getattr(card, name)).__name__}")
    except (OSError, ValueError, TypeError) as failure:
        raise StoreError(f"{path}: is not the card of a trained network ({failure})") from None
    return card


def write_card(card: NetworkCard, folder: Path) -> None:
    """Write ``network.json`` into an existing folder."""
    (folder / CARD).write_text(json.dumps(asdict(card), indent=1, sort_keys=True) + "\n", encoding="utf-8")
