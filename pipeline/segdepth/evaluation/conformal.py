"""Sets of counts that hold the true one as often as promised: split conformal prediction, per element.

The score of a column is 1 - p(true count), with p the network's probability of that column. With n calibration columns
of an element and a promise of 1 - α, the threshold q is their score of rank ⌈(n + 1)(1 - α)⌉ (Vovk, Gammerman & Shafer,
Algorithmic Learning in a Random World, 2005; the score of Sadinle, Lei & Wasserman, J. Am. Stat. Assoc. 114 (2019) 223,
whose sets are the smallest on average). A set holds the counts with 1 - p ≤ q, and the most probable one.

Whatever the network does, the set of a column that is exchangeable with the calibration's holds the truth with at least
1 - α, on the average over columns; not for each count or each structure by itself, nor after a shift of the physics.
Columns of one structure are more alike than those of two, so that the promise's own scatter is that of the number of
structures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segdepth.config import ALL
from segdepth.evaluation.metrics import bootstrap_intervals, ratio


def true_scores(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    """1 - p(true) of columns (column, class)."""
    return 1 - probabilities[np.arange(len(true)), true]


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The score of rank ⌈(n + 1) coverage⌉; 1, which every count passes, where there are too few scores for it."""
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])


def thresholds(probabilities: np.ndarray, true: np.ndarray, element: np.ndarray, coverage: float) -> dict[str, float]:
    """Of each element that columns have."""
    scores = true_scores(probabilities, true)
    return {str(one): threshold(scores[element == one], coverage) for one in dict.fromkeys(element)}


def sets(probabilities: np.ndarray, element: np.ndarray, limits: Mapping[str, float]) -> np.ndarray:
    """Which counts each column's set holds, bool (column, class)."""
    most = np.array([limits.get(str(one), 1.0) for one in element])
    held = 1 - probabilities <= most[:, None] + 1e-12
    held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
    return held


def coverage_rows(
    held: np.ndarray, true: np.ndarray, element: np.ndarray, structure: np.ndarray, seed: int = 0
) -> list[dict[str, Any]]:
    """``element`` (all and each), ``columns``, ``coverage`` with the 95 % interval ``low``, ``high`` by bootstrap over
    structures, ``size`` (mean number of counts in a set), ``single`` (share of sets of one count)."""
    hit, size = held[np.arange(len(true)), true], held.sum(axis=1)
    places, which = np.unique(structure, return_inverse=True)
    rows, parts = [], {}
    for one in (ALL, *dict.fromkeys(element)):
        mine = np.ones(len(true), bool) if one == ALL else element == one
        counted = np.bincount(which[mine], minlength=len(places)).astype(float)
        parts[one] = np.bincount(which[mine], hit[mine], len(places)), counted
        rows.append(
            {
                "element": str(one),
                "columns": int(mine.sum()),
                "coverage": ratio(hit[mine].sum(), mine.sum()),
                "size": ratio(size[mine].sum(), mine.sum()),
                "single": ratio((size[mine] == 1).sum(), mine.sum()),
            }
        )
    intervals = bootstrap_intervals(parts, np.random.default_rng(seed))
    for row in rows:
        row["low"], row["high"] = intervals[row["element"]] or (None, None)
    return rows


def split_structures(structures: Sequence[int]) -> tuple[list[int], list[int]]:
    """Every other structure for the calibration, beginning with the first, and the rest."""
    ordered = sorted(structures)
    return ordered[::2], ordered[1::2]


def spread(count: int, of: int) -> np.ndarray:
    """``count`` places spread evenly over ``of``, all where there are no more."""
    return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int))
