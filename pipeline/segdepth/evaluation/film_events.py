"""Events that were found in a film, held against those that truly happened.

An event is a change of a column's number of atoms: ``row`` (of the true columns, -1 where there is none), ``time_s``
(start of the first frame with the new number), ``before``, ``after``. A found event is a true one if both are of one
column and direction and no further apart than a tolerance: ``TOLERANCE_FRAMES`` frames. Each is matched once, as many
pairs as can be, of those the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from segdepth.config import ALL
from segdepth.evaluation.metrics import bootstrap_weights, percentile_interval, ratio

NEAR_PM = 60.0
"""A followed column no further from a true one of its element is that one."""

TOLERANCE_FRAMES = 5
"""An average of nine frames can do no better than half of its own length, four and a half frames."""

SHIFTS = (0.25, 0.41, 0.59)
"""Shares of a film's length by which found events are moved to see how many match by chance."""

DWELLS = (1, 3, 6, 11, 21)
"""First number of frames of each class of how long a column keeps its atoms before and after an event."""

SEEN_SHARE = 0.5
"""Share of a method's events that are true, and of changes found beyond chance, from which on changes are seen."""

BOOTSTRAPS = 1000

ERROR_Z = 1.645
"""Two occupancies are told apart where the best choice is wrong in 5 % of cases: at d' = 2 · 1.645."""

CHANGING = "changing_"
"""Before an element: name of the tracks' attribute that says how many of its columns truly change."""


def matched_rows(
    places: np.ndarray, elements: Sequence[str], true_places: np.ndarray, true_elements: Sequence[str]
) -> np.ndarray:
    """Row of the true column of each followed one, -1 where there is none near.

    Parameters
    ----------
    places, true_places : (column, 2) in pm.
    """
    found = np.full(len(places), -1)
    for element in set(elements):
        mine = np.flatnonzero(np.array(elements) == element)
        true = np.flatnonzero(np.array(true_elements) == element)
        if len(true):
            distance, which = cKDTree(true_places[true]).query(places[mine])
            near = distance < NEAR_PM
            found[mine[near]] = true[which[near]]
    return found


def true_events(atoms: np.ndarray, frame_s: float) -> pd.DataFrame:
    """Events of true occupancies (column, frame), with ``dwell_frames``: for how many frames at least the column keeps
    its number before and after."""
    rows = []
    for row, held in enumerate(atoms):
        frames = np.flatnonzero(np.diff(held)) + 1
        edges = np.r_[0, frames, len(held)]
        for place, frame in enumerate(frames):
            dwell = min(frame - edges[place], edges[place + 2] - frame)
            rows.append((row, frame * frame_s, int(held[frame - 1]), int(held[frame]), int(dwell)))
    return pd.DataFrame(rows, columns=["row", "time_s", "before", "after", "dwell_frames"])


def match_events(found: pd.DataFrame, true: pd.DataFrame, tolerance_s: float) -> np.ndarray:
    """Row of ``true`` that each found event is, -1 where it is none: as many pairs as can be, of those the nearest."""
    matched = np.full(len(found), -1)
    which = {row: np.flatnonzero(true["row"] == row) for row in set(true["row"])}
    times, direction = true["time_s"].to_numpy(float), np.sign(true["after"] - true["before"]).to_numpy()
    sign = np.sign(found["after"] - found["before"]).to_numpy()
    for row, mine in found.groupby("row", sort=False).indices.items():
        events = which.get(row)
        if events is None:
            continue
        apart = np.abs(found["time_s"].to_numpy(float)[mine][:, None] - times[events])
        can = (apart <= tolerance_s + 1e-9) & (sign[mine][:, None] == direction[events])
        one, other = linear_sum_assignment(np.where(can, apart, 1e6))
        kept = can[one, other]
        matched[mine[one[kept]]] = events[other[kept]]
    return matched


def event_scores(
    found: pd.DataFrame, true: pd.DataFrame, elements: np.ndarray, tolerance_s: float, seed: int = 0
) -> list[dict[str, Any]]:
    """Precision, recall and timing by element, with 95 % intervals by bootstrap over columns.

    Parameters
    ----------
    found : events with ``row`` and ``element``. true : of ``true_events``. elements : of the true columns.
    tolerance_s : of ``match_events``.

    Returns
    -------
    Rows with ``element``, ``found``, ``true``, ``matched`` (numbers), ``precision``, ``recall``, ``f1``, their
    ``…_low`` and ``…_high``, ``timing_s`` (median distance in time of matched pairs) and ``timing_rms_s``.
    """
    matched = match_events(found, true, tolerance_s)
    apart = np.abs(found["time_s"].to_numpy(float) - true["time_s"].to_numpy(float)[matched])[matched >= 0]
    of_true = elements[true["row"].to_numpy(int)] if len(true) else np.zeros(0, object)
    rows = []
    for element in (ALL, *dict.fromkeys(elements)):
        mine = np.ones(len(found), bool) if element == ALL else (found["element"] == element).to_numpy()
        theirs = np.ones(len(true), bool) if element == ALL else of_true == element
        hit = mine & (matched >= 0)
        row: dict[str, Any] = {"element": element, "found": int(mine.sum()), "true": int(theirs.sum())}
        row |= {"matched": int(hit.sum())} | _ratios(hit.sum(), mine.sum(), theirs.sum())
        row |= _intervals(found["row"].to_numpy()[mine], hit[mine], true["row"].to_numpy()[theirs], seed)
        gaps = apart[hit[matched >= 0]]
        row["timing_s"] = float(np.median(gaps)) if len(gaps) else None
        row["timing_rms_s"] = float(np.sqrt(np.mean(gaps**2))) if len(gaps) else None
        rows.append(row)
    return rows


