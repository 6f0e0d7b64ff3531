"""What probabilities of depth classes say of a column: its depth, the confidence, and the set of depths it may have.

Classes are 0 … n atoms. With ``more`` (``segdepth.config.Labels``) the last one is for more than n atoms: it counts as
n + 1, and means "at least n + 1".
"""

from __future__ import annotations

import numpy as np

COVERAGE = 0.9
"""Probability of the depths of a credible set."""

MOST_CERTAIN = 0.999
"""Largest confidence in "more than n atoms": a network cannot be surer of counts that it has no classes for."""


def credible_depths(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last class of the 90 % set: the fewest consecutive depths around the most probable one that hold
    ``COVERAGE`` of the probability (column, class), and of as few the most probable."""
    classes = pooled.shape[1]
    low, high = np.triu_indices(classes)
    summed = np.concatenate([np.zeros((len(pooled), 1)), np.cumsum(pooled, axis=1)], axis=1)
    held = summed[:, high + 1] - summed[:, low]
    best = pooled.argmax(axis=1)[:, None]
    allowed = (held >= COVERAGE * summed[:, -1:] - 1e-9) & (low <= best) & (best <= high)
    chosen = np.where(allowed, high - low - 0.5 * held, np.inf).argmin(axis=1)
    return low[chosen], high[chosen]


def confidence_of(depth: np.ndarray, largest: np.ndarray, classes: int, more: bool) -> np.ndarray:
    """The largest probability as confidence in the depth it belongs to, at most ``MOST_CERTAIN`` for the class of more.

    ``depth`` and ``largest``, the most probable class and its probability, have one shape, of columns or of pixels.
    """
    if not more:
        return largest
    return np.where(depth == classes - 1, np.minimum(largest, largest.dtype.type(MOST_CERTAIN)), largest)


def may_be_more(depth: np.ndarray, depth_high: np.ndarray, classes: int, more: bool) -> np.ndarray:
    """Whether a column may have more atoms than there are classes for: with ``more`` if its 90 % set reaches that
    class, else if the last class is the most probable one."""
    return (depth_high if more else depth) == classes - 1


def name_of_last(classes: int, more: bool) -> str:
    """How the last class is written: ``> 30``, or ``≥ 10`` where it is a count, at which thicker columns end up too."""
    return f"> {classes - 2}" if more else f"≥ {classes - 1}"
