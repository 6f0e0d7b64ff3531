"""From counts to the network's input: the crystal upright, vacuum at large rows and equal to 1, the network's pixel.

Pixels that usable input covers by less than half are filled, to avoid artificial edges, and marked invalid:
outside of the turned frame with the input mirrored at its border (crystal continues as crystal, vacuum as vacuum, noise
as noise); under a mask with a Poisson draw about the local mean (Gaussian-weighted over 300 pm). Pixels that are
covered in part are divided by their coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from segdepth.config import PAPER_PIXEL_PM
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.rebinning import Rebinner

LEAST_COVERAGE = 0.5
FILL_WIDTH_PM = 300.0
FILL_STEPS = 4
"""Blocks of pixels a fill width, on which the local mean is computed."""

NOISE_STREAM = 0x5E6DE
"""First word of the seed of the electrons' places; the second is the frame's number."""


@dataclass(frozen=True)
class Prepared:
    """One preprocessed frame.

    image : float32 (row, column), vacuum = 1. counts : float32 (row, column), electrons, as they fell: fewer where
    ``coverage`` is below 1, of no meaning where not valid. valid : bool (row, column), False where filled.
    transform : from the input's pixels to these. electrons_per_pixel : vacuum level of a network pixel.
    coverage : float32 (row, column), share of the pixel's area that usable input covers.
    """

    image: np.ndarray
    counts: np.ndarray
    valid: np.ndarray
    transform: FrameTransform
    electrons_per_pixel: float
    coverage: np.ndarray


def dose_lambda_of(level: float, pixel_pm: float) -> float:
    """Vacuum counts per input pixel as λ, electrons per pixel of the paper (5.28 pm)."""
    return level * (PAPER_PIXEL_PM / pixel_pm) ** 2


class Preparation:
    """Frames of one geometry on the network's grid: what depends on the geometry alone is computed once.

    Parameters
    ----------
    transform : from the input's pixels to the network's.
    usable : (y, x) bool, the mask of a frame that has none of its own; None: every pixel is usable.
    whole : the frames are whole electrons: each is sent to a network pixel of its own; else area means are taken.
    """

    def __init__(self, transform: FrameTransform, usable: np.ndarray | None = None, *, whole: bool) -> None:
        self.transform, self.whole = transform, whole
        self.rebinner = Rebinner(transform)
        self._outside, self._source = _mirrored(transform)
        self._usable = np.ones(transform.shape, bool) if usable is None else np.array(usable, bool)
        self._area = self._area_of(self._usable)

    def frame(self, values: np.ndarray, level: float, number: int = 0, usable: np.ndarray | None = None) -> Prepared:
        """One frame on the network's grid.

        Parameters
        ----------
        values : (y, x) electrons, 0 where masked.
        level : electrons per input pixel in vacuum.
        number : of the frame; seeds the electrons' places, so that a run can be repeated bit for bit.
        usable : (y, x) bool, where this frame's mask is another than the film's.
        """
        area = self._area
        if usable is not None and not np.array_equal(usable, self._usable):
            area = self._area_of(usable)
        rng = np.random.default_rng([NOISE_STREAM, number])
        pixels = self.transform.pixels_per_grid_pixel
        if self.whole:
            counts = self.rebinner.electrons(values, rng)
            image = counts * area.scale / (level * pixels)
        else:
            mean = self.rebinner.means_over(values, area.coverage)
            counts, image = mean * area.coverage * pixels, mean / level
        flat = image.reshape(-1)
        if area.drawn.size:
            local = area.local_mean(image)
            flat[area.drawn] = rng.poisson(local * (level * pixels)) / (level * pixels) if self.whole else local
        flat[area.mirrored] = flat[area.source]
        kinds = (grid.astype(np.float32) for grid in (image, counts))
        return Prepared(*kinds, area.valid, self.transform, level * pixels, area.coverage32)

    def _area_of(self, usable: np.ndarray) -> _Area:
        coverage = self.rebinner.coverage(usable)
        valid = coverage >= LEAST_COVERAGE
        source = self._source
        source = np.where(valid.flat[source], source, source[source])  # of what mirroring led to a border pixel
        mirrored = self._outside & ~valid.reshape(-1) & valid.flat[source]
        return _Area(
            coverage,
            coverage.astype(np.float32),
            valid,
            1 / np.maximum(coverage, LEAST_COVERAGE),
            np.flatnonzero(mirrored),
            source[mirrored],
            np.flatnonzero(~valid.reshape(-1) & ~mirrored),
            max(1, round(FILL_WIDTH_PM / FILL_STEPS / self.transform.grid_pixel_pm)),
        )


@dataclass(frozen=True)
class _Area:
    """What a mask makes of the network's grid.

    coverage, valid : (row, column). scale : what makes up for pixels covered in part, (row, column).
    mirrored, source : flat numbers of pixels that are filled from others, and of these.
    drawn : flat numbers of those that are filled about the local mean, which is computed on ``block`` x ``block``
    pixels.
    """

    coverage: np.ndarray
    coverage32: np.ndarray
    valid: np.ndarray
    scale: np.ndarray
    mirrored: np.ndarray
    source: np.ndarray
    drawn: np.ndarray
    block: int

    @cached_property
    def _weight(self) -> np.ndarray:
        return self._smoothed(self.valid.astype(float))

    def _smoothed(self, values: np.ndarray) -> np.ndarray:
        """Gaussian-weighted sum of blocks of pixels."""
        for axis in (0, 1):
            values = np.add.reduceat(values, np.arange(0, values.shape[axis], self.block), axis=axis)
        return ndimage.gaussian_filter(values, FILL_STEPS, mode="constant")

    def local_mean(self, image: np.ndarray) -> np.ndarray:
        """Gaussian-weighted mean of the valid pixels around each drawn one; far from all of them the mean of all."""
        total, weight = self._smoothed(np.where(self.valid, image, 0.0)), self._weight
        overall = image[self.valid].mean() if self.valid.any() else 1.0
        mean = np.where(weight > 1e-6, total / np.maximum(weight, 1e-6), overall)
        row, column = np.divmod(self.drawn, self.valid.shape[1])
        return mean[row // self.block, column // self.block]


def _mirrored(transform: FrameTransform) -> tuple[np.ndarray, np.ndarray]:
    """Which network pixels lie outside of the input, and the flat number of the one that mirroring at its border leads
    to (inside, the pixel itself); both flat."""
    (rows, columns), (height, width), pixel = transform.grid_shape, transform.size_pm, transform.grid_pixel_pm
    v, u = (np.arange(rows)[:, None] + 0.5) * pixel, (np.arange(columns)[None, :] + 0.5) * pixel
    x, y = transform.inverse(u, v)
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)

    def fold(values: np.ndarray, length: float) -> np.ndarray:
        return length - np.abs(np.mod(values[outside], 2 * length) - length)

    u, v = transform.forward(fold(x, width), fold(y, height))
    row = np.clip(np.floor(v / pixel).astype(int), 0, rows - 1)
    column = np.clip(np.floor(u / pixel).astype(int), 0, columns - 1)
    source = np.arange(rows * columns)
    source[outside.reshape(-1)] = row * columns + column
    return outside.reshape(-1), source
