"""When columns gain and lose atoms: a hidden Markov model over each column's probability vectors.

A network's probabilities p(n | frame) are those of an observer who expects counts from what it sees around the column,
often with much confidence. The model needs the likelihood of the frame, p(n | frame) divided by what was expected. The
column's own mean over the film estimates that, but for a small share of all counts alike. It counts once, before the
first frame; after that each frame counts by how it differs from the mean: 0.1 where 0.02 is usual speaks for a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.micrograph.tracks.follow import grouped
from segdepth.micrograph.tracks.hidden_markov import Smoothed, fit_rates, most_probable_path, smoothed

FLOOR = 1e-3
"""Least probability that is believed of a frame: no single frame can rule a count out."""

ALIKE = 0.1
"""Share of all counts alike in what is expected of a column."""

LEAST_SHARE = 0.1
"""Of the most probable moment of an event: less probable ones do not count for its time."""

FALSE_DISCOVERY = 0.05
"""Share of false events among those listed that is aimed at."""

EVENTS = {
    **{"column": "str", "element": "str", "place": "str", "time_s": float, "time_error_s": float, "before": int},
    **{"after": int, "probability": float, "llr": float, "q_value": float, "listed": bool},
}


@dataclass(frozen=True)
class FilmEvents:
    """What a film says of its columns over time.

    events : ``EVENTS``, one row a change of the most probable path. ``time_s`` is its expectation, ``time_error_s`` its
    standard deviation; ``probability`` that the column holds more (or fewer) atoms behind it than before, in the surest
    frame of either side; ``llr`` the natural logarithm of how much better the counts of the path explain the frames
    around it than the best single one; ``q_value`` the share of false events expected among this and all surer ones;
    ``listed`` where that is no more than aimed at. rates : ``element``, ``place``, ``columns``, ``gain_per_s``,
    ``loss_per_s``, means over the columns. posterior : (column, frame, class) and path : (column, frame) of the tracks.

    Probabilities are as honest as the network's own: what misleads it in many frames alike misleads the model.
    """

    events: pd.DataFrame
    rates: pd.DataFrame
    posterior: np.ndarray
    path: np.ndarray


def column_events(tracks: xr.Dataset, false_discovery: float = FALSE_DISCOVERY) -> FilmEvents:
    """Events of a film's tracks, all columns of an element and place with rates of their own.

    Parameters
    ----------
    tracks : of ``follow_columns``.
    """
    probability, frame_s = tracks["probability"].values, float(tracks.attrs["frame_s"])
    posterior = np.full(probability.shape, np.nan, np.float32)
    path = np.zeros(probability.shape[:2], int)
    rows, rates = [], []
    for (element, place), members in grouped(tracks).items():
        seen = log_likelihoods(probability[members])
        fitted = fit_rates(seen)
        found, best = smoothed(seen, fitted), most_probable_path(seen, fitted)
        posterior[members], path[members] = found.posterior, best
        rates.append((element, place, len(members), fitted.up.mean() / frame_s, fitted.down.mean() / frame_s))
        for mine, column in enumerate(members):
            changes = path_changes(best[mine])
            for one in _weighed(changes, best[mine], found, mine, seen[mine], frame_s):
                rows.append((str(tracks["column"].values[column]), element, place, *one))
    names = [name for name in EVENTS if name not in ("q_value", "listed")]
    table = pd.DataFrame(rows, columns=names)
    table["q_value"] = q_values(table["probability"].to_numpy(float))
    table["listed"] = table["q_value"] <= false_discovery
    table["time_s"] += float(tracks["time_s"].values[0])
    columns = ["element", "place", "columns", "gain_per_s", "loss_per_s"]
    ordered = table.astype(EVENTS).sort_values(["time_s", "column"], ignore_index=True)
    return FilmEvents(ordered, pd.DataFrame(rates, columns=columns), posterior, path)


def log_likelihoods(probability: np.ndarray) -> np.ndarray:
    """Natural logarithm of each frame's likelihood, up to a constant, from probabilities (column, frame, class); 0 for
    all counts where they are NaN. The first frame's has what is expected of the column."""
    classes = probability.shape[-1]
    known = np.isfinite(probability[..., :1])
    believed = np.where(known, np.maximum(np.nan_to_num(probability), FLOOR), 0.0)
    mean = believed.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    expected = np.log((1 - ALIKE) * mean + ALIKE / classes)
    seen = np.where(known, np.log(np.maximum(believed, FLOOR)) - expected[:, None], 0.0)
    seen[:, 0] += expected
    return seen


