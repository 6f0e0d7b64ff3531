"""Whether neighbouring pixels share electrons: the autocorrelation of the vacuum."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-15
"""Variance over mean square below which counts are constant; that of shot noise is 1 / counts."""

LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
LEAST_CORRELATION = 0.03
"""Correlations below are no harm: a sum of many pixels then has a variance wrong by some per cent a lag."""

DEVIATIONS = 5.0
"""Sampling errors beyond which a correlation is one; of n pairs the error is 1/√n."""


def _detrended(values: np.ndarray, area: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Values (y, x) less mean and slope, 0 outside of the area; their variance; whether they vary at all."""
    rows, columns = np.nonzero(area)
    inside = values[area].astype(np.float64)
    plane = np.stack([np.ones(rows.size), rows - rows.mean(), columns - columns.mean()])
    off = np.zeros(values.shape)
    off[area] = inside - np.linalg.lstsq(plane @ plane.T, plane @ inside, rcond=None)[0] @ plane
    variance = float(np.mean(off[area] ** 2))
    return off, variance, variance > ROUNDING * float(np.mean(inside**2))


def correlation_sums(values: np.ndarray, area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation at each of ``LAGS`` (0 where there is no pair) and the number of pairs, of values (y, x) over an area
    (y, x) bool less its mean and slope."""
    found, pairs = np.zeros(len(LAGS)), np.zeros(len(LAGS))
    if area.sum() < 16:
        return found, pairs
    off, variance, varies = _detrended(values, area)
    for i, (y, x) in enumerate(LAGS):
        one, other = np.s_[: off.shape[0] - y, : off.shape[1] - x], np.s_[y:, x:]
        pairs[i] = (area[one] & area[other]).sum()
        if pairs[i] and varies:
            found[i] = float((off[one] * off[other]).sum() / pairs[i] / variance)
    return found, pairs


def neighbour_correlation(counts: np.ndarray, area: np.ndarray) -> tuple[float | None, float | None]:
    """Correlation of neighbours along y and along x over an area (y, x); 0 for shot noise of a counting camera, None
    where no two pixels are neighbours or the counts do not vary.

    The mean and a slope of the area are taken out first; of n pairs the sampling error is 1/√n.
    """
    off, variance, varies = _detrended(counts, area)
    found: list[float | None] = []
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        both = area[one] & area[other]
        found.append(float(np.mean((off[one] * off[other])[both]) / variance) if both.any() and varies else None)
    return found[0], found[1]


def largest_correlation(frames: list[np.ndarray], areas: list[np.ndarray]) -> tuple[float, bool]:
    """The correlation of largest size of any lag, mean over frames (y, x), and whether it is beyond sampling error."""
    sums = [correlation_sums(values, area) for values, area in zip(frames, areas)]
    pairs = np.sum([n for _, n in sums], axis=0) if sums else np.zeros(len(LAGS))
    if not pairs.any():
        return 0.0, False
    mean = np.sum([r * n for r, n in sums], axis=0) / np.maximum(pairs, 1)
    i = int(np.argmax(np.abs(mean)))
    return float(mean[i]), bool(abs(mean[i]) > max(LEAST_CORRELATION, DEVIATIONS / np.sqrt(max(pairs[i], 1))))
