"""From the input's pixels to the network's without spoiling the counts' statistics.

**Electrons**, for whole counts: every electron has a random place inside its pixel and falls, mapped with the frame,
into one network pixel. Points of a Poisson process that are moved independently form Poisson processes: network pixels
are independent and their variance is their mean, exactly as ``Poisson(λc)`` in training. Interpolation, or area
weights at a ratio that is not whole, would smooth the noise and correlate neighbours. The price is a blur by one input
pixel.

**Means**, for scaled or noise-free images, whose electrons cannot be told apart: each network pixel takes the mean of
the input over its area. The mean is kept; between neighbours the noise is correlated a little.

Both come from the shares of an input pixel's area that lie in the network pixels it touches. They are computed once
for a film, exactly up to rounding. The map is affine, so an input pixel is a parallelogram, and the area of its part
with u < U and v < V is a sum of four closed forms, one for each corner. For electrons the shares are rounded to 1/1024
of a pixel, and the electrons of a pixel are dealt out by binomials: first how many fall elsewhere than into its
largest part, then how many of these elsewhere than into the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segdepth.micrograph.geometry import FrameTransform

BITS = 10
"""Binary digits of a share that electrons are dealt out by."""

LEAST_SHARE = 0.5**BITS
"""Parts smaller than half of this, of an input pixel and of a network pixel, are left to the other parts."""

COVERAGE_ERROR = 2e-3
"""What these small parts can change the coverage of a network pixel by."""

BLOCK = 2**17
"""Input pixels worked on at a time, about: what they need stays in the processor's cache."""

WORDS = (np.uint8, np.uint16, np.uint32, np.uint64)


@dataclass(frozen=True)
class _Part:
    """One part of the input pixels that have so many, larger parts first.

    cell : int32, the network pixel, counted from the block's first one.
    chosen : int32, which pixels of the part before this one is of (all have a first part).
    moved : float32, the share that goes on to this part, or beyond, of what the part before was given.
    planes : int8 (BITS, pixel), the binary digits of ``moved``, see ``_planes``.
    """

    cell: np.ndarray
    chosen: np.ndarray | None = None
    moved: np.ndarray | None = None
    planes: np.ndarray | None = None


@dataclass(frozen=True)
class _Block:
    """Input rows ``rows``; their network pixels are ``cells`` of the flat grid."""

    rows: slice
    cells: slice
    parts: tuple[_Part, ...]