def chance_scores(
    found: pd.DataFrame, true: pd.DataFrame, elements: np.ndarray, tolerance_s: float, length_s: float
) -> list[dict[str, float | None]]:
    """``precision_by_chance`` and ``recall_by_chance``, in the order of ``event_scores``: of the same events moved
    in time, round the film's end, within their columns; means over ``SHIFTS``. What is found and what is true then have
    nothing in common but how many there are of each column.

    Parameters
    ----------
    length_s : of the film.
    """
    scores = [event_scores(one, true, elements, tolerance_s) for one in _moved(found, length_s)]
    return [
        {
            f"{name}_by_chance": None if rows[0][name] is None else float(np.mean([row[name] for row in rows]))
            for name in ("precision", "recall")
        }
        for rows in zip(*scores)
    ]


def _moved(found: pd.DataFrame, length_s: float) -> list[pd.DataFrame]:
    """The events at other times, for each of ``SHIFTS``."""
    return [found.assign(time_s=(found["time_s"] + share * length_s) % length_s) for share in SHIFTS]


def _ratios(matched: float, found: float, true: float) -> dict[str, float | None]:
    return {
        "precision": ratio(matched, found),
        "recall": ratio(matched, true),
        "f1": ratio(2 * matched, found + true),
    }


def _intervals(found: np.ndarray, hit: np.ndarray, true: np.ndarray, seed: int) -> dict[str, float | None]:
    """Columns are drawn with replacement; followed ones without a true column count as one."""
    columns, place = np.unique(np.r_[found, true], return_inverse=True)
    empty = {f"{name}_{end}": None for name in ("precision", "recall", "f1") for end in ("low", "high")}
    if len(columns) < 2:
        return empty
    mine, theirs = place[: len(found)], place[len(found) :]
    sums = [np.bincount(mine, hit, len(columns)), np.bincount(mine, minlength=len(columns))]
    sums.append(np.bincount(theirs, minlength=len(columns)))
    weights = bootstrap_weights(len(columns), np.random.default_rng(seed), BOOTSTRAPS)
    matched, listed, happened = (weights @ each for each in sums)
    for name, over, under in (
        ("precision", matched, listed),
        ("recall", matched, happened),
        ("f1", 2 * matched, listed + happened),
    ):
        kept = under > 0
        if kept.any():
            empty[f"{name}_low"], empty[f"{name}_high"] = percentile_interval(over[kept] / under[kept])
    return empty


def recall_by_dwell(
    found: pd.DataFrame, true: pd.DataFrame, elements: np.ndarray, tolerance_s: float, length_s: float
) -> list[dict[str, Any]]:
    """Recall of events by element and by how many frames the column keeps its atoms: ``element``, ``frames_from``,
    ``frames_to``, ``true``, ``matched``, ``recall``, and ``recall_by_chance`` as in ``chance_scores``."""
    seen = _seen(found, true, tolerance_s)
    by_chance = np.mean([_seen(one, true, tolerance_s) for one in _moved(found, length_s)], axis=0)
    dwell = true["dwell_frames"].to_numpy(int)
    of_true = elements[true["row"].to_numpy(int)] if len(true) else np.zeros(0, object)
    rows = []
    for element in dict.fromkeys(elements):
        for first, behind in zip(DWELLS, (*DWELLS[1:], None)):
            mine = (of_true == element) & (dwell >= first) & (dwell < (behind or np.inf))
            rows.append(
                {
                    "element": element,
                    "frames_from": first,
                    "frames_to": None if behind is None else behind - 1,
                    "true": int(mine.sum()),
                    "matched": int(seen[mine].sum()),
                    "recall": ratio(seen[mine].sum(), mine.sum()),
                    "recall_by_chance": ratio(by_chance[mine].sum(), mine.sum()),
                }
            )
    return rows


def _seen(found: pd.DataFrame, true: pd.DataFrame, tolerance_s: float) -> np.ndarray:
    """Which of the true events are found, (event,)."""
    matched = match_events(found, true, tolerance_s)
    seen = np.zeros(len(true), bool)
    seen[matched[matched >= 0]] = True
    return seen


def frames_needed(d_prime: np.ndarray, dose_lambda: float) -> np.ndarray:
    """Frames whose average tells an atom more or less with 5 % error, all else known: (2 · 1.645 / d')², where
    ``d_prime`` is that of one frame at λ = 1 and grows with the root of the dose. A bound for any method."""
    return (2 * ERROR_Z / np.asarray(d_prime)) ** 2 / dose_lambda


def fewest_frames_seen(scores: Sequence[Mapping], dwell: Sequence[Mapping]) -> tuple[int, str] | tuple[None, None]:
    """How long a column must keep its atoms for its change to be seen, and the method that sees it best.

    A change is seen by a method if at least half of the method's events are true (``precision``), and if it finds at
    least half of the changes of that duration that chance would not have found: (recall - chance) / (1 - chance).

    Parameters
    ----------
    scores, dwell : rows of ``event_scores`` and ``recall_by_dwell`` of one element at one dose, each with ``method``.

    Returns
    -------
    ``frames_from`` of the shortest durations that are seen, and of the methods that see them the one that finds most;
    None, None if none are.
    """
    precise = {row["method"] for row in scores if (row["precision"] or 0) >= SEEN_SHARE}  # None: no events
    found = []
    for row in dwell:
        chance = row["recall_by_chance"]
        if row["method"] in precise and row["true"] and chance < 1:
            beyond = (row["recall"] - chance) / (1 - chance)
            if beyond >= SEEN_SHARE:
                found.append((row["frames_from"], -beyond, row["method"]))
    return (min(found)[0], min(found)[2]) if found else (None, None)
