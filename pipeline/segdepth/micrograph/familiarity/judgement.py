"""Is a frame like those that a network has learnt from: in, at the edge, or outside?

A frame's features (``features``) are compared with those of simulated frames that the network has not seen, but that
are of the kind it has learnt. Features are turned into independent ones of spread 1, and the distance is the mean one
to the nearest ``NEIGHBOURS`` of these frames. Thresholds are quantiles of the distances of other such frames, of other
structures; a third part of the structures measures the rates at which frames of the learnt kind are called at the edge
or outside.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from segdepth.config import PAPER_PIXEL_PM
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.micrograph.familiarity.words import reason_of
from segdepth.networks.card import NetworkCard

LEVELS = ("in", "edge", "outside")
UNKNOWN = "unknown"
"""Level of the frames of a network whose familiarity was not measured."""

NEIGHBOURS = 5
QUANTILES = 0.95, 0.99
"""Of the distances of frames of the learnt kind, beyond which a frame is at the edge, and outside."""

RANGE = 0.5, 99.5
"""Percentiles of a feature that are told as its trained range, of the frames of a similar dose."""

SIMILAR_DOSE = 0.3
"""Of log10: a factor of 2."""

DOSE_SLACK, DOSE_FACTOR = 1.05, 2.0
"""Beyond the trained doses by these factors a frame is at the edge, and outside."""

PIXEL_SLACK, PIXEL_FACTOR = 1.05, 1.5
"""The same of a camera pixel larger than the network's."""

ENERGY_SLACK = 0.01
"""Energies that differ by less are the same."""

LEAST_BEYOND = 0.02
"""How far a feature must lie beyond its trained range to be a reason, over the range."""

FARTHEST = 3
"""Reasons that are given at most."""

LEAST_EVIDENCE = math.asinh(3.0)
"""Power of the reflections, in standard errors, below which the lattice is not to be seen in the noise."""

CHECKED, LEAST_FRAMES = 5, 20


