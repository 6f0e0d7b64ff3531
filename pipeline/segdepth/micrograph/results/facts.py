"""What results are made of: facts of a film, and of each of its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segdepth.crystals import Crystal
from segdepth.micrograph.geometry import FrameTransform

FAMILIARITY = ("in", "edge", "outside", "unknown")
"""Whether a frame lies within what the network has learnt; what is ``outside`` is not reliable. ``unknown``: what this
network has learnt was not measured."""

NOT_RELIABLE = "NOT RELIABLE: outside of what the network has learnt"
NOT_EXPLAINED_STAMP = "NOT EXPLAINED: the lens fit is no fact"


def worst_first(lines: Sequence[str]) -> list[str]:
    """Lines that say what does not hold (``NOT …``) before all others, else in their order, each once."""
    return sorted(dict.fromkeys(lines), key=lambda line: not line.startswith("NOT "))


def printable(text: str) -> str:
    """The text with a question mark for each character that cannot be printed: control characters, broken names."""
    return "".join(c if c.isprintable() else "?" for c in text)


@dataclass(frozen=True)
class Layer:
    """A further map of each frame, on the network's input pixels.

    name : key of its maps. title, unit : in words. colours : a matplotlib map, or None: the depth's. limits : values at
    the ends of the colours; None: those of each frame.
    """

    name: str
    title: str
    unit: str
    colours: str | None = None
    limits: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})"


@dataclass(frozen=True)
class FilmFacts:
    """What holds for the whole film.

    source : path as given. frames : numbers in the file of the frames that are predicted, rising. transform : from the
    file's pixels (their size, the turn) to the network's input. label_pixel_pm : pixel of the network's output, which
    has the same corner. pixel_from, dose_from : where they come from, in words. classes : of depth, from 0 atoms on,
    the last one for all larger counts where the labels block has ``more``. labels : the network's labels block.
    network : its name and facts of its card, plain data. false_discovery : share of false columns among those listed
    that is aimed at. distortion : plain data of the calibration. times_s : start of each frame in ``frames``.
    warnings : lines for the user. layers : maps that an explanation adds; the rows of its columns have those of
    ``page.REFINED`` too. stamp : what must be said across every frame.
    """

    source: str
    frames: Sequence[int]
    transform: FrameTransform
    label_pixel_pm: float
    classes: int
    crystal: Crystal
    labels: Mapping[str, Any]
    network: Mapping[str, Any]
    image: str = ""
    pixel_from: str = ""
    pixel_error_pm: float | None = None
    rotation_error_deg: float | None = None
    distortion: Mapping[str, Any] = field(default_factory=dict)
    dose_from: str = ""
    false_discovery: float | None = None
    energy_kev: float | None = None
    exposure_s: float | None = None
    times_s: Sequence[float] | None = None
    warnings: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    stamp: str = ""

    @property
    def more(self) -> bool:
        """Whether the last class stands for more atoms than have one of their own."""
        return bool(self.labels.get("more", False))

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (y, x) of the file."""
        return self.transform.shape

    @property
    def name(self) -> str:
        """The file's name with printable characters only, for formats that allow no others."""
        return printable(Path(self.source).name)

    @property
    def pixel_pm(self) -> float:
        """Side of the file's pixel."""
        return self.transform.pixel_pm

    @property
    def frame_step_s(self) -> float | None:
        """Mean time from frame to frame, or None."""
        if self.times_s is not None and len(self.times_s) > 1:
            return (self.times_s[-1] - self.times_s[0]) / (len(self.times_s) - 1)
        return None


@dataclass(frozen=True)
class FrameResult:
    """One frame.

    number : in the file. table : one row a column with ``tables.GIVEN``. probabilities : float32 (class, row, column)
    on label pixels; depth uint8, confidence float32 and valid bool (row, column) too. counts : float32 (row, column) on
    the network's input pixels, vacuum = 1, NaN where not valid. image : float32 (y, x), the frame on the file's own
    pixels, vacuum = 1, NaN where not usable. vacuum_level : electrons a pixel of the file in vacuum. familiarity : one
    of ``FAMILIARITY``; familiarity_numbers : what it was judged by. lines : for the user. layers : by name, float32
    (row, column) on the network's input pixels, NaN where not valid. told : further facts for the page, in words.
    """

    number: int
    table: pd.DataFrame
    probabilities: np.ndarray
    depth: np.ndarray
    confidence: np.ndarray
    valid: np.ndarray
    counts: np.ndarray
    image: np.ndarray
    dose_e_per_a2: float
    vacuum_level: float
    familiarity: str = "in"
    familiarity_numbers: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    told: tuple[tuple[str, str], ...] = ()

    @property
    def reliable(self) -> bool:
        """False where the frame lies outside of what the network has learnt."""
        return self.familiarity != "outside"


@dataclass(frozen=True)
class LostFrame:
    """A frame that cannot be used: its number in the file, and why."""

    number: int
    reason: str


def lines_of(
    film: Sequence[str], frames: Sequence[tuple[int, bool, Sequence[str]]], lost: Sequence[LostFrame]
) -> tuple[str, ...]:
    """All lines for the user, what is not reliable first.

    Parameters
    ----------
    film : of the whole film. frames : number of each, whether it is reliable, its own lines.
    """
    bad = [number for number, reliable, _ in frames if not reliable]
    first = []
    if bad:
        first = [NOT_RELIABLE if len(bad) == len(frames) else f"{NOT_RELIABLE} ({_frames(bad)})"]
    own: dict[str, list[int]] = {}
    for number, _, lines in frames:
        for line in lines:
            own.setdefault(line, []).append(number)
    single = len(frames) + len(lost) == 1
    told = [line if single else f"{_frames(numbers)}: {line}" for line, numbers in own.items()]
    reasons: dict[str, list[int]] = {}
    for one in lost:
        reasons.setdefault(one.reason, []).append(one.number)
    missing = [f"{_frames(n)} {'are' if len(n) > 1 else 'is'} lost: {reason}" for reason, n in reasons.items()]
    return tuple(worst_first([*first, *told, *missing, *film]))


def _frames(values: Sequence[int]) -> str:
    """``frame 7``, or ``frames 0 to 3, 7``."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    shown = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
    listed = ", ".join(shown if len(shown) <= 8 else [*shown[:8], "..."])
    return f"frame{'s' * (len(values) > 1)} {listed}"
