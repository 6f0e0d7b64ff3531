"""What the network says of each lattice site: the pixels that it owns, and their mean probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SHIFT_PM = 40.0
"""Largest distance of a column from its lattice place, for columns at least three times as far apart."""

SHIFT_SHARE = 0.3
"""The same over the distance of the nearest columns."""


@dataclass(frozen=True)
class Owned:
    """Pixels within the radius of the site nearest to them, in the order of the sites.

    site, pixel : row of the site and flat index of the pixel, of each. x, y : the pixel's centre relative to the site's
    place, pm. number : pixels of each site. sites : their number.
    """

    site: np.ndarray
    pixel: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sites: int

    @property
    def number(self) -> np.ndarray:
        return np.bincount(self.site, minlength=self.sites)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum over each site's pixels of values of these pixels."""
        return np.bincount(self.site, values, minlength=self.sites)


def owned_pixels(x: np.ndarray, y: np.ndarray, radius: np.ndarray, valid: np.ndarray, pixel_pm: float) -> Owned:
    """Valid pixels within the radius of the place nearest to them, all in pm; one as near to two counts for both.

    Places may lie outside of the frame, by the largest radius at most.
    """
    rows, columns = valid.shape
    largest = float(radius.max(initial=0.0))
    most = math.ceil(largest / pixel_pm) + 1
    # around each place a disc of pixels, on a map with a border of invalid pixels so wide that all discs fit
    border = 2 * most
    padded = np.zeros((rows + 2 * border, columns + 2 * border), dtype=bool)
    padded[border:-border, border:-border] = valid
    side = np.arange(-most, most + 1)
    near = np.hypot(side[:, None], side) * pixel_pm <= largest + pixel_pm
    up, right = (at[near].astype(np.int32) for at in np.meshgrid(side, side, indexing="ij"))
    i, j = np.floor(y / pixel_pm).astype(np.int32), np.floor(x / pixel_pm).astype(np.int32)
    dx = ((j + 0.5) * pixel_pm - x).astype(np.float32)[:, None] + (right * pixel_pm).astype(np.float32)
    dy = ((i + 0.5) * pixel_pm - y).astype(np.float32)[:, None] + (up * pixel_pm).astype(np.float32)
    square = (dx * dx + dy * dy).ravel()
    here = np.flatnonzero(square <= largest**2)
    far, site = square[here], here // len(up)
    pixel = ((i + border) * padded.shape[1] + j + border)[site] + (up * padded.shape[1] + right)[here - site * len(up)]
    nearest = np.full(padded.size, np.inf, dtype=np.float32)
    np.minimum.at(nearest, pixel, far)
    mine = padded.ravel()[pixel] & (far <= nearest[pixel]) & (far <= (radius**2).astype(np.float32)[site])
    here, site, pixel = here[mine], site[mine], pixel[mine]
    row, column = np.divmod(pixel, padded.shape[1])
    pixel = (row - border) * columns + column - border
    return Owned(site, pixel, dx.ravel()[here], dy.ravel()[here], len(x))


def pooled_probabilities(probabilities: np.ndarray, owned: Owned, number: np.ndarray) -> np.ndarray:
    """Mean probability vector (site, class) of each site's pixels; depth 0 for certain where there are none.

    The same as ``segdepth.evaluation.metrics.pool_columns``, whose columns are where they truly are.
    """
    flat = probabilities.reshape(len(probabilities), -1)
    first = np.flatnonzero(np.diff(owned.site, prepend=-1))
    pooled = np.zeros((owned.sites, len(flat)))
    if len(first):
        there = owned.site[first]
        pooled[there] = (np.add.reduceat(flat[:, owned.pixel], first, axis=1, dtype=np.float32) / number[there]).T
    pooled[number == 0, 0] = 1
    return pooled


def centroid_shift(weight: np.ndarray, owned: Owned, number: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Centroid x and y of the weights of each site's pixels, relative to that of the same pixels without weights:
    pixels owned are no disc. At most ``most`` long; 0 where there is no weight."""
    total = owned.total(weight)
    shifts = []
    for centres in (owned.x, owned.y):
        with np.errstate(divide="ignore", invalid="ignore"):
            shifts.append(owned.total(weight * centres) / total - owned.total(centres) / number)
    x, y = np.nan_to_num(shifts, posinf=0.0, neginf=0.0)
    less = np.minimum(1, most / np.maximum(np.hypot(x, y), 1e-9))
    return x * less, y * less
