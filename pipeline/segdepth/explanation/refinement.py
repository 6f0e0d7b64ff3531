"""Counts of columns refined by the picture: likelihood of each column's states, joined with what was known before.

Sweeps go over all columns, each to its best state with its neighbours as they are, until nothing changes. Changes of
several columns are added up, which is right for columns far from each other; then the crystal is simulated anew, and so
on. At last a Gibbs sample tells how sure each count is when its neighbours are not sure either.

What was known before is the network's probability of each count. The network has seen the same electrons: the product
of its answer and the likelihood would count them twice. So the square root of the product is taken, the geometric mean
of two opinions of which each has seen the electrons once. The most probable count is that of the product: what the
network knows of the shape of crystals has its full weight there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from segdepth.explanation.adjustment import Adjustment
from segdepth.explanation.columns import ColumnStacks, middle_plane_pm, settled_middle_pm
from segdepth.explanation.differences import STATES, STAY
from segdepth.explanation.likelihood import TOTALS, Windows, sampled, sweep
from segdepth.explanation.model import FrameModel
from segdepth.explanation.patches import ColumnPatches
from segdepth.simulation.aberrations import Lens

POOL = 0.5
"""Power of the network's probabilities and of the likelihood."""

LEAST_PRIOR = 1e-3
"""Share of a flat distribution over the counts around in the network's."""

MIDDLE_ATOMS = 0.7
"""Rms distance, in atoms, of a column's middle from the smooth plane halfway between the faces."""

MOST_ROUNDS = 5
SWEEPS_A_ROUND = 4
GIBBS_SWEEPS, GIBBS_BURN_IN = 20, 4
REACH_PM = 700.0
"""A column's change of the image is computed anew where a column this near has changed."""


@dataclass(frozen=True)
class Refined:
    """stacks : the columns refined. probabilities : (column, count), of 0, 1, … atoms. lens : as refined.
    expected : electrons (row, column) of the refined columns. rounds : multislices of the whole frame."""

    stacks: ColumnStacks
    probabilities: np.ndarray
    lens: Lens
    expected: np.ndarray
    rounds: int


def log_prior_of(stacks: ColumnStacks, probabilities: np.ndarray, power: float = POOL) -> np.ndarray:
    """Log prior (column, count) from the network's probabilities (column, count); counts beyond its last are as likely
    as that one."""
    classes = probabilities.shape[1]
    wide = max(classes, int(stacks.count.max(initial=0)) + 1) + 2 * MOST_ROUNDS + 2
    padded = np.zeros((len(stacks), wide))
    padded[:, :classes] = probabilities
    padded[:, classes:] = probabilities[:, -1:]  # the last class may stand for more
    flat = LEAST_PRIOR + (1 - LEAST_PRIOR) * padded
    return power * np.log(flat)


def states_prior(stacks: ColumnStacks, log_counts: np.ndarray, middle_pm: np.ndarray) -> np.ndarray:
    """Log prior (column, state): of the count, and of the middle's height."""
    counts = stacks.count[:, None] + TOTALS
    known = np.take_along_axis(log_counts, np.clip(counts, 0, log_counts.shape[1] - 1), axis=1)
    moved = np.array([exit_ - entrance for exit_, entrance in STATES]) / 2
    away = (stacks.middle_pm - middle_pm) / stacks.spacing_pm
    height = -(((away[:, None] + moved) / MIDDLE_ATOMS) ** 2) / 2
    height = np.where(counts == 0, 0.0, height)
    return np.where(counts < 0, -np.inf, known + height)


def in_state(stacks: ColumnStacks, now: np.ndarray) -> ColumnStacks:
    """The columns in these states."""
    exit_, entrance = np.array(STATES)[now].T
    return stacks.changed(stacks.first - entrance, stacks.count + exit_ + entrance)


class Refinement:
    """Counts of one frame.

    Parameters
    ----------
    model : of the frame. patches : of the model; keeps the library of difference waves from frame to frame.
    counts : electrons (row, column). valid : bool (row, column). errors : of the lens fit, by name.
    """

    def __init__(
        self,
        model: FrameModel,
        patches: ColumnPatches,
        counts: np.ndarray,
        valid: np.ndarray,
        errors: Mapping[str, float | None],
    ) -> None:
        self.patches, self.counts, self.valid = patches, counts.astype(np.float64), valid
        self.adjustment = Adjustment(model, self.counts, valid, errors)

    def run(
        self,
        stacks: ColumnStacks,
        free: np.ndarray,
        log_counts: np.ndarray,
        lens: Lens,
        exit_share: float,
        rng: np.random.Generator,
    ) -> Refined:
        """Refine the counts of the columns ``free`` (bool); ``log_counts`` (column, count) of all of them."""
        which, model = np.flatnonzero(free), self.adjustment.model
        changes: np.ndarray | None = None
        stale = np.ones(len(which), bool)
        for rounds in range(1, MOST_ROUNDS + 1):
            adjusted = self.adjustment.of(stacks, lens, model)
            stacks, lens, model, expected = adjusted.stacks, adjusted.lens, adjusted.model, adjusted.expected
            middle = settled_middle_pm(stacks, middle_plane_pm(stacks, exit_share))
            mine = stacks.part(which)
            fresh = self.patches.changes(self.patches.image_waves(adjusted.wave, lens), mine.part(stale), lens)
            if changes is None:
                changes = fresh
            else:
                changes[stale] = fresh
            windows = Windows.on(
                self.patches.corners(mine), changes, self.counts, expected, self.valid, model.grid.electrons, POOL
            )
            prior = states_prior(mine, log_counts[which], middle[which])
            order = rng.permutation(len(which))
            for _ in range(SWEEPS_A_ROUND):
                if not sweep(windows, prior, order):
                    break
            moved = in_state(mine, windows.now)
            touched = windows.now != STAY
            if not touched.any() or rounds == MOST_ROUNDS:
                break
            stacks = _replaced(stacks, which, moved)
            places = np.stack([mine.x_pm, mine.y_pm], axis=1)
            stale = cKDTree(places[touched]).query(places)[0] < REACH_PM
        states = sampled(windows, prior, order, GIBBS_SWEEPS, GIBBS_BURN_IN, rng)
        probabilities = _by_count(mine, states, log_counts.shape[1])
        # of the states with the most probable count the most probable one
        likely = mine.count[:, None] + TOTALS == probabilities.argmax(axis=1)[:, None]
        stacks = _replaced(stacks, which, in_state(mine, np.where(likely, states, -1.0).argmax(axis=1)))
        last = self.adjustment.of(stacks, lens, model)
        return Refined(stacks, probabilities, last.lens, last.expected, rounds)


def _replaced(stacks: ColumnStacks, which: np.ndarray, by: ColumnStacks) -> ColumnStacks:
    """The columns with others in some places."""
    first, count = stacks.first.copy(), stacks.count.copy()
    first[which], count[which] = by.first, by.count
    return stacks.changed(first, count)


def _by_count(stacks: ColumnStacks, states: np.ndarray, counts: int) -> np.ndarray:
    """Probabilities (column, count) from those of states."""
    found = np.zeros((len(stacks), counts))
    rows = np.arange(len(stacks))
    for state, total in enumerate(TOTALS):
        np.add.at(found, (rows, np.clip(stacks.count + total, 0, counts - 1)), states[:, state])
    return found
