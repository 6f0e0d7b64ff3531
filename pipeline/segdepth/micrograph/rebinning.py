"""From the input's pixels to the network's without spoiling the counts' statistics.

**Electron re-binning**, for integer counts: every electron gets a random place inside its pixel and falls, turned with
the frame, into one network pixel. Points of a Poisson process that are moved independently form Poisson
processes: network pixels are independent and their variance is their mean, exactly as ``Poisson(λc)`` in training.
Interpolation, or area weights at a ratio that is not whole, would smooth the noise and correlate neighbours. The
price is a blur by one input pixel.

**Area means**, for scaled or noise-free images, whose electrons cannot be told apart: each network pixel takes the mean
of the input over its area. The mean is kept; between neighbours the noise is correlated a little.
"""

from __future__ import annotations

import numpy as np

from segdepth.micrograph.geometry import FrameTransform

BATCH = 2**21
"""Electrons, cells or sample points worked on at a time, about."""

FEW = 4
"""Electrons of a cell up to which they are sent one by one."""

DEEPEST = 12
"""Halvings after which electrons are sent one by one however many they are."""


def _deposit(
    grid: np.ndarray, transform: FrameTransform, u: np.ndarray, v: np.ndarray, number: np.ndarray | None = None
) -> None:
    """Add electrons at (u, v), in network pixels, to the flat grid."""
    rows, columns = transform.grid_shape
    column = np.clip(np.floor(u).astype(np.int64), 0, columns - 1)
    row = np.clip(np.floor(v).astype(np.int64), 0, rows - 1)
    grid += np.bincount(row * columns + column, number, minlength=grid.size).astype(np.int64)


def _scatter(
    grid: np.ndarray,
    transform: FrameTransform,
    x: np.ndarray,
    y: np.ndarray,
    number: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Send the electrons of input pixels with centres (x, y), in input pixels, to the flat grid.

    A cell that lies in one network pixel adds all its electrons to it; one that does not is split into quarters, its
    electrons binomially, until few are left, which get a random place each. The outcome has exactly the distribution of
    a random place for every electron, at a cost that grows with the root of the counts.
    """
    scale = transform.pixel_pm / transform.grid_pixel_pm
    reach = sum(abs(part) for part in transform.turn) * scale * (1 - 1e-9)

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = transform.forward(x * transform.pixel_pm, y * transform.pixel_pm)
        return u / transform.grid_pixel_pm, v / transform.grid_pixel_pm

    half = 0.5
    for level in range(DEEPEST + 1):
        u, v = place(x, y)
        h = half * reach
        whole = (np.floor(u - h) == np.floor(u + h)) & (np.floor(v - h) == np.floor(v + h))
        _deposit(grid, transform, u[whole], v[whole], number[whole])
        few = ~whole & ((number <= FEW) | (level == DEEPEST))
        one = np.repeat(np.flatnonzero(few), number[few])
        offsets = (2 * rng.random((2, one.size)) - 1) * half
        _deposit(grid, transform, *place(x[one] + offsets[0], y[one] + offsets[1]))
        split = ~whole & ~few
        if not split.any():
            return
        x, y, number, half = x[split], y[split], number[split], half / 2
        low = rng.binomial(number, 0.5)
        quarters = []
        for side, share in ((-half, low), (half, number - low)):
            left = rng.binomial(share, 0.5)
            quarters += [(x - half, y + side, left), (x + half, y + side, share - left)]
        x, y, number = (np.concatenate(parts) for parts in zip(*quarters))
        kept = number > 0
        x, y, number = x[kept], y[kept], number[kept]


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
    step = max(1, BATCH // 8 // counts.shape[1])
    for top in range(0, counts.shape[0], step):
        i, j = np.nonzero(counts[top : top + step])
        _scatter(grid, transform, j + 0.5, i + top + 0.5, counts[top : top + step][i, j], rng)
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
