"""Counts of columns refined by the picture: likelihood of each column's states, joined with what was known before.

Sweeps go over all columns, each to its best state with its neighbours as they are, until nothing changes. Changes of
several columns are added up, which is right for columns far from each other; then the crystal is simulated anew, and so
on. At last a Gibbs sample tells how sure each count is when its neighbours are not sure either.

The prior is the thickness that the surrounding columns give, with the roughness of this frame (``roughness``), and the
network's probabilities. The network has used the same electrons, so likelihood and network enter with exponents of one
half each; it has used the surrounding columns too, so the roughness enters with one quarter. (The true counts of
simulated frames are most probable with about these exponents: docs/results/explanation.md.) Where the network sees no
column, its probabilities are the only prior, with an exponent of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from segdepth.explanation.adjustment import Adjusted, Adjustment
from segdepth.explanation.columns import ColumnStacks, middle_plane_pm, settled_middle_pm
from segdepth.explanation.differences import STATES, STAY
from segdepth.explanation.likelihood import TOTALS, Windows, by_count, conditional, degrees_taken, sampled, sweep
from segdepth.explanation.model import FrameModel
from segdepth.explanation.patches import ColumnPatches
from segdepth.explanation.residuals import more_or_less
from segdepth.explanation.roughness import most_likely, smooth_counts
from segdepth.simulation.aberrations import Lens

NETWORK_POWER, LIKELIHOOD_POWER, ROUGHNESS_POWER = 0.5, 0.5, 0.25
"""Of the network's probabilities, of the likelihood, and of the prior that the roughness makes."""

LEAST_PRIOR = 1e-3
"""Share of a flat distribution over the counts around in the network's."""

MIDDLE_ATOMS = 0.7
"""Rms distance, in atoms, of a column's middle from the smooth plane halfway between the faces."""

BEYOND_ATOMS = 1.5
"""How far, rms, counts of columns beyond the frame's border are thought to be from their neighbours'."""

MOST_ROUNDS = 3
BEYOND_COUNTS = 2 * MOST_ROUNDS + 2
"""A refined count has at most so many atoms more than the network's last class, or the highest predicted count."""
SWEEPS_A_ROUND = 4
ROUGHNESS_STEPS = 2
GIBBS_SWEEPS, GIBBS_BURN_IN = 16, 4
REACH_PM = 450.0
"""A column's change of the image is computed anew where a column this near has changed."""


@dataclass(frozen=True)
class Refined:
    """stacks : the columns refined. probabilities : (column, count), of 0, 1, … atoms. lens : as refined.
    expected : electrons (row, column) of the refined columns. told : of those that the refinement began with. more :
    how the picture contradicts each of these (``residuals.more_or_less``). rounds : multislices of the whole frame.
    degrees : of freedom that the choice of the counts took (``likelihood.degrees_taken``)."""

    stacks: ColumnStacks
    probabilities: np.ndarray
    lens: Lens
    expected: np.ndarray
    told: np.ndarray
    more: np.ndarray
    rounds: int
    degrees: float


