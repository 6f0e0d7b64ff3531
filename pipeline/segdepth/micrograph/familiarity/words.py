"""A feature that is out of the trained range, in a microscopist's words."""

from __future__ import annotations

import math
from collections.abc import Callable

Shown = Callable[[float], float]


def _percent(value: float) -> float:
    return 100 * value


WORDS: dict[str, tuple[str, Shown, str]] = {
    "brightness": ("the mean brightness of the crystal over the vacuum's is", float, ""),
    "contrast": ("the rms contrast of the crystal is", _percent, " %"),
    "amplitude finer": ("the amplitude of detail finer than the main reflections is", _percent, " % of the mean"),
    "remainder": ("the rms contrast of what does not repeat with the lattice is", _percent, " %"),
    "imbalance": ("mirrored reflections differ (tilt) by", _percent, " % of the mean"),
    "skew": ("the unit cell is lopsided (tilt, coma) by", _percent, " % of the mean"),
    "evidence": ("the reflections' power is", math.sinh, " times its standard error by shot noise"),
    "scale": ("the lattice is larger than it should be (pixel) by", _percent, " %"),
    "turn": ("the lattice is turned (rotation) by", math.degrees, "°"),
    "shear": ("the lattice is strained or sheared by", _percent, " %"),
    "depth": ("the mean depth that the network finds is", float, " atoms"),
    "depth spread": ("the depth that the network finds varies by", float, " atoms"),
    "last class": ("the share of the network's last class is", _percent, " %"),
    "confidence": ("the network's mean confidence is", float, ""),
}
"""By feature: the sentence's beginning, the conversion of the value, and its unit."""


def reason_of(name: str, value: float, low: float, high: float) -> str:
    """``the rms contrast of the crystal is 31 %, the network has learnt 2 to 24 %``."""
    kind, _, which = name.partition(" ")
    if name in WORDS:
        text, shown, unit = WORDS[name]
    elif kind == "triple":
        text, shown, unit = f"the phases of {', '.join(which.split())} together are (cos, weighted)", _percent, " %"
    else:
        text, shown, unit = f"the amplitude of {which} is", _percent, " % of the mean"
    given, least, most = (f"{shown(number):.2g}" for number in (value, low, high))
    if given in (least, most):
        given, least, most = (f"{shown(number):.3g}" for number in (value, low, high))
    return f"{text} {given}{unit}, the network has learnt {least} to {most}{unit}"