@dataclass(frozen=True)
class Judgement:
    """level : one of ``LEVELS`` or ``UNKNOWN``. distance : over that beyond which a frame is outside (NaN where there
    is none). reasons : what is farthest from the learnt frames, in words; empty where the level is ``in``."""

    level: str
    distance: float = math.nan
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Familiarity:
    """What a network has learnt, as features of frames.

    names : of the features. frames : float (frame, feature) of the reference. edge, outside : distances, in the units
    of ``distance``. rates : how it was measured: numbers of frames and structures, and the shares of held-out frames of
    the learnt kind that are called ``edge`` and ``outside``. network : its crystal, pixel, doses and energy.
    """

    names: tuple[str, ...]
    frames: np.ndarray
    edge: float
    outside: float
    rates: Mapping[str, float]
    network: Mapping[str, Any]

    def __post_init__(self) -> None:
        centre, mixing = whitening(self.frames)
        object.__setattr__(self, "_centre", centre)
        object.__setattr__(self, "_mixing", mixing)
        object.__setattr__(self, "_reference", ((self.frames - centre) @ mixing).astype(np.float32))

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Mean distance (frame,) of features (frame, feature) to the nearest frames of the reference."""
        places = ((np.atleast_2d(values) - self._centre) @ self._mixing).astype(np.float32)
        return np.array([_nearest(self._reference, place).mean() for place in places])

    @property
    def energies_kev(self) -> tuple[float, ...]:
        """Energies of the electrons that the network has learnt."""
        return tuple(np.atleast_1d(self.network["energy_kev"]).tolist())

    def other_energy(self, energy_kev: float | None) -> str:
        """What to say of a micrograph's energy; empty if it is one of the network's, or not known."""
        if energy_kev is None or any(abs(energy_kev / mine - 1) <= ENERGY_SLACK for mine in self.energies_kev):
            return ""
        learnt = " and ".join(f"{mine:.4g}" for mine in self.energies_kev)
        return f"the file says {energy_kev:.4g} kV, the network has learnt {learnt} kV"

    def judge(
        self, features: Mapping[str, float], *, pixel_pm: float | None = None, energy_kev: float | None = None
    ) -> Judgement:
        """The level of a frame.

        Parameters
        ----------
        features : of ``features.features``; empty where no crystal was found.
        pixel_pm, energy_kev : of the micrograph, if they are to be compared with the network's.
        """
        if not features:
            return Judgement("outside", math.nan, ("no part of the frame is full of crystal",))
        values = np.array([features[name] for name in self.names])
        distance = float(self.distance(values)[0])
        level = sum(distance > limit for limit in (self.edge, self.outside))
        reasons = self._reasons(values) if level else []
        for worse, line in self._range_checks(features, pixel_pm):
            level = max(level, worse)
            reasons.insert(0, line)
        if line := self.other_energy(energy_kev):
            level, reasons = len(LEVELS) - 1, [line, *reasons]
        return Judgement(LEVELS[level], distance / self.outside, tuple(reasons[:FARTHEST]))

    def _range_checks(self, features: Mapping[str, float], pixel_pm: float | None) -> list[tuple[int, str]]:
        """(level, reason) of a dose or pixel beyond the network's, and of a lattice that cannot be seen."""
        dose, (low, high), pixel = 10 ** features["dose"], self.network["doses"], self.network["input_pixel_pm"]
        found = []
        beyond = max(low / dose, dose / high)
        if beyond > DOSE_SLACK:
            per_area = (100 / PAPER_PIXEL_PM) ** 2
            found.append(
                (
                    1 + (beyond > DOSE_FACTOR),
                    f"the dose is {dose * per_area:.3g} e⁻/Å², the network has learnt {low * per_area:.3g} to "
                    f"{high * per_area:.3g}",
                )
            )
        if pixel_pm and pixel_pm > PIXEL_SLACK * pixel:
            line = f"a pixel is {pixel_pm:.4g} pm wide, the network has learnt {pixel:.4g} pm"
            found.append((1 + (pixel_pm > PIXEL_FACTOR * pixel), line))
        if features["evidence"] < LEAST_EVIDENCE:
            found.append((2, "no reflections of the crystal rise above the shot noise"))
        return found

    def _reasons(self, values: np.ndarray) -> list[str]:
        """The features that are farthest beyond their trained ranges, the farthest first."""
        dose = self.names.index("dose")
        similar = np.abs(self.frames[:, dose] - values[dose]) < SIMILAR_DOSE
        near = self.frames[similar] if similar.sum() >= 50 else self.frames
        low, high = np.percentile(near, RANGE, axis=0)
        width = np.maximum(high - low, 1e-9)
        beyond = np.maximum(low - values, values - high) / width
        beyond[dose] = 0
        order = [i for i in np.argsort(-beyond) if beyond[i] > LEAST_BEYOND]
        lines = [reason_of(self.names[i], values[i], low[i], high[i]) for i in order[:FARTHEST]]
        return lines or ["each single number is within its trained range, but not all of them together"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        kept = {"edge": self.edge, "outside": self.outside, "rates": dict(self.rates), "network": dict(self.network)}
        return {"names": list(self.names), "frames": self.frames.tolist(), **kept}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The familiarity of ``to_dict``'s data.

        Raises
        ------
        KeyError, TypeError, ValueError
            The data are not those of a familiarity.
        """
        names, frames = tuple(map(str, data["names"])), np.array(data["frames"], float)
        edge, outside = float(data["edge"]), float(data["outside"])
        if "dose" not in names or frames.ndim != 2 or frames.shape[1] != len(names) or len(frames) <= len(names):
            raise ValueError(f"frames: got shape {frames.shape} for {len(names)} features")
        if not np.isfinite(frames).all() or not 0 < edge <= outside < math.inf:
            raise ValueError("frames, edge and outside must be finite, and 0 < edge <= outside")
        rates = {str(name): float(value) for name, value in data["rates"].items()}
        network = dict(data["network"])
        doses, pixel = [float(dose) for dose in network["doses"]], float(network["input_pixel_pm"])
        energies = np.atleast_1d(np.array(network["energy_kev"], float)).tolist()
        if len(doses) != 2 or not 0 < doses[0] <= doses[1] < math.inf or not 0 < min(pixel, *energies) < math.inf:
            raise ValueError("network: doses, energy_kev and input_pixel_pm must be above 0")
        network |= {"doses": doses, "input_pixel_pm": pixel, "energy_kev": energies}
        return cls(names, frames, edge, outside, rates, network)


def whitening(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (feature,) and matrix (feature, feature) that make features (frame, feature) independent, of spread 1."""
    centre = frames.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((frames - centre).T))
    return centre, vectors / np.sqrt(np.maximum(values, 1e-8 * values.max()))


