"""The narrow spots of a frame's power spectrum, against the frame's own noise.

The frame, less its local mean, is multiplied by a Hann window and padded to twice its sides. The noise is the median of
the power in rings of equal spatial frequency, over ln 2 (the power of noise is exponentially distributed), so that a
camera's transfer, coloured noise and the rings of amorphous material are part of it. A spot must also stand above the
power along the ray from the origin through it: the fringes along an edge make streaks, not spots. Frequencies are
(x, y) in waves a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft, ndimage

FALSE_ALARM = 1e-3
"""Probability that a frame of noise shows any spot that counts as ``sure``."""

LEAST_RATIO = 9.0
"""Power over noise of a spot that supports a lattice but does not show one by itself."""

PLACES_SHARE = 1 / 150
"""Share of all Fourier pixels that lie near a place where a candidate lattice may have a spot, all candidates together,
about."""

LEAST_WAVES = 4.0
"""Waves across the shorter side: slower ones are no fringes."""

MOST_SPOTS = 60
RING = 3
"""Width in padded Fourier pixels of the rings in which the noise is measured."""

SMOOTH_SHARE = 16
"""The shorter side over the width of the Gaussian that takes the local mean."""

LEAST_NOISE = 1e-6
"""Noise of a ring over the strongest ring's, at least: what a filter has left less of is rounding and borders."""

MOST_NOISE = 12.0
"""Power over noise beyond which it is a spot's."""

LOBE = 7
"""Padded Fourier pixels around a spot that belong to it."""


@dataclass(frozen=True)
class Spots:
    """frequency : (spot, 2) x and y in waves a pixel, in the half plane x >= 0. ratio : power over noise, the strongest
    first. sure : the ratio that noise reaches in one frame of a thousand. likely : the same at the few places where a
    lattice of which one spot is sure has its others. variance : of the noise of a pixel. resolution : one wave across
    the shorter side, in waves a pixel."""

    frequency: np.ndarray
    ratio: np.ndarray
    sure: float
    likely: float
    variance: float
    resolution: float

    def __len__(self) -> int:
        return len(self.ratio)

    def coarser(self, factor: int) -> Spots:
        """The same spots for means of ``factor`` × ``factor`` pixels."""
        return replace(
            self,
            frequency=self.frequency * factor,
            variance=self.variance / factor**2,
            resolution=self.resolution * factor,
        )


def local_mean(values: np.ndarray, usable: np.ndarray, width: float) -> np.ndarray:
    """Gaussian-weighted mean of the usable pixels (y, x); ``width`` in pixels."""
    weight = ndimage.gaussian_filter(usable.astype(np.float32), width, mode="constant", truncate=3)
    total = ndimage.gaussian_filter(np.where(usable, values, 0).astype(np.float32), width, mode="constant", truncate=3)
    return total / np.maximum(weight, 1e-6)


