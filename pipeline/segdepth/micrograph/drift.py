"""By how many whole pixels the frames of a film are moved onto its first one.

The frame is laid where the mean squared difference of the two, over the pixels that both have, is smallest. Their
correlation does not tell: it grows with the overlap of the frames, so that of two places a lattice vector apart it
prefers the nearer one. Inside of a crystal such places are alike, and its edges decide. At low doses noise may outweigh
these; then, of the places that are alike but for noise, the one next to that of the frame before is taken.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

COARSEST_PM = 24.0
"""Pixel to which frames are binned to be compared, at most."""

WIDTH_PM = 25.0
"""Standard deviation of the smoothing that takes noise out and leaves a lattice."""

LEAST_OVERLAP = 0.3
"""Share of the pixels of a frame that lie on the first one, at least."""

ALIKE = 3.0
"""Of the standard deviations that noise gives to a mean squared difference, those that places may differ by."""

EXACT = 0.005
"""Of the usual difference, what interpolation between pixels may miss."""

SEEN = 6.0
"""Of the same, how far the smallest difference is from the usual one, at least: noise alone reaches five."""

Shift = tuple[int, int]


class Drift:
    """Shifts (y, x) of the frames of one film, one after the other.

    Parameters
    ----------
    pixel_pm : of the frames.
    """

    def __init__(self, pixel_pm: float) -> None:
        self.block = max(1, int(COARSEST_PM / pixel_pm))
        self.pixel_pm = pixel_pm * self.block
        self._first: tuple[_Frame, np.ndarray] | None = None
        self._before: Shift = (0, 0)
        self._shift: Shift = (0, 0)

    def onto_first(self, values: np.ndarray, usable: np.ndarray, variance: float) -> Shift:
        """By how many pixels the next frame is moved onto the first one, which is that of the first call.

        Parameters
        ----------
        values : (y, x), in any unit. usable : (y, x) bool. variance : of a pixel, by noise, in that unit's square.
        """
        frame = _Frame(*binned(values, usable, self.block), self.pixel_pm, variance / self.block**2)
        spectrum = np.zeros(0)
        if self.block > 1:
            width = WIDTH_PM * self.block / self.pixel_pm
            spectrum = ndimage.fourier_gaussian(np.fft.rfft2(_varying(values, usable)), width, values.shape[1])
        if self._first is None:
            self._first = frame, spectrum
        elif (found := self._nearest(frame)) is not None:
            y, x = (by * self.block for by in found)
            self._before = found
            self._shift = (y, x) if self.block == 1 else self._exact(spectrum, values.shape, y, x)
        return self._shift

    def _exact(self, spectrum: np.ndarray, shape: tuple[int, int], y: int, x: int) -> Shift:
        """The highest correlation of smoothed whole frames within a block of a place."""
        correlation = np.fft.irfft2(self._first[1] * spectrum.conj(), s=shape)
        rows, columns = (np.arange(by - self.block, by + self.block + 1) for by in (y, x))
        near = correlation[np.ix_(rows % shape[0], columns % shape[1])]
        i, j = np.unravel_index(np.argmax(near), near.shape)
        return int(rows[i]), int(columns[j])

    def _nearest(self, frame: _Frame) -> Shift | None:
        """Of the places at which the difference is smallest but for noise, the one next to the frame before; None where
        it is not seen."""
        first = self._first[0]

        def by_shift(spectrum: np.ndarray) -> np.ndarray:
            return fft.irfft2(spectrum, frame.shape)

        number = by_shift(first.inside * frame.inside.conj()).round()
        squares = by_shift(first.squares * frame.inside.conj() + first.inside * frame.squares.conj())
        enough = number >= LEAST_OVERLAP * max(number.max(), 1)
        number = np.maximum(number, 1)
        product = by_shift(first.waves * frame.waves.conj())
        difference = np.where(enough, (squares - 2 * product) / number, np.inf)
        noise = first.noise + frame.noise
        deviation = noise * np.sqrt(2 / (number * frame.independent))
        usual = float(np.median(difference[enough]))
        y, x = np.nonzero(enough & (difference == ndimage.minimum_filter(difference, size=3, mode="wrap")))
        lowest, deviation = _between_pixels(difference, y, x), deviation[y, x]
        best = np.argmin(lowest)
        if not usual - lowest[best] > SEEN * deviation[best]:
            return None
        alike = lowest - lowest[best] <= np.maximum(
            ALIKE * np.maximum(deviation, deviation[best]), EXACT * (usual - lowest[best])
        )
        sides = np.array(difference.shape)
        places = (np.stack([y, x], axis=1)[alike] + sides // 2) % sides - sides // 2
        y, x = places[np.argmin(np.hypot(*(places - self._before).T))]
        return int(y), int(x)


def _between_pixels(values: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The lowest values (place,) of paraboloids through a map's minima at y and x and their neighbours."""
    rows, columns = values.shape

    def at(dy: int, dx: int) -> np.ndarray:
        return values[(y + dy) % rows, (x + dx) % columns]

    middle = at(0, 0)
    whole = np.all([np.isfinite(at(dy, dx)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    y, x, found = y[whole], x[whole], middle.copy()
    slope_y, slope_x = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    bend_y, bend_x = at(1, 0) + at(-1, 0) - 2 * at(0, 0), at(0, 1) + at(0, -1) - 2 * at(0, 0)
    both = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    volume = bend_y * bend_x - both**2
    below = slope_y**2 * bend_x + slope_x**2 * bend_y - 2 * slope_y * slope_x * both
    found[whole] -= np.where(volume > 0, below / np.maximum(2 * volume, 1e-300), 0)
    return found


class _Frame:
    """Spectra of a smoothed frame with as many pixels of nothing beside it.

    noise : variance of a pixel by noise. independent : share of pixels that a mean over their squares counts.
    """

    def __init__(self, values: np.ndarray, usable: np.ndarray, pixel_pm: float, variance: float) -> None:
        width = WIDTH_PM / pixel_pm
        waves = usable * ndimage.gaussian_filter(_varying(values, usable), width, mode="nearest")
        self.noise = variance / max(1, 4 * np.pi * width**2)
        self.independent = 1 / max(1, 2 * np.pi * width**2)
        self.shape = tuple(fft.next_fast_len(2 * side, real=True) for side in values.shape)
        self.waves, self.squares, self.inside = (
            fft.rfft2(each, self.shape) for each in (waves, waves**2, usable.astype(float))
        )


def _varying(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """A frame (y, x) less its mean, 0 where not usable."""
    return np.where(usable, values - (values[usable].mean() if usable.any() else 0.0), 0.0)


def binned(values: np.ndarray, usable: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of the usable pixels of blocks; a block is usable if half of its pixels are."""
    if factor == 1:
        return values, usable
    rows, columns = (side // factor for side in values.shape)
    blocks = (rows, factor, columns, factor)
    part = np.s_[: rows * factor, : columns * factor]
    number = usable[part].reshape(blocks).sum(axis=(1, 3))
    total = np.where(usable[part], values[part], 0).reshape(blocks).sum(axis=(1, 3))
    return total / np.maximum(number, 1), number >= factor**2 / 2


def moved(values: np.ndarray, shift: Shift) -> np.ndarray:
    """A map (y, x) moved by whole pixels (y, x), 0 where nothing comes from."""
    if shift == (0, 0):
        return values
    found = np.zeros_like(values)
    to, come = zip(*(_overlap(by, side) for by, side in zip(shift, values.shape)))
    found[to] = values[come]
    return found


def _overlap(by: int, side: int) -> tuple[slice, slice]:
    """Where pixels along an axis go when they are moved, and where they come from."""
    by = max(-side, min(side, by))
    return slice(max(by, 0), side + min(by, 0)), slice(max(-by, 0), side - max(by, 0))
