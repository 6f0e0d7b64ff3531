"""Hot, dead and stuck pixels of a camera, from a few frames.

Method (ours), for any gain and offset: a pixel's mean over the frames, less that of its surroundings and over their
mean deviation, is compared with the distribution of all pixels. The logarithm of a tail of Poisson, normal or gamma
noise is concave, so its last quantiles, continued as an exponential, bound what chance brings. A column of atoms covers
many pixels: a hot pixel must also stand out by far over the second largest of its eight neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from segdepth.micrograph.electrons.masks import Masked

CHANCE = 3e-6
"""Share of good pixels that the exponential lets through; noise's own tails are shorter."""

QUANTILES = (0.90, 0.96)
STANDS_OUT = 2.5
"""A hot pixel's excess over its surroundings, in those of the second largest neighbour."""

LEAST_DEVIATIONS = 6.5
"""Mean deviations of its surroundings that a bad pixel is off at least: 5.2 σ of normal noise."""

BEYOND = 4.0
"""A pixel so much above the bound is hot whatever its neighbours are: hot pixels lie side by side too."""

NORMAL_QUANTILE = -1.61
"""Quantile 0.1 of normal noise, in mean deviations: Poisson's tail to low values is shorter than the normal one."""

ROUNDS = 4
MOST = 0.1
"""More than this share of a frame are no bad pixels."""

STUCK_CHANCE = 1e-7
"""Chance of a good pixel to have one value in all frames, below which it is stuck."""


def find_bad_pixels(frames: Sequence[Masked]) -> np.ndarray:
    """Pixels (y, x) bool that give no electrons but always too many, too few or the same.

    Parameters
    ----------
    frames : of one film, the same shape; one is enough for pixels that are very hot.
    """
    number = np.sum([f.usable for f in frames], axis=0, dtype=np.float32)
    seen = number > 0
    mean = np.sum([f.values for f in frames], axis=0, dtype=np.float64) / np.maximum(number, 1)
    bad = np.zeros(seen.shape, dtype=bool)
    for _ in range(ROUNDS):
        hot, dead = _outliers(mean, seen & ~bad)
        if not (hot | dead).any() or (bad | hot | dead).mean() > MOST:
            break
        bad |= hot | dead
    bad |= _stuck(frames, seen & ~bad)
    return bad if bad.mean() <= MOST else np.zeros_like(bad)


def _around(values: np.ndarray, use: np.ndarray, size: int) -> np.ndarray:
    """Mean of the used pixels of a size × size window, its middle left out."""
    weight = use.astype(np.float64)
    n = ndimage.uniform_filter(weight, size, mode="constant") * size**2 - weight
    total = ndimage.uniform_filter(values * weight, size, mode="constant") * size**2 - values * weight
    return total / np.maximum(n, 1)


def _outliers(mean: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Used pixels that are hot, and that are dead, of a mean frame (y, x)."""
    inside = mean[use]
    if inside.size < 1000:
        return np.zeros_like(use), np.zeros_like(use)
    low, high = _bounds(inside, None)
    clipped = np.clip(mean, low, high)
    local = _around(clipped, use, 5)
    off = np.where(use, mean - local, 0.0)
    width = _around(np.abs(clipped - local), use, 15) + 1e-3 * np.ptp(clipped[use]) + 1e-12
    z = off / width
    _, high = _bounds(z[use], _steps(inside) / width[use])
    high = max(high, LEAST_DEVIATIONS)
    low = -LEAST_DEVIATIONS * max(1.0, float(np.quantile(z[use], 1 - QUANTILES[0])) / NORMAL_QUANTILE)
    hot = _standing_out(mean, local, use & (z > high), ~use) | (use & (z > BEYOND * high))
    return hot, _standing_out(-mean, -local, use & (z < low), ~use)


def _steps(values: np.ndarray) -> float:
    """Distance between values of a camera that counts (0 for one that does not), where few values are the most."""
    few = values[:: max(1, values.size // 20000)]
    levels, counts = np.unique(few, return_counts=True)
    return float(np.median(np.diff(levels))) if 1 < levels.size < 100 and counts.max() > 0.05 * few.size else 0.0


def _bounds(values: np.ndarray, steps: np.ndarray | None) -> tuple[float, float]:
    """Values beyond which chance brings a share ``CHANCE``: the exponentials through the quantiles of either side.

    Steps are spread evenly first (by a fixed sequence), as quantiles of whole numbers do not move smoothly.
    """
    if steps is not None and np.any(steps):
        values = values + steps * (np.modf(0.6180339887498949 * np.arange(values.size))[0] - 0.5)
    first, second = QUANTILES
    reach = np.log((1 - first) / CHANCE) / np.log((1 - first) / (1 - second))
    a, b, c, d = np.quantile(values, [1 - second, 1 - first, first, second])
    return float(b - reach * (b - a)), float(c + reach * (d - c))


def _standing_out(mean: np.ndarray, local: np.ndarray, candidates: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Candidates (y, x) bool that stand out over the second largest of their neighbours."""
    rows, columns = np.nonzero(candidates)
    found = np.zeros_like(candidates)
    if rows.size:
        padded = np.pad(mean, 1, mode="reflect")
        padded[np.pad(bad, 1, mode="reflect")] = -np.inf
        around = [padded[rows + y, columns + x] for y in range(3) for x in range(3) if (y, x) != (1, 1)]
        second = np.partition(np.array(around), -2, axis=0)[-2]
        base = local[rows, columns]
        found[rows, columns] = mean[rows, columns] - base > STANDS_OUT * np.maximum(second - base, 0)
    return found


def _stuck(frames: Sequence[Masked], use: np.ndarray) -> np.ndarray:
    """Pixels of one value in all n frames where chance hardly brings that. It is (max p)^(n − 1) at most for values of
    probabilities p; Σ p² is the share of pixels that are alike in two frames, and max p at most its root and, for
    distributions with one maximum like Poisson's, at most twice it."""
    same = use.copy()
    if len(frames) < 3:
        return np.zeros_like(use)
    share = 0.0
    for one, other in zip(frames, frames[1:]):
        both = one.usable & other.usable
        equal = one.values == other.values
        share = max(share, float((equal & both & use).sum() / max((both & use).sum(), 1)))
        same &= equal & both
    return same if min(2 * share, share**0.5) ** (len(frames) - 1) < STUCK_CHANCE else np.zeros_like(use)
