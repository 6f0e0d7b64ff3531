"""A thickness that is known by distance from the crystal's edge, joined with the network's answer.

A fit of the lens knows how thick a crystal is on average at a distance from its edge; a network that has seen every
lens knows that only roughly, and its error is much the same for all pixels of a frame. How pixels differ from their
neighbours is what the network knows and the fit does not. So the network's count m of a pixel is taken as the true one
with two errors: one common to all pixels at about this distance, with the share 1 - OWN of the variance v that the
network states there, and one of its own, with the share OWN. With the fitted mean t ± s, the mean m' of the network's
counts there, and c = (1 - OWN) v, Bayes' rule for normal distributions gives

    count = m - g (m' - t),   g = c / (c + s²),   variance = OWN v + c s² / (c + s²)

(the posterior of a common offset, e.g. Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

OWN = 0.15
"""Share of the network's variance that is a pixel's own: 0.1 to 0.2 give the same errors, and 90 % sets that cover as
much; 0.3 gives sets that are too wide."""

LEAST_ERROR = 0.5
"""Standard error, in atoms, that a fitted thickness has at least: that of simulated frames (docs/how-to/lens.md)."""

STEP_PM = 25.0
NEAR_PM = 150.0
"""Width (standard deviation) over which pixels count as at about the same distance, and the step of its computation."""

LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class Thickness:
    """Atoms in a column of one atom a period, on average, by distance from the edge.

    distance_pm, atoms, error : (bin,), distance rising; ``error`` is a standard error, which grows beyond the last
    distance. line : for the user.
    """

    distance_pm: np.ndarray
    atoms: np.ndarray
    error: np.ndarray
    line: str


def joined(probabilities: np.ndarray, distance_pm: np.ndarray, thickness: Thickness, cores: np.ndarray) -> np.ndarray:
    """The network's probabilities with the thickness taken into account.

    The probability of no atom stays as it is; so does all of a pixel whose distance is not known.

    Parameters
    ----------
    probabilities : (class, y, x), classes 0 … n atoms, and perhaps more.
    distance_pm : (y, x) from the crystal's edge, NaN outside.
    cores : (y, x) bool, pixels in the middle of columns, where the level of the network's counts is taken: at a
        column's border it says fewer atoms, on average two less of 19.

    Returns
    -------
    (class, y, x) float32.
    """
    here = np.isfinite(distance_pm) & (probabilities[0] < 1)
    if not (here & cores).any():
        return probabilities
    empty, at = probabilities[0][here].astype(float), distance_pm[here]
    classes = np.arange(len(probabilities))
    filled = probabilities[:, here].astype(float)
    filled[0] = 0
    filled /= np.maximum(filled.sum(axis=0), 1e-12)
    mean = classes @ filled
    variance = np.maximum(classes**2 @ filled - mean**2, LEAST_VARIANCE)
    mean_there, variance_there = _there(at, (1 - empty) * cores[here], mean, variance)
    known = np.interp(at, thickness.distance_pm, thickness.atoms)
    error = np.maximum(np.interp(at, thickness.distance_pm, thickness.error), LEAST_ERROR) + _beyond(at, thickness)
    common = (1 - OWN) * variance_there
    left = common * error**2 / (common + error**2)
    centre = mean - common / (common + error**2) * (mean_there - known)
    width = np.sqrt(variance * (OWN + left / variance_there))  # a pixel that is surer than its neighbours stays so
    found = probabilities.astype(np.float32)
    found[1:, here] = (1 - empty) * _counts(centre, width, len(classes) - 1)
    return found


def _beyond(at: np.ndarray, thickness: Thickness) -> np.ndarray:
    """Atoms by which the thickness may change from the last distance that is known: at the steepest slope there is."""
    if len(thickness.distance_pm) < 2:
        return np.zeros_like(at)
    slope = np.max(np.abs(np.diff(thickness.atoms)) / np.diff(thickness.distance_pm))
    return slope * np.maximum(at - thickness.distance_pm[-1], 0)


def _there(at: np.ndarray, weight: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of two quantities over all pixels at about the same distance, for each pixel."""
    step = np.floor(at / STEP_PM).astype(int)
    sums = np.stack([np.bincount(step, weight * each) for each in (np.ones_like(mean), mean, variance)])
    sums = ndimage.gaussian_filter1d(sums, NEAR_PM / STEP_PM, axis=1, mode="constant")
    known = np.flatnonzero(sums[0] > 1e-6 * sums[0].max())  # beyond, the nearest distance that has columns
    return tuple(np.interp(step, known, each[known] / sums[0, known]) for each in sums[1:])


def _counts(centre: np.ndarray, width: np.ndarray, most: int) -> np.ndarray:
    """Probabilities (count, pixel) of 1 … ``most`` atoms of normal distributions, the last with all that is above."""
    borders = ndtr((np.arange(most + 1)[:, None] + 0.5 - centre) / width)
    borders[-1] = 1
    parts = np.maximum(np.diff(borders, axis=0), 1e-12)
    return parts / parts.sum(axis=0)
