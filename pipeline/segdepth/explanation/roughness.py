"""How far counts stand off a smooth crystal: what the frame itself says of its roughness.

The columns around one tell its thickness, by a plane through their counts. How far counts are from it, the crystal's
roughness, is found from all columns of the frame together (empirical Bayes): the law of n - t whose likelihood, summed
over what each column's electrons say of n, is largest. Of a smooth crystal the law is narrow, and neighbours then tell
a count that the electrons do not; of a rough one it is wide, and the electrons decide. Width and shape are those of all
elements together, since faces are rough for all columns alike: an element of which the picture says next to nothing
would be given any width. Lengths in pm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from segdepth.explanation.columns import SMOOTH_PM, ColumnStacks

SHIFTS = -0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45
WIDTHS = 0.4, 0.6, 0.9, 1.2, 1.6, 2.0, 2.5, 3.0
POWERS = 2, 8
"""Laws that are tried: their middle and half-width, atoms, and their shape, Gaussian or nearly a box."""

OUTLIERS = 0.02
"""Share of columns that no law holds for."""

FEWEST = 12
"""Columns from which a law is found."""

LEVELLING = 0.05
"""Holds the plane's slopes to 0 where hardly any columns are near."""


@dataclass(frozen=True)
class Roughness:
    """Law of a count less the smooth thickness, d: exp(-½ |(d - shift) / width|^power), all in atoms."""

    shift: float
    width: float
    power: int

    def log_chances(self, thickness: np.ndarray, most: int) -> np.ndarray:
        """Log probabilities (column, count) of 0 … ``most`` atoms where the smooth thickness, atoms, is given."""
        away = np.arange(most + 1) - thickness[:, None] - self.shift
        law = np.exp(-((np.abs(away) / self.width) ** self.power) / 2) + 1e-12
        law /= law.sum(axis=1, keepdims=True)
        return np.log((1 - OUTLIERS) * law + OUTLIERS / (most + 1))


def smooth_counts(stacks: ColumnStacks, count: np.ndarray) -> np.ndarray:
    """Thickness at each column, in its own atoms, that the others tell: a plane through those around that hold atoms,
    weighted by a Gaussian of ``SMOOTH_PM``. Where there are no others, the column's own.

    Parameters
    ----------
    count : mean number of atoms of each column; no whole number where it is uncertain.
    """
    spacing, filled = stacks.spacing_pm, np.flatnonzero(count > 0.5)
    if not filled.size:
        return count.astype(float)
    places = np.stack([stacks.x_pm, stacks.y_pm], axis=1)
    near = cKDTree(places).sparse_distance_matrix(cKDTree(places[filled]), 3 * SMOOTH_PM, output_type="coo_matrix")
    row, other = near.row, filled[near.col]
    row, other = row[row != other], other[row != other]
    away = (places[other] - places[row]) / SMOOTH_PM
    weight = np.exp(-(away**2).sum(axis=1) / 2)
    terms = np.column_stack([np.ones(len(row)), away])
    matrix, right = np.empty((len(stacks), 3, 3)), np.empty((len(stacks), 3))
    for i in range(3):
        right[:, i] = np.bincount(row, weight * terms[:, i] * (count * spacing)[other], len(stacks))
        for j in range(3):
            matrix[:, i, j] = np.bincount(row, weight * terms[:, i] * terms[:, j], len(stacks))
    alone = matrix[:, 0, 0] < 1e-6
    matrix += np.diag([1e-9, LEVELLING, LEVELLING])
    plane = np.linalg.solve(matrix, right[..., None])[:, 0, 0]
    return np.where(alone, count, np.maximum(plane, 0.0) / spacing)


def most_likely(thickness: Sequence[np.ndarray], likelihood: Sequence[np.ndarray]) -> list[Roughness] | None:
    """The laws, one for each element, under which columns of this smooth thickness (atoms) make their likelihoods
    (column, count) most likely: of one width and shape, each with a shift of its own. None of too few columns.

    Parameters
    ----------
    thickness, likelihood : of each element's columns.
    """
    if sum(map(len, thickness)) < FEWEST:
        return None

    def evidence(law: Roughness, atoms: np.ndarray, likely: np.ndarray) -> float:
        chances = np.exp(law.log_chances(atoms, likely.shape[1] - 1))
        return float(np.log((chances * likely).sum(axis=1) / likely.max(axis=1)).sum())

    def best(width: float, power: int) -> tuple[float, list[Roughness]]:
        found = []
        for columns in zip(thickness, likelihood, strict=True):
            laws = [Roughness(shift, width, power) for shift in SHIFTS]
            found.append(max(((evidence(law, *columns), law) for law in laws), key=lambda one: one[0]))
        return sum(value for value, _ in found), [law for _, law in found]

    return max((best(*one) for one in product(WIDTHS, POWERS)), key=lambda one: one[0])[1]