def network_prior(stacks: ColumnStacks, probabilities: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """Log prior (column, count) of each column by itself.

    Parameters
    ----------
    probabilities : the network's, (column, count); counts beyond its last are as likely as that one. listed : bool,
    columns that were seen; of others only their counts are known, from their neighbours.
    """
    classes = probabilities.shape[1]
    wide = max(classes, int(stacks.count.max(initial=0)) + 1) + BEYOND_COUNTS
    padded = np.zeros((len(stacks), wide))
    padded[:, :classes] = probabilities
    padded[:, classes:] = probabilities[:, -1:]  # the last class may stand for more
    power = np.where(stacks.count > 0, NETWORK_POWER, 1.0)[:, None]
    seen = power * np.log(LEAST_PRIOR + (1 - LEAST_PRIOR) * padded)
    apart = np.arange(wide) - stacks.count[:, None]
    return np.where(listed[:, None], seen, -((apart / BEYOND_ATOMS) ** 2) / 2)


def heights_prior(stacks: ColumnStacks, middle_pm: np.ndarray) -> np.ndarray:
    """Log prior (column, state) of the middle's height; -inf of states that would leave less than no atom."""
    counts = stacks.count[:, None] + TOTALS
    moved = np.array([exit_ - entrance for exit_, entrance in STATES]) / 2
    away = (stacks.middle_pm - middle_pm) / stacks.spacing_pm
    height = -(((away[:, None] + moved) / MIDDLE_ATOMS) ** 2) / 2
    return np.where(counts < 0, -np.inf, np.where(counts == 0, 0.0, height))


def of_states(stacks: ColumnStacks, log_counts: np.ndarray) -> np.ndarray:
    """What is said of counts (column, count), said of states (column, state)."""
    counts = stacks.count[:, None] + TOTALS
    return np.take_along_axis(log_counts, np.clip(counts, 0, log_counts.shape[1] - 1), axis=1)


def rough_prior(
    stacks: ColumnStacks, mine: np.ndarray, log_counts: np.ndarray, log_likelihoods: np.ndarray
) -> np.ndarray:
    """Log prior (column, count) that the smooth thickness and the frame's roughness make, found from the frame itself;
    0 of other columns than ``mine``, and where these are few.

    Parameters
    ----------
    mine : bool, columns whose thickness is that of the crystal. log_counts : their other prior, (column, count).
    log_likelihoods : (column, state), with that of the height.
    """
    counts, found = log_counts.shape[1], np.zeros(log_counts.shape)
    chances = np.exp(log_likelihoods - log_likelihoods.max(axis=1, keepdims=True))
    likelihood = by_count(chances, stacks.count, counts)
    elements = np.array([column.element for column in stacks.crystal.columns])[stacks.kind]
    for _ in range(ROUGHNESS_STEPS):
        known = log_counts + found
        after = likelihood * np.exp(known - known.max(axis=1, keepdims=True))
        mean = after @ np.arange(counts) / after.sum(axis=1)
        thickness = smooth_counts(stacks, mean)
        alike = [mine & (elements == element) for element in np.unique(elements[mine])]
        laws = most_likely([thickness[one] for one in alike], [likelihood[one] for one in alike])
        for one, law in zip(alike, laws or ()):
            found[one] = law.log_chances(thickness[one], counts - 1)
    return found


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
        first: Adjusted,
        free: np.ndarray,
        listed: np.ndarray,
        probabilities: np.ndarray,
        exit_share: float,
        rng: np.random.Generator,
    ) -> Refined:
        """Refine the counts of the columns ``free`` (bool); ``listed`` (bool) and ``probabilities`` (column, count) of
        all of them as for ``network_prior``."""
        stacks, lens, model, which = first.stacks, first.lens, first.model, np.flatnonzero(free)
        network = network_prior(stacks, probabilities, listed)[which]
        crystal = (listed & (stacks.count > 0))[which]
        changes: np.ndarray | None = None
        told, more, stale = None, None, np.ones(len(which), bool)
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
            corners, electrons = self.patches.corners(mine), model.grid.electrons
            windows = Windows.on(corners, changes, self.counts, expected, self.valid, electrons, LIKELIHOOD_POWER)
            if more is None:
                told, more = expected, more_or_less(windows, mine.count)
            heights = heights_prior(mine, middle[which])
            rough = rough_prior(mine, crystal, network, conditional(windows) + heights)
            prior = heights + of_states(mine, network + ROUGHNESS_POWER * rough)
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
        degrees = degrees_taken(conditional(windows) / LIKELIHOOD_POWER, states)
        found = by_count(states, mine.count, network.shape[1])
        # of the states with the most probable count the most probable one
        likely = mine.count[:, None] + TOTALS == found.argmax(axis=1)[:, None]
        stacks = _replaced(stacks, which, in_state(mine, np.where(likely, states, -1.0).argmax(axis=1)))
        last = self.adjustment.of(stacks, lens, model)
        return Refined(stacks, found, last.lens, last.expected, told, more, rounds, degrees)


def _replaced(stacks: ColumnStacks, which: np.ndarray, by: ColumnStacks) -> ColumnStacks:
    """The columns with others in some places."""
    first, count = stacks.first.copy(), stacks.count.copy()
    first[which], count[which] = by.first, by.count
    return stacks.changed(first, count)
