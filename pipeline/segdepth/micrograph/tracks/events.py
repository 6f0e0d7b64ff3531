"""When columns gain and lose atoms: a hidden Markov model over each column's probability vectors.

A network's probabilities p(n | frame) are those of an observer who expects counts from what it sees around the column,
often with much confidence. The model needs the likelihood of the frame, p(n | frame) divided by what was expected. The
column's own mean over the film estimates that, but for a small share of all counts alike. It counts once, before the
first frame; after that each frame counts by how it differs from the mean: 0.1 where 0.02 is usual speaks for a count.

What a network says of a column that never changes scatters more than it believes itself, and the model finds events in
that. How many is measured on the film: the frames of each column are put into random order, which leaves all but the
order as it is, and events are sought with the same rates. The share of false events among those as sure as one is
estimated as the number of such events in shuffled frames over that in the film (decoys: Elias & Gygi, Nat. Methods 4
(2007) 207). A column that truly changes yields some when it is shuffled: columns with listed events do not count there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.micrograph.tracks.follow import grouped
from segdepth.micrograph.tracks.hidden_markov import (
    PRIOR_FRAMES,
    Rates,
    Smoothed,
    fit_rates,
    most_probable_path,
    smoothed,
)

FLOOR = 1e-3
"""Least probability that is believed of a frame: no single frame can rule a count out."""

ALIKE = 0.1
"""Share of all counts alike in what is expected of a column."""

LEAST_SHARE = 0.1
"""Of the most probable moment of an event: less probable ones do not count for its time."""

FALSE_DISCOVERY = 0.05
"""Share of false events among those listed that is aimed at."""

LEAST_LEFT = 0.2
"""Share of the columns that must be left to say how many events are false."""

SHUFFLES, SEED = 25, 0
"""Random orders of the frames of each column, and their seed. So many that one event alone can be listed at 0.05."""

EVENTS = {
    **{"column": "str", "element": "str", "place": "str", "time_s": float, "time_error_s": float, "before": int},
    **{"after": int, "probability": float, "llr": float, "q_value": float, "listed": bool},
}


@dataclass(frozen=True)
class FilmEvents:
    """What a film says of its columns over time.

    events : ``EVENTS``, one row a change of the most probable path. ``time_s`` is its expectation, ``time_error_s`` its
    standard deviation; ``probability`` that the column holds more (or fewer) atoms behind it than before, in the surest
    frame of either side, if the network's probabilities are believed; ``llr`` the natural logarithm of how much better
    the counts of the path explain the frames around it than the best single one; ``q_value`` the share of false events
    expected among this and all of its element with a larger ``llr``; ``listed`` where that is no more than aimed at.
    rates : ``element``, ``place``, ``columns``, ``gain_per_s``, ``loss_per_s``, means over the columns; no loss where
    there is hardly an atom to lose. posterior : (column, frame, class) and path : (column, frame) of the tracks.

    What misleads the network over many frames alike, as a drift does that moves a column through its pixels, looks like
    events and is not among what shuffled frames show.
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
    rng = np.random.default_rng(SEED)
    rows, rates, shuffled = [], [], []
    for (element, place), members in grouped(tracks).items():
        seen = log_likelihoods(probability[members])
        fitted = fit_rates(seen)
        posterior[members], path[members], events = _events_of(seen, fitted, frame_s)
        rates.append((element, place, len(members), *_mean_rates(fitted, posterior[members], frame_s)))
        rows += [(members[row], element, place, *rest) for row, *rest in events]
        for _ in range(SHUFFLES):
            order = rng.permuted(np.tile(np.arange(probability.shape[1]), (len(members), 1)), axis=1)
            mixed = np.take_along_axis(probability[members], order[..., None], axis=1)
            *_, events = _events_of(log_likelihoods(mixed), fitted, frame_s)
            shuffled += [(element, members[row], llr) for row, *_, llr in events]
    names = [name for name in EVENTS if name not in ("q_value", "listed")]
    table, decoys = pd.DataFrame(rows, columns=names), pd.DataFrame(shuffled, columns=["element", "column", "llr"])
    table["q_value"] = 1.0
    for element, mine in table.groupby("element").groups.items():
        columns = np.count_nonzero(tracks["element"].values == element)
        found = table.loc[mine, ["column", "llr"]]
        table.loc[mine, "q_value"] = _rated(found, decoys[decoys["element"] == element], columns, false_discovery)
    table["column"] = [str(tracks["column"].values[row]) for row in table["column"]]
    table["listed"] = table["q_value"] <= false_discovery
    table["time_s"] += float(tracks["time_s"].values[0])
    columns = ["element", "place", "columns", "gain_per_s", "loss_per_s"]
    ordered = table.astype(EVENTS).sort_values(["time_s", "column"], ignore_index=True)
    return FilmEvents(ordered, pd.DataFrame(rates, columns=columns), posterior, path)


def _mean_rates(rates: Rates, posterior: np.ndarray, frame_s: float) -> tuple[float, float]:
    """Gain and loss per second; NaN where columns hold atoms in fewer frames than their kind's rates count for."""
    held = float((1 - posterior[..., 0]).sum())
    return rates.up.mean() / frame_s, rates.down.mean() / frame_s if held >= PRIOR_FRAMES else np.nan


def _events_of(
    seen: np.ndarray, rates: Rates, frame_s: float
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, float, float, int, int, float, float]]]:
    """Posterior, most probable path, and of each change its column's row and what ``_weighed`` says."""
    found, best = smoothed(seen, rates), most_probable_path(seen, rates)
    rows = []
    for row in range(len(seen)):
        for one in _weighed(path_changes(best[row]), best[row], found, row, seen[row], frame_s):
            rows.append((row, *one))
    return found.posterior, best, rows


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


def _rated(found: pd.DataFrame, decoys: pd.DataFrame, columns: int, false_discovery: float) -> np.ndarray:
    """q-values of the events of one element. Columns with listed events are taken out, once, of those that say how many
    false ones there are, and the rest stands for all."""
    score, owner = found["llr"].to_numpy(float), found["column"].to_numpy()
    q = q_values(score, decoys["llr"].to_numpy(float), SHUFFLES)
    proved = set(owner[q <= false_discovery])
    left = columns - len(proved)
    if not proved or left < LEAST_LEFT * columns:
        return q
    kept = decoys.loc[~decoys["column"].isin(proved), "llr"].to_numpy(float)
    return q_values(score, kept, SHUFFLES, columns / left)


def q_values(score: np.ndarray, decoys: np.ndarray, times: float, each: float = 1.0) -> np.ndarray:
    """Share of false events expected among each and all with a larger score, at most 1.

    Parameters
    ----------
    decoys : scores of false events. times : of so many films. each : how many a decoy stands for.

    One decoy more counts than there are: that none has a larger score does not say that none could (Phipson & Smyth,
    Stat. Appl. Genet. Mol. Biol. 9 (2010) 39).
    """
    order = np.argsort(-score, kind="stable")
    above = len(decoys) - np.searchsorted(np.sort(decoys), score[order], side="left")
    false = (each * above + 1) / times
    share = np.minimum(false / np.arange(1, len(score) + 1), 1.0)
    q = np.ones(len(score))
    q[order] = np.minimum.accumulate(share[::-1])[::-1]
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