class Rebinner:
    """The map from a film's pixels to the network's, built once and used on every frame."""

    def __init__(self, transform: FrameTransform) -> None:
        self.transform = transform
        height, width = transform.shape
        touched = max(1.0, (transform.pixel_pm / transform.grid_pixel_pm) ** 2)
        step = max(1, int(BLOCK / touched / width))
        self._blocks = [_block(transform, slice(top, min(top + step, height))) for top in range(0, height, step)]

    def electrons(self, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Electrons per network pixel, (row, column) whole float64; their number is conserved.

        Parameters
        ----------
        counts : (y, x) whole numbers >= 0 of the input, of any kind; 0 where masked.
        """
        return self._spread(counts, lambda number, part: _binomial(number, part, rng))

    def means(self, values: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the usable input over each network pixel, and ``coverage(usable)``, both (row, column) float64.

        Parameters
        ----------
        values : (y, x). usable : (y, x) bool.

        Returns
        -------
        mean : in the units of ``values``, 0 where nothing is covered.
        """
        coverage = self.coverage(usable)
        return self.means_over(values * usable, coverage), coverage

    def means_over(self, values: np.ndarray, coverage: np.ndarray) -> np.ndarray:
        """As ``means``, of values that are 0 where not usable, with the coverage that is known already."""
        total = self._spread(values, lambda value, part: value * part.moved)
        return np.where(coverage > 0, total / np.maximum(coverage * self.transform.pixels_per_grid_pixel, 1e-12), 0)

    def coverage(self, usable: np.ndarray) -> np.ndarray:
        """Share of each network pixel's area that usable input covers, (row, column) float64; exactly 1 inside.

        Parameters
        ----------
        usable : (y, x) bool.
        """
        covered = self._spread(usable.astype(float), lambda value, part: value * part.moved)
        share = covered / self.transform.pixels_per_grid_pixel
        share[share < COVERAGE_ERROR] = 0
        share[share > 1 - COVERAGE_ERROR] = 1
        return share

    def _spread(self, values: np.ndarray, split: Callable[[np.ndarray, _Part], np.ndarray]) -> np.ndarray:
        """The sum over the input pixels' parts; ``split`` says what of a pixel goes on beyond a part."""
        if values.shape != self.transform.shape:
            raise ValueError(f"values have shape {values.shape}, the transform is for {self.transform.shape}")
        rows, columns = self.transform.grid_shape
        grid = np.zeros(rows * columns)
        for block in self._blocks:
            left = values[block.rows].reshape(-1).astype(np.float64)
            part = block.parts[0]
            for following in (*block.parts[1:], None):
                moved = None
                if following is not None:
                    moved = split(left[following.chosen], following)
                    left[following.chosen] -= moved
                found = np.bincount(part.cell, left)
                grid[block.cells.start : block.cells.start + found.size] += found
                part, left = following, moved
        return grid.reshape(rows, columns)


def _binomial(number: np.ndarray, part: _Part, rng: np.random.Generator) -> np.ndarray:
    """How many of so many electrons move on, each with probability ``moved``.

    A word has a random bit for each electron, 1 with that probability: from fair bits, by one step for each binary
    digit of the probability (1 with p/2 by ``and``, with (1 + p)/2 by ``or``). What does not fit into a word is drawn
    by NumPy.
    """
    if not number.size:
        return number
    mean = number.mean()
    wanted = mean + 3 * np.sqrt(mean)
    moved = np.zeros(number.size)
    rest = number
    if wanted <= 64:
        word = next(kind for kind in WORDS if wanted <= 8 * np.dtype(kind).itemsize)
        size = 8 * np.dtype(word).itemsize
        fits = np.minimum(number, size)
        bits = _biased_bits(part.planes, word, rng)
        bits &= (word(1) << fits.astype(word)) - word(1)  # NumPy shifts all bits out where all are wanted
        moved += np.bitwise_count(bits)
        rest = number - fits
    many = np.flatnonzero(rest)
    if many.size:
        moved[many] += rng.binomial(rest[many].astype(np.int64), part.moved[many])
    return moved


def _biased_bits(planes: np.ndarray, word: type, rng: np.random.Generator) -> np.ndarray:
    """A word for each pixel whose bits are 1 with the probability that the planes say."""
    signed = np.dtype(word).name[1:]  # sign extension makes 0 or all ones of a plane's 0 or -1
    length = -(-planes.shape[1] * np.dtype(word).itemsize // 8)
    bits = np.zeros(planes.shape[1], word)
    for plane in planes:
        fair = rng.integers(0, 2**64 - 1, length, np.uint64, endpoint=True).view(word)[: bits.size]
        either = (bits ^ fair) & plane.astype(signed).view(word)
        bits &= fair
        bits |= either
    return bits


# --- shares of area -------------------------------------------------------------------------------------------------


def _block(transform: FrameTransform, rows: slice) -> _Block:
    """The parts of the input pixels of some rows."""
    shares, cells = _shares(transform, rows)
    order = np.argsort(-shares, axis=0, kind="stable")
    shares, cells = np.take_along_axis(shares, order, 0), np.take_along_axis(cells, order, 0)
    shares[shares < LEAST_SHARE / 2 * min(1, transform.pixels_per_grid_pixel)] = 0
    used = cells[shares > 0]
    first, last = int(used.min()), int(used.max())
    beyond = shares[::-1].cumsum(axis=0)[::-1]  # of this part and of those that follow
    pixels = np.arange(shares.shape[1])
    parts = [_Part((cells[0] - first).astype(np.int32))]
    for number in range(1, len(shares)):
        chosen = np.flatnonzero(shares[number, pixels] > 0)
        if not chosen.size:
            break
        pixels = pixels[chosen]
        moved = beyond[number, pixels] / beyond[number - 1, pixels]
        cell = (cells[number, pixels] - first).astype(np.int32)
        parts.append(_Part(cell, chosen.astype(np.int32), moved.astype(np.float32), _planes(moved)))
    return _Block(rows, slice(first, last + 1), tuple(parts))


def _planes(moved: np.ndarray) -> np.ndarray:
    """Binary digits of a share, the last one first: int8 (BITS, pixel), 0 or -1."""
    digits = np.clip(np.rint(moved * 2**BITS), 1, 2**BITS - 1).astype(np.int16)
    return np.stack([-(digits >> place & 1) for place in range(BITS)]).astype(np.int8)


def _shares(transform: FrameTransform, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the area of input pixels in the network pixels around, and these' flat numbers, (part, pixel)."""
    (grid_rows, grid_columns), width = transform.grid_shape, transform.shape[1]
    first, second = _edges(transform)
    extent = np.abs(first) + np.abs(second)
    y, x = np.divmod(np.arange(rows.start * width, rows.stop * width), width)
    centre = transform.forward((x + 0.5) * transform.pixel_pm, (y + 0.5) * transform.pixel_pm)
    base, inside, number = [], [], []
    for axis in (0, 1):
        lowest = centre[axis] / transform.grid_pixel_pm - extent[axis] / 2
        base.append(np.floor(lowest + 1e-9))
        inside.append(lowest - base[axis])
        number.append(int(np.ceil(extent[axis] - 1e-6)) + 1)
    corner = [(extent[axis] - first[axis] - second[axis]) / 2 for axis in (0, 1)]  # of the cone, in the bounding box
    below = np.zeros((number[1] + 1, number[0] + 1, x.size))
    for j in range(1, number[1] + 1):
        for i in range(1, number[0] + 1):
            u, v = (
                (extent[axis] if place == number[axis] else place - inside[axis]) - corner[axis]
                for axis, place in ((0, i), (1, j))
            )
            below[j, i] = _area_below(u, v, first, second)
    shares = np.diff(np.diff(below, axis=0), axis=1).reshape(-1, x.size)
    row = np.clip(base[1] + np.arange(number[1])[:, None], 0, grid_rows - 1)
    column = np.clip(base[0] + np.arange(number[0])[:, None], 0, grid_columns - 1)
    cells = (row[:, None] * grid_columns + column).reshape(-1, x.size).astype(np.int64)
    return shares / abs(first[0] * second[1] - first[1] * second[0]), cells


def _edges(transform: FrameTransform) -> np.ndarray:
    """The two edges (u, v) of an input pixel in network pixels, upwards, the one further right first."""
    edges = transform.matrix.T * (transform.pixel_pm / transform.grid_pixel_pm)
    for edge in edges:
        if abs(edge[1]) < 1e-9 * abs(edge[0]):
            edge[1] = 0
        if edge[1] < 0 or (edge[1] == 0 and edge[0] < 0):
            edge *= -1
    return edges if edges[0, 0] * edges[1, 1] > edges[0, 1] * edges[1, 0] else edges[::-1]


def _area_below(u: np.ndarray, v: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area of a parallelogram with its lowest corner at the origin, left of u and below v.

    The parallelogram is what four cones with these edges, at its corners, leave of each other; the area of a cone left
    of u and below v is an integral over the height, from its left edge to its right one, both cut at u.
    """
    total = 0.0
    for sign, corner in ((1, (0, 0)), (-1, first), (-1, second), (1, first + second)):
        right, height = u - corner[0], np.maximum(v - corner[1], 0)
        total = total + sign * (_right_of(second, right, height) - _right_of(first, right, height))
    return total


def _right_of(edge: np.ndarray, u: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Area right of the ray from the origin along ``edge``, left of u, and at heights from 0 to ``height``."""
    if edge[1] == 0:
        return np.zeros(np.broadcast(u, height).shape)
    slope = edge[0] / edge[1]
    if abs(slope) < 1e-9:
        return np.maximum(u, 0) * height
    return (np.maximum(u, 0) ** 2 - np.maximum(u - slope * height, 0) ** 2) / (2 * slope)
