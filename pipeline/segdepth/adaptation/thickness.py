"""The rise of the thickness from the edge, of a lens fit's bins: T(d) = bulk - (bulk - surface) exp(-d / decay), as
``specimen.faces`` builds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdepth.fitting.result import FittedBin

DECAYS_NM = np.geomspace(0.2, 10, 60)
SIDE_ATOMS = 3
"""Atoms that ranges of thickness hold to either side of the fit's."""

INNER = 0.6
"""Of the largest distance from the edge: bins beyond tell the thickness far from it."""

CHI2_RISE = 4.0
"""Of decays that fit as well as the best one: two standard errors."""

LEAST_ERROR_ATOMS = 0.5
DECAY_FACTOR = 1.5
"""Decays are drawn up to so many times longer and shorter than the best one, at least."""

UNKNOWN_DECAY_NM = 0.3, 4.0


@dataclass(frozen=True)
class Rise:
    """Ranges of the specimen block that hold a crystal's thickness: atoms far from the edge (whole), atoms at the edge,
    and the decay in nm; ``told`` : in words, what the fit found."""

    bulk: tuple[int, int]
    surface: tuple[float, float]
    decay_nm: tuple[float, float]
    told: str


def rise_of(bins: Sequence[FittedBin]) -> Rise:
    """The ranges for the bins of a lens fit.

    Raises
    ------
    ValueError
        There is no bin.
    """
    if not bins:
        raise ValueError("the lens fit has no thickness")
    rows = sorted((each.distance_pm, each.thickness_atoms, each.thickness_error) for each in bins)
    distance, atoms, error = np.array(rows, float).T
    error = np.maximum(error, LEAST_ERROR_ATOMS)
    told = f"{atoms[0]:.3g} atoms at {distance[0] / 1000:.2g} nm, {atoms[-1]:.3g} at {distance[-1] / 1000:.2g} nm"
    inner = atoms[distance >= INNER * distance.max()]
    low, high = np.floor(inner.min()) - SIDE_ATOMS, np.ceil(atoms.max()) + SIDE_ATOMS
    bulk = max(1, int(low)), max(1, int(high))
    if len(atoms) < 3:
        return Rise(bulk, (1.0, float(max(1, high))), UNKNOWN_DECAY_NM, told)
    found = [_at_decay(decay, distance, atoms, error, float(high)) for decay in DECAYS_NM]
    chi2 = np.array([each[0] for each in found])
    best, as_good = int(chi2.argmin()), DECAYS_NM[chi2 <= chi2.min() + CHI2_RISE]
    surface = float(np.clip(found[best][1], 1, high))
    at_edge = max(1.0, round(surface - SIDE_ATOMS, 1)), round(surface + SIDE_ATOMS, 1)
    fast = min(DECAYS_NM[best] / DECAY_FACTOR, as_good.min())
    slow = max(DECAYS_NM[best] * DECAY_FACTOR, as_good.max())
    return Rise(bulk, at_edge, (round(float(fast), 3), round(float(slow), 3)), told)


def _at_decay(
    decay_nm: float, distance_pm: np.ndarray, atoms: np.ndarray, error: np.ndarray, most: float
) -> tuple[float, float]:
    """χ² and atoms at the edge of the best rise with this decay, whose bulk is at most ``most`` atoms."""
    fading = np.exp(-distance_pm / (1000 * decay_nm))
    design = np.stack([1 - fading, fading], axis=1)  # bulk, surface
    (bulk, surface), *_ = np.linalg.lstsq(design / error[:, None], atoms / error, rcond=None)
    if bulk > most:
        bulk = most
        surface = float((fading * (atoms - bulk * (1 - fading)) / error**2).sum() / ((fading / error) ** 2).sum())
    residual = (design @ (bulk, surface) - atoms) / error
    return float((residual**2).sum()), float(surface)
