"""Poisson likelihood of each column's states, its neighbours as they are; sweeps and samples over all columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdepth.explanation.differences import STATES, STAY

TOTALS = np.array([exit_ + entrance for exit_, entrance in STATES])
"""Atoms more in each state."""

DARKEST = 1e-3
"""Least expected electrons of a pixel, as a share of the vacuum's."""


@dataclass
class Windows:
    """Each column's square of pixels.

    rows, columns : first pixel of each on ``counts``. changes : electrons (column, state, y, x) that each state adds to
    ``expected``, in which every column is in its own state ``now``. counts, expected : electrons (row, column), with a
    border as wide as a window. weight : (row, column), 0 where not valid. least : electrons, ``DARKEST`` of the
    vacuum's. power : of the likelihoods.
    """

    rows: np.ndarray
    columns: np.ndarray
    changes: np.ndarray
    counts: np.ndarray
    expected: np.ndarray
    weight: np.ndarray
    least: float
    now: np.ndarray
    power: float = 1.0

    @classmethod
    def on(
        cls,
        corners: tuple[np.ndarray, np.ndarray],
        changes: np.ndarray,
        counts: np.ndarray,
        expected: np.ndarray,
        valid: np.ndarray,
        electrons: float,
        power: float = 1.0,
    ) -> Windows:
        """Of changes in units of the vacuum; columns at their first state. Corners may lie outside of the frame."""
        border = changes.shape[-1]
        filled = [
            np.pad(np.where(valid, one, electrons), border, constant_values=electrons) for one in (counts, expected)
        ]
        weight = np.pad(valid.astype(np.float32), border)
        places = [np.clip(first + border, 0, size - border) for first, size in zip(corners, filled[0].shape)]
        least = DARKEST * electrons
        now = np.full(len(changes), STAY)
        kinds = (one.astype(np.float32) for one in (filled[0], np.maximum(filled[1], least)))
        return cls(*places, changes * np.float32(electrons), *kinds, weight, least, now, power)

    def at(self, column: int) -> tuple[slice, slice]:
        side = self.changes.shape[-1]
        row, first = int(self.rows[column]), int(self.columns[column])
        return slice(row, row + side), slice(first, first + side)

    def log_likelihoods(self, column: int) -> np.ndarray:
        """Of each state, less that of the present one, times ``power``; -inf for states that cannot be."""
        here, changes = self.at(column), self.changes[column]
        expected, counts, weight = self.expected[here], self.counts[here], self.weight[here]
        more = changes - changes[self.now[column]]
        with np.errstate(invalid="ignore"):
            ratio = np.maximum(expected + more, self.least) / expected
            terms = counts * np.log(ratio) - more
            found = np.einsum("syx,yx->s", terms, weight, dtype=np.float64)
        return np.where(np.isnan(found), -np.inf, self.power * found)

    def put(self, column: int, state: int) -> None:
        """A column in another state."""
        if state != self.now[column]:
            here, changes = self.at(column), self.changes[column]
            more = changes[state] - changes[self.now[column]]
            self.expected[here] = np.maximum(self.expected[here] + more, self.least)
            self.now[column] = state


def conditional(windows: Windows) -> np.ndarray:
    """Log likelihoods (column, state) of each column, all others as they are."""
    return np.stack([windows.log_likelihoods(column) for column in range(len(windows.now))])


def degrees_taken(log_likelihoods: np.ndarray, chances: np.ndarray) -> float:
    """Degrees of freedom that the choice of states takes from χ²: twice by how much the states, in the mean over their
    chances, are less likely than the chosen ones (Spiegelhalter et al., J. R. Stat. Soc. B 64 (2002) 583). A column
    whose state is certain, or of which the picture says nothing, takes none; one known to about an atom takes one.

    Parameters
    ----------
    log_likelihoods, chances : (column, state).
    """
    chosen = np.take_along_axis(log_likelihoods, chances.argmax(axis=1)[:, None], axis=1)
    with np.errstate(invalid="ignore"):
        less = np.where(chances > 0, chances * (chosen - log_likelihoods), 0.0)
    return float(2 * np.maximum(less.sum(axis=1), 0).sum())


def by_count(chances: np.ndarray, count: np.ndarray, counts: int) -> np.ndarray:
    """Chances (column, state) added up by the count that a state makes of ``count``: (column, 0 … ``counts`` - 1)."""
    found = np.zeros((len(count), counts))
    rows = np.arange(len(count))
    for state, total in enumerate(TOTALS):
        np.add.at(found, (rows, np.clip(count + total, 0, counts - 1)), chances[:, state])
    return found


def sweep(windows: Windows, log_prior: np.ndarray, order: np.ndarray) -> int:
    """Each column to its best state, one after the other; returns how many changed.

    Parameters
    ----------
    log_prior : (column, state). order : in which the columns are visited.
    """
    changed = 0
    for column in order:
        found = windows.log_likelihoods(column) + log_prior[column]
        best = int(np.argmax(found))
        if best != windows.now[column] and found[best] > found[windows.now[column]] + 1e-6:
            windows.put(column, best)
            changed += 1
    return changed


def sampled(
    windows: Windows, log_prior: np.ndarray, order: np.ndarray, sweeps: int, burn_in: int, rng: np.random.Generator
) -> np.ndarray:
    """Probability (column, state) of each column's states with the others unknown too: mean of the conditional
    probabilities over a Gibbs sample of all columns."""
    total = np.zeros(log_prior.shape)
    for number in range(burn_in + sweeps):
        for column in order:
            found = windows.log_likelihoods(column) + log_prior[column]
            chances = np.exp(found - found.max())
            chances /= chances.sum()
            if number >= burn_in:
                total[column] += chances
            windows.put(column, int(rng.choice(len(chances), p=chances)))
    return total / sweeps
