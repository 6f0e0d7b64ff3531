"""Standardized residuals, χ² of a frame and of its columns, and columns that the picture contradicts."""

from __future__ import annotations

import numpy as np
from scipy import stats

from segdepth.explanation.differences import STATES
from segdepth.explanation.likelihood import Windows
from segdepth.micrograph.columns.pooling import Owned

SIGNIFICANT = 1e-3
"""Largest false discovery rate at which a column is pointed out."""

DARKEST = 1e-3
"""Least expected electrons of a pixel."""

ONE_MORE, ONE_LESS = STATES.index((1, 0)), STATES.index((-1, 0))


def standardized(counts: np.ndarray, expected: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(n - μ) / √μ of Poisson counts, NaN where not valid; mean square 1 where the model is right."""
    mu = np.maximum(expected, DARKEST)
    return np.where(valid, (counts - mu) / np.sqrt(mu), np.nan)


def chi_squared(residual: np.ndarray) -> tuple[float, int]:
    """Sum of squares and number of pixels that are not NaN."""
    there = np.isfinite(residual)
    return float(np.square(residual[there]).sum()), int(there.sum())


def chi_squared_error(expected: np.ndarray, valid: np.ndarray) -> float:
    """Standard deviation of a frame's χ² by shot noise: each pixel's square has the variance 2 + 1/μ."""
    return float(np.sqrt((2 + 1 / np.maximum(expected[valid], DARKEST)).sum()))


def column_chi_squared(residual: np.ndarray, owned: Owned) -> tuple[np.ndarray, np.ndarray]:
    """χ² and number of pixels of each column, over the pixels that it owns."""
    square = np.nan_to_num(np.square(residual)).ravel()
    return owned.total(square[owned.pixel]), owned.number


def upper_tail(chi2: np.ndarray, dof: np.ndarray, expected_per_pixel: np.ndarray) -> np.ndarray:
    """Probability of a χ² as large or larger. Squares of standardized Poisson numbers have the variance 2 + 1/μ: the χ²
    law is widened by that."""
    wide = (2 + 1 / np.maximum(expected_per_pixel, DARKEST)) / 2
    return np.where(dof > 0, stats.chi2.sf(chi2 / wide, np.maximum(dof, 1) / wide), 1.0)


def false_discovery_rates(p: np.ndarray) -> np.ndarray:
    """The rate at which each p is just rejected (Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995) 289)."""
    if not len(p):
        return np.empty(0)
    order = np.argsort(p)
    rate = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(rate[::-1])[::-1], 1.0)
    return found


def more_or_less(windows: Windows, count: np.ndarray) -> np.ndarray:
    """How the picture contradicts each column's count, in standard deviations: positive where it shows more atoms.

    The residual's projection on what one atom more at the exit changes (one less, with the sign turned, tells the same
    where the column has atoms), by the Poisson weights: 0 ± 1 where the count is right and everything else too.
    """
    found = np.zeros(len(count))
    for column, atoms in enumerate(count):
        here = windows.at(column)
        changes = windows.changes[column]
        slope = changes[ONE_MORE] if atoms == 0 else (changes[ONE_MORE] - changes[ONE_LESS]) / 2
        expected, weight = windows.expected[here], windows.weight[here]
        left = ((windows.counts[here] - expected) * slope / expected * weight).sum()
        found[column] = left / np.sqrt(max(float((slope**2 / expected * weight).sum()), 1e-12))
    return found