def find_spots(frames: Sequence[tuple[np.ndarray, np.ndarray]]) -> Spots:
    """Spots of the mean power spectrum of one or several frames of one shape.

    Parameters
    ----------
    frames : (values, usable), both (y, x).
    """
    power = sum(_power(*frame) for frame in frames) / len(frames)
    rows, columns = power.shape
    shape = frames[0][0].shape
    noise = _ring_noise(power, columns)
    step = (1 / (2 * (columns - 1)), 1 / rows)
    fy, fx = fft.fftfreq(rows)[:, None], np.arange(columns)[None, :] * step[0]
    radius = np.hypot(fx, fy)
    number = _independent(power[radius > 0.35] / noise[radius > 0.35], len(frames))
    noise *= np.log(2) / _tail(number, 0.5)  # the median of a mean of spectra is nearer to their mean
    noise = np.maximum(noise, LEAST_NOISE * noise.max())
    ratio = power / noise
    allowed = (radius > LEAST_WAVES / min(shape)) & (radius < 0.48)
    highest = ratio == ndimage.maximum_filter(ratio, (LOBE, LOBE), mode="wrap")
    # averaging n spectra narrows the noise's distribution: the tail of a gamma variable, by its own quantile
    cells = max(1, int(allowed.sum()) // 4)
    sure, likely = (_tail(number, FALSE_ALARM / places) for places in (cells, max(1.0, cells * PLACES_SHARE)))
    least = max(1.0, _tail(number, np.exp(-LEAST_RATIO)))
    row, column = np.nonzero(highest & allowed & (ratio > least))
    order = np.argsort(-ratio[row, column])[: 4 * MOST_SPOTS]
    row, column = row[order], column[order]
    kept = _stands_out(power, row, column, sure)
    row, column = row[kept][:MOST_SPOTS], column[kept][:MOST_SPOTS]
    offset = np.array([_vertex(ratio, i, j) for i, j in zip(row, column)]).reshape(-1, 2)
    place = np.stack([(column + offset[:, 1]) * step[0], fft.fftfreq(rows)[row] + offset[:, 0] * step[1]], axis=1)
    window = np.outer(*(_hann(side) for side in shape))
    variance = float(np.median(noise[radius > 0.35])) / float((window**2).sum())
    return Spots(place, ratio[row, column], sure, likely, variance, 1 / min(shape))


def _power(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    rows, columns = values.shape
    off = np.where(usable, values - local_mean(values, usable, min(rows, columns) / SMOOTH_SHARE), 0)
    window = np.outer(_hann(rows), _hann(columns)).astype(np.float32)
    sides = [2 * fft.next_fast_len(side, real=True) for side in (rows, columns)]
    return np.abs(fft.rfft2((off * window).astype(np.float32), sides)) ** 2 + 1e-30


def _hann(side: int) -> np.ndarray:
    return np.hanning(side + 2)[1:-1]


def _ring_noise(power: np.ndarray, columns: int) -> np.ndarray:
    """The noise's mean power at every frequency of a half spectrum."""
    rows = power.shape[0]
    # rings of a spectrum whose two sides differ: in units of the finer one
    scale = rows / (2 * (columns - 1))
    fy = np.abs(fft.fftfreq(rows, 1 / rows))
    radius = np.hypot(fy[:, None], np.arange(columns)[None, :] * scale)
    ring = (radius / RING).astype(int)
    few = np.s_[::2, ::2] if power.size > 2**18 else np.s_[:, :]
    ring_few, power_few = ring[few].ravel(), power[few].ravel()
    order = np.lexsort((power_few, ring_few))
    number = np.bincount(ring_few, minlength=ring.max() + 1)
    first = np.concatenate([[0], np.cumsum(number)[:-1]])
    middle = np.minimum(first + number // 2, len(order) - 1)
    median = power_few[order][middle]
    median = np.where(number > 0, median, np.median(power_few))
    return ndimage.median_filter(median, 5, mode="nearest")[ring] / np.log(2)


def _independent(ratio: np.ndarray, frames: int) -> float:
    """How many independent spectra a mean of ``frames`` is worth, from its spread: frames may share electrons or be
    repeated."""
    kept = np.minimum(ratio, MOST_NOISE)
    return float(np.clip(kept.mean() ** 2 / max(float(kept.var()), 1e-12), 1, frames))


def _tail(frames: float, probability: float) -> float:
    """Mean of ``frames`` unit exponential variables that is exceeded with a probability."""
    from scipy.special import gammainccinv

    return float(gammainccinv(frames, probability) / frames)


def _stands_out(power: np.ndarray, row: np.ndarray, column: np.ndarray, sure: float) -> np.ndarray:
    """Spots that are higher than their ray, and not a side lobe of a stronger one."""
    rows, columns = power.shape
    y = np.where(row < rows / 2, row, row - rows).astype(float)
    x = column.astype(float)
    length = np.maximum(np.hypot(x, y), 1)
    steps = np.concatenate([np.arange(-16, -5), np.arange(6, 17)])
    ray_x, ray_y = (x / length)[:, None] * steps + x[:, None], (y / length)[:, None] * steps + y[:, None]
    mirrored = ray_x < 0
    ray_x, ray_y = np.where(mirrored, -ray_x, ray_x), np.where(mirrored, -ray_y, ray_y)
    i = np.rint(ray_y).astype(int) % rows
    j = np.clip(np.rint(ray_x).astype(int), 0, columns - 1)
    height = power[row, column]
    above = height > 4 * np.median(power[i, j], axis=1)
    kept = np.zeros(len(row), dtype=bool)
    for k in range(len(row)):
        near = kept & (np.hypot(x - x[k], y - y[k]) < 3 * LOBE)
        kept[k] = above[k] and not (near & (height * 0.04 > height[k])).any()
    return kept


def _vertex(ratio: np.ndarray, i: int, j: int) -> tuple[float, float]:
    """Offset (row, column) of a parabola's vertex through the logarithms beside a maximum."""
    rows, columns = ratio.shape
    middle = np.log(ratio[i, j])
    found = []
    for low, high in (
        (ratio[i - 1, j], ratio[(i + 1) % rows, j]),
        (ratio[i, abs(j - 1)], ratio[i, min(j + 1, columns - 1)]),
    ):
        curve = np.log(low) + np.log(high) - 2 * middle
        found.append(float(np.clip(0.5 * (np.log(low) - np.log(high)) / curve, -1, 1)) if curve < 0 else 0.0)
    return found[0], found[1]
