"""Which of several networks predicts a film: the one that knows frames like its frames best. Nothing is written.

A few frames are prepared once, predicted by each network, and judged by what each has learnt (``familiarity``). What
counts is the distance to the learnt frames over that beyond which a frame is outside; a network that calls a frame
outside for its dose, pixel or energy is behind all that do not. Of several frames the middle one decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from segdepth.config import PredictionOptions
from segdepth.crystals import Crystal
from segdepth.micrograph.familiarity.judgement import LEVELS, Familiarity, Judgement, read_familiarity
from segdepth.micrograph.files.recording import Recording
from segdepth.micrograph.film import Film, inspect_film
from segdepth.micrograph.network_maps import predict_images
from segdepth.micrograph.predict import (
    Ready,
    crystal_of,
    judge_frame,
    predict_inspected,
    prepared_frames,
    serve,
)
from segdepth.micrograph.thickness import Thickness
from segdepth.networks.bundled import familiarity_of, name_of
from segdepth.networks.card import NetworkCard
from segdepth.networks.files import load_network
from segdepth.networks.serving import ServedNetwork

MOST_FRAMES = 3
"""Frames, evenly spread over a film, that the choice is made by."""


@dataclass(frozen=True)
class Candidate:
    """A network that may predict a film. familiarity : None where it is not known."""

    name: str
    folder: Path
    network: ServedNetwork
    card: NetworkCard
    familiarity: Familiarity | None


def load_candidates(
    folders: Sequence[Path],
    options: PredictionOptions,
    device: torch.device | str = "cpu",
    familiarity: str | Path | None = None,
) -> list[Candidate]:
    """Networks, ready to predict, that can be chosen between: the first one, and those that read the same pixel and
    crystal, if it is known what they have all learnt.

    Parameters
    ----------
    familiarity : what the first one has learnt; it is then the only one. Without it that of bundled ones is known.

    Raises
    ------
    StoreError
        A file is missing, damaged, or of another network.
    """
    found: list[Candidate] = []
    for folder in folders if familiarity is None else folders[:1]:
        known = familiarity or familiarity_of(folder)
        if found and (known is None or found[0].familiarity is None):
            continue
        trained, card = load_network(folder, device)
        if found and _reads(card) != _reads(found[0].card):
            continue
        learnt = None if known is None else read_familiarity(known, card)
        found.append(Candidate(name_of(folder), folder, serve(trained, options), card, learnt))
    return found


def _reads(card: NetworkCard) -> tuple[float, Crystal]:
    """What a network reads: its pixel and its crystal."""
    return card.input_pixel_pm, crystal_of(card)


def inspect_and_choose(
    recording: Recording,
    candidates: Sequence[Candidate],
    options: PredictionOptions,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Film, Candidate]:
    """What a film is, and the network for it, which a line of the film names if there was a choice.

    Parameters
    ----------
    candidates : of ``load_candidates``.
    tell : called with each line for the user, as soon as it is known.

    Raises
    ------
    MicrographError
        Why the film cannot be used.
    """
    first, *others = candidates
    lines = ["" if c.familiarity is None else c.familiarity.other_energy(recording.energy_kev) for c in candidates]
    if all(lines):
        tell(lines[0])
    crystal, pixel = crystal_of(first.card), first.card.input_pixel_pm
    film = inspect_film(recording, crystal, pixel, options, lattice=options.calibrate, tell=tell)
    frames = _some_frames(film) if others else []
    chosen, told = first, []
    if frames:
        chosen, line = choose(candidates, {c.name: _judgements(frames, film, c) for c in candidates})
        told.append(line)
    if recording.energy_kev is None and chosen.familiarity is not None:
        learnt = " or ".join(f"{energy:g}" for energy in sorted(chosen.familiarity.energies_kev))
        told.append(f"no voltage is in the file; counts are wrong unless it is {learnt} kV")
    for line in told:
        tell(line)
    return replace(film, lines=(*film.lines, *told)), chosen


def predict_chosen(
    candidates: Sequence[Candidate],
    recording: Recording,
    options: PredictionOptions,
    thickness: Callable[[Film, Crystal], Thickness] | None = None,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """All frames of a recording in memory, as ``predict.predict_recording`` gives them, by the network that knows such
    frames best.

    Parameters
    ----------
    thickness : of a film's crystal, where a fit has found it.

    Raises
    ------
    MicrographError
        No frame can be used, or the crystal's lattice is not found.
    """
    film, chosen = inspect_and_choose(recording, candidates, options)
    return predict_inspected(chosen.network, chosen.card, film, options, chosen.familiarity, chosen.name, thickness)


def _some_frames(film: Film) -> list[Ready]:
    """Frames spread over the film; if all of these are lost, the first that is not; none if there is none."""
    count = film.recording.count

    def usable(numbers: Iterable[int]) -> Iterable[Ready]:
        return (item for item in prepared_frames(film, numbers) if isinstance(item, Ready))

    spread = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).astype(int))
    return list(usable(spread.tolist())) or list(islice(usable(range(count)), 1))


def _judgements(frames: Sequence[Ready], film: Film, candidate: Candidate) -> list[Judgement]:
    """What a network's familiarity says of each frame."""
    card, found = candidate.card, []
    for frame in frames:  # one by one: memory does not depend on how many there are
        (answer,) = predict_images(candidate.network, card, frame.prepared.image[None])
        found.append(judge_frame(frame.prepared, answer, film, card, candidate.familiarity)[0])
    return found


def choose(candidates: Sequence[Candidate], judged: dict[str, Sequence[Judgement]]) -> tuple[Candidate, str]:
    """The first candidate where the frames are like those it has learnt: it has learnt less, and that better. Else the
    candidate whose learnt frames are nearest; where none is nearer, the first. And a line that says so.

    Parameters
    ----------
    judged : by name, the judgements of the same frames, at least one.
    """
    typical = {name: _middle(frames) for name, frames in judged.items()}
    first = candidates[0]
    if typical[first.name].level == LEVELS[0]:
        return first, f"network: {first.name}, since it has learnt such frames ({_in_words(typical[first.name])})"
    chosen = min(candidates, key=lambda candidate: _rank(typical[candidate.name]))
    others = [f"{c.name}: {_in_words(typical[c.name])}" for c in candidates if c is not chosen]
    nearer = "the film is nearer to what it has learnt"
    if all(_rank(typical[c.name]) == _rank(typical[chosen.name]) for c in candidates):
        nearer = "no other is nearer to the film"
    return chosen, f"network: {chosen.name}, since {nearer} ({'; '.join([_in_words(typical[chosen.name]), *others])})"


def _middle(frames: Sequence[Judgement]) -> Judgement:
    """The lower middle one by rank."""
    return sorted(frames, key=_rank)[(len(frames) - 1) // 2]


def _rank(judged: Judgement) -> tuple[bool, float]:
    """Smaller is nearer."""
    return judged.level == LEVELS[-1], math.inf if math.isnan(judged.distance) else judged.distance


def _in_words(judged: Judgement) -> str:
    """How far a frame is from what a network has learnt."""
    if judged.level == LEVELS[-1] and not judged.distance > 1 and judged.reasons:
        return judged.reasons[0]
    return f"{judged.distance:.2g} of its limit"
