"""Fourier components of a crystal in many small windows, so that slow changes of thickness and lattice do no harm.

A window is a Hann bell in x and in y. It is so wide that the mean and neighbouring reflections do not leak into each
other, and windows overlap by two thirds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segdepth.crystals import Crystal

Order = tuple[int, int]

PERIODS = (1.5, 2.1)
"""Width of a window in longest and in shortest periods, whichever is wider."""

OVERLAP = 3


def half_of(order: Order) -> Order:
    """The order itself or its opposite: one of the two."""
    return max(order, (-order[0], -order[1]))


def reflection_orders(crystal: Crystal) -> tuple[Order, ...]:
    """Orders (h, k) of the crystal's reflections, one of each two opposite ones."""
    return tuple(dict.fromkeys(half_of(reflection.order) for reflection in crystal.reflections))


def finer_orders(crystal: Crystal) -> tuple[Order, ...]:
    """Sums and differences of two reflections that are no reflections of the list themselves."""
    known = reflection_orders(crystal)
    pairs = [(a, b) for i, a in enumerate(known) for b in known[i + 1 :]]
    both = [half_of((a[0] + s * b[0], a[1] + s * b[1])) for a, b in pairs for s in (1, -1)]
    return tuple(order for order in dict.fromkeys(both) if order not in known)


@dataclass(frozen=True)
class Windows:
    """Windows on a grid (row, column).

    rows, columns : bells (window, pixel), each of sum 1. row_waves : bells times cos and sin of each order k from 0,
    (2, k, window, row). column_waves : bells times exp(-2 pi i h x), (h, window, column). step_pm : from a window to
    the next.
    """

    rows: np.ndarray
    columns: np.ndarray
    row_waves: np.ndarray
    column_waves: np.ndarray
    step_pm: float

    def means(self, values: np.ndarray) -> np.ndarray:
        """Weighted means (window along y, window along x) of values (row, column)."""
        return self.rows @ values @ self.columns.T

    def noise(self, variance: np.ndarray) -> np.ndarray:
        """Variance of the means of values with this variance (row, column), independent of each other."""
        return self.rows**2 @ variance @ (self.columns**2).T

    def components(self, values: np.ndarray, orders: Sequence[Order]) -> np.ndarray:
        """Complex Fourier components (order, window along y, window along x) of values (row, column)."""
        cos, sin = self.row_waves @ values
        found = []
        for h, k in orders:
            along_y = cos[abs(k)] - (1j if k >= 0 else -1j) * sin[abs(k)]
            waves = self.column_waves[abs(h)]
            found.append(along_y @ (waves if h >= 0 else waves.conj()).T)
        return np.stack(found)


@lru_cache(maxsize=4)
def make_windows(
    shape: tuple[int, int], pixel_pm: float, periods_pm: tuple[float, float], most: tuple[int, int]
) -> Windows | None:
    """Windows on a grid of ``shape`` (row, column) for a cell (x, y); None where it holds not a single one.

    most : highest orders along x and y.
    """
    width = max(PERIODS[0] * max(periods_pm), PERIODS[1] * min(periods_pm)) / pixel_pm
    if min(shape) < width:
        return None
    rows, columns = (_bells(pixels, width) for pixels in shape)
    along_x, along_y = (
        2 * np.pi * np.arange(top + 1)[:, None] * (np.arange(pixels) + 0.5) * pixel_pm / period
        for top, pixels, period in zip(most, reversed(shape), periods_pm)
    )
    row_waves = np.stack([np.cos(along_y), np.sin(along_y)])[:, :, None] * rows
    column_waves = np.exp(-1j * along_x)[:, None] * columns
    step_pm = width / OVERLAP * pixel_pm
    return Windows(rows, columns, row_waves.astype(np.float32), column_waves.astype(np.complex64), step_pm)


def _bells(pixels: int, width: float) -> np.ndarray:
    """Hann bells (window, pixel) float32 that lie within the pixels, in their middle."""
    step = width / OVERLAP
    count = math.floor((pixels - width) / step) + 1
    centres = (pixels - (count - 1) * step) / 2 + np.arange(count) * step
    off = (np.arange(pixels) + 0.5 - centres[:, None]) / width
    bells = np.where(np.abs(off) < 0.5, np.cos(np.pi * off) ** 2, 0.0)
    return (bells / bells.sum(axis=1, keepdims=True)).astype(np.float32)
