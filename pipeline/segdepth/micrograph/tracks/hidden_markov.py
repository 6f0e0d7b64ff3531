"""A hidden Markov model of how many atoms a column holds: it gains or loses one at a time.

The state is the number of atoms, 0 … K - 1. From one frame to the next a column gains an atom with probability u; if
not, it loses one with probability d. So at 0 < s < K - 1

    A(s → s + 1) = u,    A(s → s - 1) = (1 - u) d,    A(s → s) = (1 - u)(1 - d),

at 0 it stays with 1 - u, at K - 1 with 1 - d. Each column has rates of its own, which are learnt with those of its kind
by expectation and maximisation (Baum & Petrie, Ann. Math. Stat. 37 (1966) 1554; Rabiner, Proc. IEEE 77 (1989) 257): the
rates of all columns of a kind give the mean of a beta distribution, from which each column's own come. It counts as
much as ``PRIOR_FRAMES`` frames, so that a column that changes often is told from its neighbours that do not.

Arrays are (column, frame, state). A frame's likelihoods need only be right up to a factor; a frame in which nothing is
known has the same for all states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR_FRAMES = 25.0
"""Frames that the rates of a column's kind count for beside its own."""

LEAST_EVENTS = 0.5
"""Added to the events of each kind, in as many frames as a column's kind counts for: rates stay above 0."""

START = 0.03
"""Rate that the fit begins with. It begins high: where no change is expected, none is seen."""

ROUNDS, SETTLED = 60, 1e-3
"""Most rounds of the fit, and the largest relative change of a kind's rates with which it ends."""


@dataclass(frozen=True)
class Rates:
    """Probabilities a frame to gain (``up``) and to lose (``down``) an atom, each (column,)."""

    up: np.ndarray
    down: np.ndarray

    @classmethod
    def even(cls, value: float, columns: int) -> Rates:
        return cls(np.full(columns, value), np.full(columns, value))


@dataclass(frozen=True)
class Smoothed:
    """What all frames together say.

    posterior : (column, frame, state). gains, losses : (column, frame - 1, state - 1), probability that an atom was
    gained from state s, or lost towards it, from one frame to the next. log_evidence : (column,), natural logarithm of
    the probability of what was seen.
    """

    posterior: np.ndarray
    gains: np.ndarray
    losses: np.ndarray
    log_evidence: np.ndarray


def transition_matrices(rates: Rates, states: int) -> np.ndarray:
    """A[column, from, to]; rows sum to 1."""
    up, down = (np.repeat(each[:, None], states, axis=1) for each in (rates.up, rates.down))
    up[:, -1] = down[:, 0] = 0
    lost, here = (1 - up) * down, np.arange(states)
    matrix = np.zeros((len(up), states, states))
    matrix[:, here, here] = (1 - up) * (1 - down)
    matrix[:, here[:-1], here[1:]] = up[:, :-1]
    matrix[:, here[1:], here[:-1]] = lost[:, 1:]
    return matrix


def smoothed(log_likelihood: np.ndarray, rates: Rates) -> Smoothed:
    """Forward and backward, each frame's message scaled to a sum of 1. What is known before the first frame is part of
    its likelihood."""
    columns, frames, states = log_likelihood.shape
    matrix = transition_matrices(rates, states)
    back = np.ascontiguousarray(matrix.transpose(0, 2, 1))
    highest = log_likelihood.max(axis=2)
    seen = np.exp(log_likelihood - highest[..., None])
    forward, scale = np.empty_like(seen), np.empty((columns, frames))
    message = np.full((columns, states), 1 / states)
    for t in range(frames):
        message = message * seen[:, t]
        scale[:, t] = message.sum(axis=1)
        message = forward[:, t] = message / scale[:, t, None]
        message = (message[:, None] @ matrix)[:, 0]
    backward = np.ones_like(seen)
    for t in range(frames - 2, -1, -1):
        ahead = seen[:, t + 1] * backward[:, t + 1] / scale[:, t + 1, None]
        backward[:, t] = (ahead[:, None] @ back)[:, 0]
    ahead, low = seen[:, 1:] * backward[:, 1:] / scale[:, 1:, None], np.arange(states - 1)
    gains = forward[:, :-1, :-1] * matrix[:, None, low, low + 1] * ahead[..., 1:]
    losses = forward[:, :-1, 1:] * matrix[:, None, low + 1, low] * ahead[..., :-1]
    return Smoothed(forward * backward, gains, losses, (np.log(scale) + highest).sum(axis=1))


def fit_rates(log_likelihood: np.ndarray, start: float = START) -> Rates:
    """Rates of columns of one kind, learnt together; ``start`` where there is one frame only."""
    rates = Rates.even(start, len(log_likelihood))
    if not len(log_likelihood) or log_likelihood.shape[1] < 2:
        return rates
    kind = np.array([start, start])
    for _ in range(ROUNDS):
        events, chances = counts_of(smoothed(log_likelihood, rates))
        rates = improved(events, chances, kind)
        new = (events.sum(axis=1) + LEAST_EVENTS) / (chances.sum(axis=1) + PRIOR_FRAMES)
        change = np.abs(new / kind - 1).max()
        kind = new
        if change < SETTLED:
            break
    return rates


def counts_of(found: Smoothed) -> tuple[np.ndarray, np.ndarray]:
    """Expected numbers (2, column) of gains and losses, and of frames in which there could be one."""
    before, gained, lost = (each.sum(axis=1) for each in (found.posterior[:, :-1], found.gains, found.losses))
    # an atom is lost only where none was gained; at 0 none can be lost, and at the top none gained
    chances = before[:, :-1].sum(axis=1), before[:, 1:].sum(axis=1) - gained[:, 1:].sum(axis=1)
    return np.stack([gained.sum(axis=1), lost.sum(axis=1)]), np.stack(chances)


def improved(events: np.ndarray, chances: np.ndarray, kind: np.ndarray) -> Rates:
    """Most probable rates of each column given ``counts_of`` and the rates (2,) of its kind: no step of expectation and
    maximisation with the same ``kind`` lowers their posterior density."""
    up, down = (events + PRIOR_FRAMES * kind[:, None]) / (chances + PRIOR_FRAMES)
    return Rates(up, down)


def most_probable_path(log_likelihood: np.ndarray, rates: Rates) -> np.ndarray:
    """The most probable sequence of states, int (column, frame) (Viterbi, IEEE Trans. Inf. Theory 13 (1967) 260)."""
    columns, frames, states = log_likelihood.shape
    with np.errstate(divide="ignore"):
        matrix = np.log(transition_matrices(rates, states))
    score = log_likelihood[:, 0].copy()
    came_from = np.zeros((columns, frames, states), np.int16)
    for t in range(1, frames):
        each = score[:, :, None] + matrix
        came_from[:, t] = each.argmax(axis=1)
        score = each.max(axis=1) + log_likelihood[:, t]
    path = np.empty((columns, frames), int)
    path[:, -1] = score.argmax(axis=1)
    for t in range(frames - 1, 0, -1):
        path[:, t - 1] = came_from[np.arange(columns), t, path[:, t]]
    return path
