"""From the input's pixels to the network's without spoiling the counts' statistics. Knows nothing of vacuum levels.

**Electron re-binning**, for integer counts: every electron gets a random place inside its pixel and falls, turned with
the frame, into one network pixel. Sending the points of a Poisson process each on its own way leaves Poisson
processes: network pixels are independent and their variance is their mean, exactly as ``Poisson(λc)`` in training.
Interpolation, or area weights at a ratio that is not whole, would smooth the noise and correlate neighbours. The
price is a blur by one input pixel.

**Area means**, for scaled or noise-free images, whose electrons cannot be told apart: each network pixel takes the mean
of the input over its area. The mean is kept; between neighbours the noise is correlated a little.
"""

from __future__ import annotations

import numpy as np

from segdepth.inference.geometry import FrameTransform

BATCH = 2**21
"""Electrons (or sample points) worked on at a time."""

SUBPIXELS = 8
MANY = 64
"""Above this mean count per pixel, electrons are sent in groups from 8 × 8 random subpixels instead of one by one."""


def _deposit(
    grid: np.ndarray, transform: FrameTransform, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> None:
    """Add points (in input pixels) to the flat network grid."""
    rows, columns = transform.grid_shape
    u, v = transform.forward(x * transform.pixel_pm, y * transform.pixel_pm)
    column = np.clip(np.floor(u / transform.grid_pixel_pm).astype(np.int64), 0, columns - 1)
    row = np.clip(np.floor(v / transform.grid_pixel_pm).astype(np.int64), 0, rows - 1)
    grid += np.bincount(row * columns + column, weights, minlength=grid.size).astype(np.int64)


def _split(counts: np.ndarray, parts: int, rng: np.random.Generator):
    """Binomial shares of the counts in ``parts`` equal parts, one after the other."""
    left = counts
    for rest in range(parts, 1, -1):
        share = rng.binomial(left, 1 / rest)
        left = left - share
        yield share
    yield left


def rebin_electrons(counts: np.ndarray, transform: FrameTransform, rng: np.random.Generator) -> np.ndarray:
    """Electrons per network pixel, int64 (row, column); their number is conserved.

    Parameters
    ----------
    counts : (y, x) whole numbers >= 0 of the input; 0 where masked.
    """
    counts = np.asarray(counts).astype(np.int64)
    if counts.shape != transform.shape:
        raise ValueError(f"counts have shape {counts.shape}, the transform is for {transform.shape}")
    grid = np.zeros(int(np.prod(transform.grid_shape)), dtype=np.int64)
    if counts.mean() > MANY:
        y, x = np.indices(counts.shape).reshape(2, -1)
        for part, share in enumerate(_split(counts.ravel(), SUBPIXELS**2, rng)):
            i, j = divmod(part, SUBPIXELS)
            _deposit(grid, transform, x + (j + 0.5) / SUBPIXELS, y + (i + 0.5) / SUBPIXELS, share)
    else:
        ends = np.cumsum(counts.sum(axis=1))
        start = 0
        while start < len(ends):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + BATCH, side="right")))
            pixel = np.repeat(np.arange(start * counts.shape[1], stop * counts.shape[1]), counts[start:stop].ravel())
            y, x = np.divmod(pixel, counts.shape[1])
            _deposit(grid, transform, x + rng.random(x.size), y + rng.random(y.size), None)
            start = stop
    return grid.reshape(transform.grid_shape)


def area_means(values: np.ndarray, usable: np.ndarray, transform: FrameTransform) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the usable input over each network pixel, and its coverage, both (row, column) float64.

    Parameters
    ----------
    values : (y, x). usable : (y, x) bool.

    Returns
    -------
    mean : in the units of ``values``, 0 where nothing is covered.
    coverage : share of the network pixel's area that usable input covers, from a lattice of sample points
        (at least 4 × 4, two an input pixel, at most 16 × 16); exactly 1 inside.
    """
    points = int(np.clip(np.ceil(2 * transform.grid_pixel_pm / transform.pixel_pm), 4, 16))
    (rows, columns), (height, width) = transform.grid_shape, transform.shape
    total, hits = np.zeros((rows, columns)), np.zeros((rows, columns))
    offsets = (np.arange(points) + 0.5) / points
    step = max(1, BATCH // columns)
    for top in range(0, rows, step):
        part = slice(top, min(top + step, rows))
        for dy in offsets:
            v = (np.arange(part.start, part.stop)[:, None] + dy) * transform.grid_pixel_pm
            for dx in offsets:
                u = (np.arange(columns)[None, :] + dx) * transform.grid_pixel_pm
                x, y = transform.inverse(u, v)
                j, i = np.broadcast_arrays(
                    np.floor(x / transform.pixel_pm).astype(np.int64), np.floor(y / transform.pixel_pm).astype(np.int64)
                )
                inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
                i, j = np.where(inside, i, 0), np.where(inside, j, 0)
                inside &= usable[i, j]
                hits[part] += inside
                total[part] += np.where(inside, values[i, j], 0.0)
    return total / np.maximum(hits, 1), hits / points**2
