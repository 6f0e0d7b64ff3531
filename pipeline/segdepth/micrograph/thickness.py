"""A thickness that is known by distance from the crystal's edge, joined with the network's answer.

A fit of the lens knows how thick a crystal is on average at a distance from its edge; a network that has seen every
lens knows that only roughly, and its error is much the same for all pixels of a frame. How pixels differ from their
neighbours is what the network knows and the fit does not. So the network's count m of a pixel is taken as the true one
with two errors: one common to all pixels at about this distance, with the share 1 - OWN of the variance v that the
network states there, and one of its own, with the share OWN. With the fitted mean t ± s, the mean m' of the network's
counts there, and c = (1 - OWN) v, Bayes' rule for normal distributions gives

    count = m - g (m' - t),   g = c / (c + s²),   variance = OWN v + c s² / (c + s²)

(the posterior of a common offset, e.g. Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.5).

A column of a rough crystal differs from the mean by more than a network has learnt, and what it says of one column is
then little more than what its neighbours suggest. Where the fit has found the variance R of columns about the smooth
thickness from the film's electrons, the network's counts must show it or leave it open (law of total variance): with
the variance S that they show, a pixel's own variance is max(OWN v, R - S).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
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

NEIGHBOURS = 6
"""Columns through whose counts a plane is laid, from which one stands off."""


@dataclass(frozen=True)
class Thickness:
    """Atoms in a column of one atom a period, on average, by distance from the edge.

    distance_pm, atoms, error : (bin,), distance rising; ``error`` is a standard error, which grows beyond the last
    distance. line : for the user. roughness : standard deviation of single columns about the smooth thickness, atoms; 0
    where it is not known.
    """

    distance_pm: np.ndarray
    atoms: np.ndarray
    error: np.ndarray
    line: str
    roughness: float = 0.0


@dataclass(frozen=True)
class Columns:
    """Where columns are on a map. row, column : pixels of their middles, (column,). core : (y, x) bool, their cores."""

    row: np.ndarray
    column: np.ndarray
    core: np.ndarray


def columns_on(y: np.ndarray, x: np.ndarray, core_radius: float, shape: tuple[int, int]) -> Columns:
    """Columns of a map of ``shape`` at y and x, whose cores have this radius; all in pixels from the map's corner."""
    i, j = np.floor(y).astype(int).clip(0, shape[0] - 1), np.floor(x).astype(int).clip(0, shape[1] - 1)
    outside = np.ones(shape, dtype=bool)
    outside[i, j] = False
    return Columns(i, j, ndimage.distance_transform_edt(outside) <= core_radius)


def joined(probabilities: np.ndarray, distance_pm: np.ndarray, thickness: Thickness, columns: Columns) -> np.ndarray:
    """The network's probabilities with the thickness taken into account.

    The probability of no atom stays as it is; so does all of a pixel whose distance is not known.

    Parameters
    ----------
    probabilities : (class, y, x), classes 0 … n atoms, and perhaps more.
    distance_pm : (y, x) from the crystal's edge, NaN outside.
    columns : in their cores the level of the network's counts is taken: at a column's border it says fewer atoms, on
        average two less of 19.

    Returns
    -------
    (class, y, x) float32.
    """
    here = np.isfinite(distance_pm) & (probabilities[0] < 1)
    if not (here & columns.core).any():
        return probabilities
    empty, at = probabilities[0][here].astype(float), distance_pm[here]
    classes = np.arange(len(probabilities))
    filled = probabilities[:, here].astype(float)
    filled[0] = 0
    filled /= np.maximum(filled.sum(axis=0), 1e-12)
    mean = classes @ filled
    variance = np.maximum(classes**2 @ filled - mean**2, LEAST_VARIANCE)
    mean_there, variance_there = _there(at, (1 - empty) * columns.core[here], mean, variance)
    known = np.interp(at, thickness.distance_pm, thickness.atoms)
    error = np.maximum(np.interp(at, thickness.distance_pm, thickness.error), LEAST_ERROR) + _beyond(at, thickness)
    common = (1 - OWN) * variance_there
    left = common * error**2 / (common + error**2)
    centre = mean - common / (common + error**2) * (mean_there - known)
    share: float | np.ndarray = OWN
    if thickness.roughness:
        share = np.maximum(OWN, (thickness.roughness**2 - _shown(_on(here, mean), columns)) / variance)
    width = np.sqrt(variance * (share + left / variance_there))  # a pixel that is surer than its neighbours stays so
    found = probabilities.astype(np.float32)
    found[1:, here] = (1 - empty) * _counts(centre, width, len(classes) - 1)
    return found


def _on(here: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A map that has these values here, and NaN elsewhere."""
    found = np.full(here.shape, np.nan)
    found[here] = values
    return found


def _shown(counts: np.ndarray, columns: Columns) -> float:
    """Variance of single columns about the plane through those around, in counts (y, x); 0 of too few columns."""
    places, at = np.stack([columns.row, columns.column], axis=1).astype(float), counts[columns.row, columns.column]
    places, at = places[np.isfinite(at)], at[np.isfinite(at)]
    if len(at) < 2 * NEIGHBOURS:
        return 0.0
    _, near = cKDTree(places).query(places, k=NEIGHBOURS + 1)
    off = places[near[:, 1:]] - places[near[:, :1]]
    terms = np.concatenate([np.ones((*off.shape[:2], 1)), off], axis=2)
    weights = np.linalg.pinv(terms)[:, 0]  # of the plane's value at the column
    away = at[near[:, 0]] - (weights * at[near[:, 1:]]).sum(axis=1)
    return float(np.mean(away**2 / (1 + (weights**2).sum(axis=1))))


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
