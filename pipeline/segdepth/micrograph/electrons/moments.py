"""Mean, variance and third moment of the vacuum of a few frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdepth.micrograph.electrons.masks import Masked

PARTS = 16
"""Parts that the error of the third moment is taken from."""

OUTLIER = 15.0
"""Mean deviations from the mean beyond which a pixel is left out: one of 10⁵ such would make the third moment."""

LEAST_REACH, LARGEST_REACH = 3, 12
LEAST_CORRELATION = 0.03
"""Pixels apart, and the correlation, up to which shared noise is summed; kernels of interpolation change sign within
the first."""


@dataclass(frozen=True)
class Moments:
    """values : (n,) less slope and curvature. mean, variance : of them. gain, gain_error : third moment over variance.
    shared_variance : per pixel of a sum over many pixels, the variance times the sum of all correlations;
    shared_error : relative error of it."""

    values: np.ndarray
    mean: float
    variance: float
    gain: float
    gain_error: float
    shared_variance: float
    shared_error: float


def vacuum_moments(frames: Sequence[tuple[Masked, np.ndarray]], correlated: bool = False) -> Moments | None:
    """Moments over frames and their areas (y, x) bool, each about its own mean and its own slope and curvature, so that
    frames of other brightness and uneven light do no harm; None without frames. ``correlated``: sum correlations."""
    if not frames:
        return None
    means, rests = zip(*(_residuals(frame.values, area) for frame, area in frames))
    kept = [area.copy() for _, area in frames]
    for _ in range(2):
        for rest, area in zip(rests, kept):
            area &= np.abs(rest) <= OUTLIER * np.mean(np.abs(rest[area]))
    rest = np.concatenate([r[a] for r, a in zip(rests, kept)]).astype(np.float64)
    middle = float(rest.mean())
    mean = float(np.average(means, weights=[a.sum() for a in kept])) + middle
    second, third = (rest - middle) ** 2, (rest - middle) ** 3
    variance = float(second.mean())
    gain, error = _third_over_second(second, third)
    shared, shared_error = (variance, np.sqrt(2 / rest.size)) if not correlated else _shared_variance(rests, kept)
    return Moments(rest + mean - middle, mean, variance, gain, error, float(shared), float(shared_error))


def crystal_moments(frames: Sequence[Masked]) -> Moments | None:
    """Moments of the noise where there is no vacuum: of each pixel less the mean of its four neighbours, which leaves
    little of a lattice if its fringes cover many pixels. The sums over pixels of other means keep Poisson's relations
    (all are the mean); None without pixels."""
    values, rests = [], []
    for frame in frames:
        v, use = frame.values.astype(np.float64), frame.usable
        inner = (np.s_[1:-1, 1:-1], np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:])
        if min(v.shape) < 3:
            continue
        whole = np.all([use[part] for part in inner], axis=0)
        off = v[inner[0]] - np.mean([v[part] for part in inner[1:]], axis=0)
        rests.append(off[whole])
        values.append(v[inner[0]][whole])
    if sum(r.size for r in rests) < 20 * PARTS:
        return None
    rest, value = np.concatenate(rests), np.concatenate(values)
    second, third = rest**2 / 1.25, rest**3 / 0.9375  # Σ w² and Σ w³ of the weights 1, −1/4 (four times)
    gain, error = _third_over_second(second, third)
    return Moments(value, float(value.mean()), float(second.mean()), gain, error, float(second.mean()), np.nan)


def _third_over_second(second: np.ndarray, third: np.ndarray) -> tuple[float, float]:
    """Ratio of two sums, and its error from the scatter of parts."""
    variance = float(second.mean())
    if not variance > 0:
        return 0.0, np.inf
    gain = float(third.mean() / variance)
    parts = zip(np.array_split(second, PARTS), np.array_split(third, PARTS))
    scatter = np.std([(t.mean() - gain * s.mean()) / variance for s, t in parts], ddof=1)
    return gain, float(scatter / np.sqrt(PARTS))


def _residuals(values: np.ndarray, area: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean in the area, and values (y, x) less the quadratic polynomial that fits them there, 0 elsewhere."""
    rows, columns = np.nonzero(area)
    y, x = (2 * at / max(n - 1, 1) - 1 for at, n in zip((rows, columns), values.shape))
    basis = np.stack([np.ones(y.size), y, x, y * y, x * y, x * x])
    inside = values[area].astype(np.float64)
    fit = np.linalg.lstsq(basis @ basis.T, basis @ inside, rcond=1e-10)[0]
    rest = np.zeros(values.shape)
    rest[area] = inside - fit @ basis
    return float(inside.mean()), rest


def _shared_variance(rests: Sequence[np.ndarray], areas: Sequence[np.ndarray]) -> tuple[float, float]:
    """Variance times the sum of the correlations at all lags as far as there are any, and its relative error."""

    def at(y: int, x: int) -> float:
        total = pairs = 0.0
        for rest, area in zip(rests, areas):
            off = rest * area
            one = np.s_[: off.shape[0] - y, max(-x, 0) : off.shape[1] - max(x, 0)]
            other = np.s_[y:, max(x, 0) : off.shape[1] + min(x, 0)]
            total += float(np.vdot(off[one], off[other]))
            pairs += float((area[one] & area[other]).sum())
        return total / pairs if pairs else 0.0

    variance = at(0, 0)
    reach = LEAST_REACH
    while reach < LARGEST_REACH and max(abs(at(0, reach)), abs(at(reach, 0))) > LEAST_CORRELATION * variance:
        reach += 1
    lags = [(y, x) for y in range(reach + 1) for x in range(-reach, reach + 1) if (y, x) > (0, 0)]
    shared = variance + 2 * sum(at(y, x) for y, x in lags)
    number = sum(int(area.sum()) for area in areas)
    return shared, float(np.sqrt(2 * (2 * reach + 1) ** 2 / max(number, 1)))