def path_changes(path: np.ndarray) -> list[tuple[int, int]]:
    """First frame after each change of a path, and first frame after its last step: a change of several atoms in
    frames that follow each other, all in one direction, is one."""
    steps = np.diff(path)
    changes: list[tuple[int, int]] = []
    for frame in np.flatnonzero(steps) + 1:
        if changes and changes[-1][1] == frame - 1 and np.sign(steps[frame - 2]) == np.sign(steps[frame - 1]):
            changes[-1] = changes[-1][0], int(frame)
        else:
            changes.append((int(frame), int(frame)))
    return changes


def _weighed(
    changes: Sequence[tuple[int, int]], path: np.ndarray, found: Smoothed, column: int, seen: np.ndarray, frame_s: float
) -> list[tuple[float, float, int, int, float, float]]:
    """Time, its error, counts before and after, probability and log-likelihood ratio of each change of one column.

    Parameters
    ----------
    seen : log-likelihoods (frame, class).
    """
    posterior = found.posterior[column]
    gains, losses = found.gains[column].sum(axis=-1), found.losses[column].sum(axis=-1)
    sure = posterior[np.arange(len(path)), path]
    begins, ends = [0, *(last for _, last in changes)], [*(first for first, _ in changes), len(path)]
    rows = []
    for number, (first, last) in enumerate(changes):
        begin, end = begins[number], ends[number + 1]  # frames begin ... end - 1 hold this change and no other
        before, after = int(path[first - 1]), int(path[last])
        share = (gains if after > before else losses)[begin : end - 1]
        share = np.where(share >= LEAST_SHARE * share.max(), share, 0)
        times = frame_s * np.arange(begin + 1, end)
        total = max(float(share.sum()), 1e-12)
        mean = float(share @ times) / total
        error = np.sqrt(max(float(share @ (times - mean) ** 2) / total, 0.0))
        one, other = posterior[begin + sure[begin:first].argmax()], posterior[last + sure[last:end].argmax()]
        if after < before:
            one, other = other, one
        probability = float(one @ (other.sum() - np.cumsum(other)))  # the second is the larger
        part = seen[begin:end]
        gain = float(np.take_along_axis(part, path[begin:end, None], 1).sum() - part.sum(axis=0).max())
        rows.append((mean, float(error), before, after, min(probability, 1.0), gain))
    return rows


def q_values(probability: np.ndarray) -> np.ndarray:
    """Mean of 1 - p over each event and all surer ones: the share of false events that is expected if these are
    believed (Sun & Cai, J. Am. Stat. Assoc. 102 (2007) 901)."""
    q = np.ones(len(probability))
    order = np.argsort(-probability, kind="stable")
    q[order] = np.cumsum(1 - probability[order]) / np.arange(1, len(probability) + 1)
    return q


def changes_of(probability: np.ndarray, block: int, frame_s: float) -> pd.DataFrame:
    """Changes of the most probable count from one frame, or average of ``block`` frames, to the next.

    Parameters
    ----------
    probability : (column, block, class), NaN where nothing is known: such a frame changes nothing.

    Returns
    -------
    ``row`` (of the columns), ``time_s`` (start of the frame, or of the first of the average), ``before``, ``after``.
    """
    rows = []
    for row, of_column in enumerate(probability):
        known = np.flatnonzero(np.isfinite(of_column[:, 0]))
        depth = of_column[known].argmax(axis=1)
        for place in np.flatnonzero(np.diff(depth)) + 1:
            rows.append((row, known[place] * block * frame_s, int(depth[place - 1]), int(depth[place])))
    return pd.DataFrame(rows, columns=["row", "time_s", "before", "after"])
