"""Geometric phase analysis: where an image or a depth map shows a lattice, and the lattice's phases there.

Hÿtch, Snoeck & Kilaas, Ultramicroscopy 74 (1998) 131: a Fourier component is demodulated and averaged in a Gaussian
window; its amplitude shows whether there is a lattice, its phase gives the lattice's position. Both follow strain,
bending and distortion of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

WINDOW_PM = 300.0
"""Standard deviation of the window on images."""

LEAST_SHARE = 0.4
"""Amplitude of what counts as crystal over the amplitude that only a twentieth of the frame exceeds."""

NOISE_FACTOR = 2.5
"""Amplitude over the noise's, at least."""

THIN_PX = 8
"""Largest width of masked lines that do not cut a crystal."""


class LocalMean:
    """Gaussian-weighted means of the pixels of an area around each pixel.

    Averages are taken on blocks of a sixth of the window and interpolated, which changes means by less than a percent
    and is much quicker on fine pixels.

    Parameters
    ----------
    area : (y, x) bool; pixels outside are not used.
    pixel_pm : side of a pixel.
    """

    def __init__(self, area: np.ndarray, pixel_pm: float) -> None:
        self.shape, width = area.shape, WINDOW_PM / pixel_pm
        self.block = max(1, int(width / 6))
        self.width = width / self.block
        self.area = area.astype(np.float64)
        self.weight = self._blurred(self.area)
        """Share of the window's weight (block rows, block columns) that lies in the area, times the block's pixels."""

        self.number = np.maximum(self.weight, 1e-6)

    def _blurred(self, values: np.ndarray) -> np.ndarray:
        """On blocks."""
        if self.block == 1:
            return ndimage.gaussian_filter(values, self.width, mode="constant")
        padded = np.pad(values, [(0, -size % self.block) for size in self.shape])
        rows, columns = (size // self.block for size in padded.shape)
        sums = padded.reshape(rows, self.block, columns, self.block).sum(axis=(1, 3))
        return ndimage.gaussian_filter(sums, self.width, mode="constant")

    def _spread(self, blocks: np.ndarray) -> np.ndarray:
        """From blocks to pixels, bilinear between the blocks' centres."""
        if self.block == 1:
            return blocks
        out = blocks
        for axis, size in enumerate(self.shape):
            place = np.clip((np.arange(size) + 0.5) / self.block - 0.5, 0, blocks.shape[axis] - 1)
            low = np.minimum(place.astype(int), max(blocks.shape[axis] - 2, 0))
            high = np.minimum(low + 1, blocks.shape[axis] - 1)
            share = np.expand_dims(place - low, 1 - axis)
            out = np.take(out, low, axis) * (1 - share) + np.take(out, high, axis) * share
        return out

    def of(self, values: np.ndarray) -> np.ndarray:
        """Means (y, x) of real or complex values (y, x)."""
        values = values * self.area
        if np.iscomplexobj(values):
            mean = (self._blurred(values.real) + 1j * self._blurred(values.imag)) / self.number
        else:
            mean = self._blurred(values) / self.number
        return self._spread(mean)


def wave(shape: tuple[int, int], frequency: Sequence[float], pixel_pm: float) -> np.ndarray:
    """exp(2πi g·r) at the pixels' centres, (y, x); ``frequency`` is g = (x, y) in 1/pm."""
    along = [np.exp(2j * np.pi * g * pixel_pm * (np.arange(n) + 0.5)) for g, n in zip(frequency, shape[::-1])]
    return np.outer(along[1], along[0])


def components(
    values: np.ndarray, mean: LocalMean, frequencies: Sequence[Sequence[float]], pixel_pm: float
) -> list[np.ndarray]:
    """Local complex amplitude A (y, x) of each spatial frequency, in units of the values: … + 2 |A| cos(2πg·r + …).

    Parameters
    ----------
    values : (y, x).
    mean : of the pixels that count.
    frequencies : (x, y) in 1/pm.
    """
    # less the local mean, so that an oblique border does not look like a wave
    modulation = np.where(mean.area > 0, values - mean.of(values), 0.0)
    return [mean.of(modulation * wave(values.shape, g, pixel_pm).conj()) for g in frequencies]


def phases(parts: Sequence[np.ndarray], frequencies: Sequence[Sequence[float]], pixel_pm: float) -> list[np.ndarray]:
    """Phase (y, x) of each component's wave at each pixel, in periods; 0 where the wave is highest.

    Parameters
    ----------
    parts : of ``components``.
    """
    # values ~ Re(A exp(2πi g·r)): highest where 2πg·r + arg A is 0
    return [np.angle(wave(part.shape, g, pixel_pm) * part) / (2 * np.pi) for g, part in zip(frequencies, parts)]


def amplitude_map(
    values: np.ndarray, usable: np.ndarray, frequencies: Sequence[Sequence[float]], pixel_pm: float
) -> np.ndarray:
    """Root of the summed squares of the local amplitudes of several waves, (y, x), in the values' units."""
    parts = components(values, LocalMean(usable, pixel_pm), frequencies, pixel_pm)
    return np.sqrt(sum(np.abs(part) ** 2 for part in parts))


def largest_area(amplitude: np.ndarray, usable: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """The largest connected area (y, x) bool in which a lattice shows, its holes filled, masked pixels left out.

    Masked lines of up to ``THIN_PX`` pixels, as dead columns are, do not cut it.

    Parameters
    ----------
    amplitude : of ``amplitude_map``. noise : what it is where there is no lattice.
    """
    strong = usable & (amplitude > max(LEAST_SHARE * np.quantile(amplitude[usable], 0.95), NOISE_FACTOR * noise))
    patches, number = ndimage.label(strong if usable.all() else strong | _thin(~usable))
    if number > 1 and strong.any():
        strong &= patches == int(np.argmax(np.bincount(patches[strong])))
    return ndimage.binary_fill_holes(strong) & usable


def _thin(masked: np.ndarray) -> np.ndarray:
    """Masked pixels (y, x) of lines up to ``THIN_PX`` wide."""
    square, inside = np.ones((THIN_PX + 1, THIN_PX + 1), dtype=bool), slice(THIN_PX, -THIN_PX)
    wide = ndimage.binary_opening(np.pad(masked, THIN_PX, mode="edge"), square)[inside, inside]
    return masked & ~wide


def crystal_area(
    counts: np.ndarray, usable: np.ndarray, frequencies: Sequence[Sequence[float]], pixel_pm: float
) -> np.ndarray:
    """``largest_area`` of the reflection pair's waves, (x, y) in 1/pm; right to 10 % or better."""
    return largest_area(amplitude_map(counts, usable, frequencies, pixel_pm), usable)


def lattice_phases(
    counts: np.ndarray, area: np.ndarray, frequencies: Sequence[Sequence[float]], pixel_pm: float
) -> list[np.ndarray]:
    """Fractional lattice coordinate (y, x) along each frequency, in periods, 0 where its wave is brightest."""
    return phases(components(counts, LocalMean(area, pixel_pm), frequencies, pixel_pm), frequencies, pixel_pm)