def _nearest(reference: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Distances to the nearest frames."""
    squares = ((reference - place) ** 2).sum(axis=1)
    return np.sqrt(np.partition(squares, NEIGHBOURS - 1)[:NEIGHBOURS])


def measure_familiarity(
    features: Sequence[Mapping[str, float]],
    structures: Sequence[tuple[str, int]],
    card: NetworkCard,
    energies_kev: Sequence[float],
) -> Familiarity:
    """What a network has learnt, from frames of that kind.

    Parameters
    ----------
    features : of each frame; empty ones (no crystal in the frame) are left out.
    structures : specimen and index of the structure that each frame shows. One structure of each ``CHECKED`` is held
        out; the others are the reference, and give the thresholds, each frame by its distance to those of other
        structures.
    card : the network's.
    energies_kev : of the frames' electrons.

    Raises
    ------
    StoreError
        There are fewer than ``LEAST_FRAMES`` frames to either end.
    """
    kept = [(one, where) for one, where in zip(features, structures, strict=True) if one]
    known = {where: number for number, where in enumerate(sorted({where for _, where in kept}))}
    names = tuple(kept[0][0]) if kept else ()
    values = np.array([[one[name] for name in names] for one, _ in kept])
    owner = np.array([known[where] for _, where in kept], int)
    held = owner % CHECKED == CHECKED - 1
    if min(held.sum(), (~held).sum()) < LEAST_FRAMES:
        raise StoreError(
            f"familiarity: got {len(kept)} frames with a crystal, {int(held.sum())} of them held out; at least "
            f"{LEAST_FRAMES} of either are needed"
        )
    frames = np.array([[float(f"{value:.4g}") for value in frame] for frame in values[~held].tolist()])
    centre, mixing = whitening(frames)
    places = (frames - centre) @ mixing
    apart = [_nearest(places[owner[~held] != mine], place).mean() for mine, place in zip(owner[~held], places)]
    edge, outside = (float(q) for q in np.quantile(apart, QUANTILES))
    network = {"crystal": _title(card), "input_pixel_pm": card.input_pixel_pm, "doses": list(card.doses)}
    network |= {"card": card_key(card), "energy_kev": list(energies_kev)}
    found = Familiarity(names, frames, edge, outside, {}, network)
    levels = [found.judge(dict(zip(names, frame))).level for frame in values[held].tolist()]
    rates = {
        "reference frames": len(frames),
        "held-out frames": len(levels),
        "held-out structures": len(set(owner[held].tolist())),
        "edge": levels.count("edge") / len(levels),
        "outside": levels.count("outside") / len(levels),
    }
    return replace(found, rates=rates)


def _title(card: NetworkCard) -> str:
    return Crystal.from_dict(card.crystal).title


def card_key(card: NetworkCard) -> str:
    """Tells networks apart: a hash of the card without its remark."""
    known = {name: value for name, value in card.as_dict().items() if name != "remark"}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def read_familiarity(path: str | Path, card: NetworkCard) -> Familiarity:
    """What ``segdepth measure-familiarity`` wrote; data only, and checked.

    Raises
    ------
    StoreError
        It cannot be read, or is of another network than that of the card.
    """
    try:
        found = Familiarity.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as failure:
        raise StoreError(f"{path}: is no familiarity of a network ({failure})") from None
    if found.network.get("card") != card_key(card):
        raise StoreError(f"{path}: was measured for another network; make it anew with segdepth measure-familiarity")
    return found


def write_familiarity(familiarity: Familiarity, path: Path) -> None:
    """Write JSON, a line a frame."""
    data = familiarity.to_dict()
    frames = ",\n  ".join(json.dumps(frame) for frame in data.pop("frames"))
    head = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(f'{head[:-2]},\n "frames": [\n  {frames}\n ]\n}}\n', encoding="utf-8", newline="\n")
