"""The lattice's peaks in a frame's Fourier transform: where they are, to a fraction of a Fourier pixel, and how sure.

The counts, less their local mean, are multiplied by a window that rises as sin² from the border of the crystal (of the
frame, of masks, of the vacuum) to the place farthest from it: a Hann window fitted to any shape. The modulus of the
discrete-time Fourier transform, which is defined at every frequency, is then brought to its maximum within 10 % of
where pixel size, rotation and crystal put the peak: first on a raster, then by Newton's method. Friedel pairs
are one peak, since counts are real. Its error is that of shot noise alone,

    C = ½ M⁻¹ N M⁻¹ / (2π|S|)²,  M = Σ w rrᵀ / Σ w,  N = Σ w² c rrᵀ,

r from the window's centre of mass; the effect of a bent or tilted wedge adds to it and is seen in the four quadrants of
the window, each fitted by itself. Frequencies are (x, y) in 1/pm on the frame's own pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segdepth.crystals import Crystal
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.phase_analysis import LocalMean

SEARCH_SHARE = 0.1
LEAST_SIGNAL = 4.0
"""A peak's modulus over the noise's: in noise alone one raster in a hundred thousand shows as much."""

STEPS = 30
TURNS_DEG = np.arange(-45.0, 45.1, 1.5)


@dataclass(frozen=True)
class Peak:
    """frequency : (x, y) in 1/pm. d_pm : its spacing. noise_pm : standard error of the spacing from shot noise.
    signal : modulus over the noise's."""

    frequency: tuple[float, float]
    d_pm: float
    noise_pm: float
    signal: float

    @property
    def seen(self) -> bool:
        return self.signal >= LEAST_SIGNAL


def expected_frequencies(transform: FrameTransform, crystal: Crystal) -> dict[str, tuple[float, float]]:
    """Of every reflection, on the pixels of a frame that ``transform`` turns upright."""
    return {r.name: transform.turned_back(*crystal.frequency(r.name)) for r in crystal.reflections}


def border_distance(area: np.ndarray) -> np.ndarray:
    """Pixels (y, x) to the border of an area; the frame's edge is one, outside it is 0."""
    return ndimage.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]


def border_window(area: np.ndarray) -> np.ndarray:
    """Weights (y, x): 0 outside of an area, 1 where its border is farthest, sin² between."""
    distance = border_distance(area)
    farthest = distance.max()
    return np.sin(np.pi / 2 * distance / farthest) ** 2 if farthest else distance


class Windowed:
    """The part of a frame under a window, and its Fourier transform at any frequency.

    counts : (y, x). weights : (y, x), 0 outside of ``area``. area : (y, x) bool, the pixels whose local mean counts.
    pixel_pm : side of a pixel. gain : variance over mean of the noise.
    """

    def __init__(
        self, counts: np.ndarray, weights: np.ndarray, area: np.ndarray, pixel_pm: float, gain: float = 1.0
    ) -> None:
        rows, columns = (np.flatnonzero(weights.any(axis=axis)) for axis in (1, 0))
        here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        w = weights[here]
        self.values = w * (counts - LocalMean(area, pixel_pm).of(counts))[here]
        y, x = (np.arange(rows[0], rows[-1] + 1) + 0.5) * pixel_pm, (np.arange(columns[0], columns[-1] + 1) + 0.5)
        x = x * pixel_pm
        total = w.sum()
        self.y, self.x = y - (w.sum(axis=1) @ y) / total, x - (w.sum(axis=0) @ x) / total
        noise = gain * w**2 * np.maximum(counts[here], 0)
        self.noise = float(np.sqrt(noise.sum()))
        middle = np.linalg.inv(self._second_moments(w) / total)
        self._covariance = middle @ self._second_moments(noise) @ middle / (8 * np.pi**2)

    def _second_moments(self, weights: np.ndarray) -> np.ndarray:
        """Σ w rrᵀ, (x, y)."""
        mixed = self.y @ weights @ self.x
        return np.array(
            [[weights.sum(axis=0) @ self.x**2, mixed], [mixed, weights.sum(axis=1) @ self.y**2]], dtype=float
        )

    def moduli(self, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
        """|S| (len(gy), len(gx)) on a raster of frequencies."""
        along_y, along_x = np.exp(-2j * np.pi * np.outer(gy, self.y)), np.exp(-2j * np.pi * np.outer(self.x, gx))
        return np.abs(along_y @ (self.values @ along_x))

    def strongest(self, low: float, high: float) -> Peak:
        """The highest peak with low <= |g| <= high, in the half plane of g_x >= 0."""
        step = 1 / (4 * max(np.ptp(self.x), np.ptp(self.y)))
        gx, gy = np.arange(0, high + step, step), np.arange(-high, high + step, step)
        raster = self.moduli(gx, gy)
        length = np.hypot(gy[:, None], gx[None, :])
        raster[(length < low) | (length > high)] = 0
        row, column = np.unravel_index(np.argmax(raster), raster.shape)
        return self._peak_near(np.array([gx[column], gy[row]]), 1.5 * step)

    def peak(self, expected: tuple[float, float], share: float = SEARCH_SHARE) -> Peak:
        """The highest peak within a share of the length of a frequency around it."""
        centre = np.array(expected)
        reach = share * np.hypot(*centre)
        size = max(np.ptp(self.x), np.ptp(self.y))
        offsets = np.linspace(-reach, reach, 2 * max(3, int(np.ceil(4 * reach * size))) + 1)
        raster = self.moduli(centre[0] + offsets, centre[1] + offsets)
        raster[np.hypot(offsets[:, None], offsets[None, :]) > reach] = 0
        row, column = np.unravel_index(np.argmax(raster), raster.shape)
        return self._peak_near(centre + (offsets[column], offsets[row]), 1.5 * (offsets[1] - offsets[0]))

    def _peak_near(self, start: np.ndarray, reach: float) -> Peak:
        frequency, modulus = self._climb(start, reach)
        length = np.hypot(*frequency)
        along = frequency / length
        error = np.sqrt(along @ self._covariance @ along) / modulus
        return Peak(tuple(map(float, frequency)), float(1 / length), float(error / length**2), modulus / self.noise)

    def _climb(self, start: np.ndarray, reach: float) -> tuple[np.ndarray, float]:
        """The maximum of |S| near a frequency, by Newton's method on ln|S|; never farther than ``reach``."""
        best, height = start, float(self.moduli(start[:1], start[1:])[0, 0])
        place = start
        for _ in range(STEPS):
            ex, ey = np.exp(-2j * np.pi * self.x * place[0]), np.exp(-2j * np.pi * self.y * place[1])
            columns = self.values @ np.stack([ex, self.x * ex, self.x**2 * ex], axis=1)
            s = np.stack([ey, self.y * ey, self.y**2 * ey]) @ columns  # [power of y, power of x]
            first = -2j * np.pi * np.array([s[0, 1], s[1, 0]]) / s[0, 0]
            second = -4 * np.pi**2 * np.array([[s[0, 2], s[1, 1]], [s[1, 1], s[2, 0]]]) / s[0, 0]
            gradient, curvature = first.real, (second - np.outer(first, first)).real
            if np.linalg.eigvalsh(curvature).max() >= 0:
                break  # no maximum here
            step = -np.linalg.solve(curvature, gradient)
            place = place + step * min(1.0, reach / 2 / np.hypot(*step))
            if np.hypot(*(place - start)) > reach:
                break
            now = float(self.moduli(place[:1], place[1:])[0, 0])
            if now > height:
                best, height = place, now
            if np.hypot(*step) < 1e-9 * np.hypot(*start):
                break
        return best, height


def find_peaks(
    counts: np.ndarray,
    area: np.ndarray,
    expected: Mapping[str, tuple[float, float]],
    pixel_pm: float,
    gain: float = 1.0,
    weights: np.ndarray | None = None,
) -> dict[str, Peak]:
    """The peak of every reflection.

    Parameters
    ----------
    counts : (y, x). area : (y, x) bool, the crystal.
    expected : of ``expected_frequencies``.
    gain : variance over mean of the noise, 1 for electrons.
    weights : (y, x), in place of ``border_window(area)``.
    """
    weights = border_window(area) if weights is None else weights
    part = Windowed(counts, weights, area, pixel_pm, gain)
    return {name: part.peak(frequency) for name, frequency in expected.items()}


def unexpected_peak(
    counts: np.ndarray, area: np.ndarray, expected: Mapping[str, tuple[float, float]], pixel_pm: float
) -> Peak | None:
    """The strongest peak about as far out as the two widest spacings, where none of the expected ones is near it."""
    lengths = sorted(np.hypot(*place) for place in expected.values())
    inner = lengths[0]
    outer = next((length for length in lengths if length > 1.01 * inner), inner)
    found = Windowed(counts, border_window(area), area, pixel_pm).strongest(0.6 * inner, 1.15 * outer)
    for place in expected.values():
        off = min(np.hypot(*(sign * np.array(found.frequency) - place)) for sign in (1, -1))
        if off <= 1.2 * SEARCH_SHARE * np.hypot(*place):
            return None
    return found


def upright_rotation(image: np.ndarray, pixel_pm: float, crystal: Crystal) -> float:
    """``FrameTransform.rotation_deg``, within ±45°, that turns a frame (y, x) with little noise upright.

    The power at the places of all reflections, over a raster of turns; right to a degree or two, which is enough for a
    search of peaks.
    """
    everywhere = np.ones(image.shape, dtype=bool)
    part = Windowed(image, border_window(everywhere), everywhere, pixel_pm)
    powers = []
    for turn in TURNS_DEG:
        transform = FrameTransform(image.shape, pixel_pm, pixel_pm, float(turn))
        places = np.array(list(expected_frequencies(transform, crystal).values()))
        powers.append(sum(float(part.moduli(gx, gy)[0, 0]) ** 2 for gx, gy in places[:, :, None]))
    return float(TURNS_DEG[int(np.argmax(powers))])


def quadrant_peaks(
    counts: np.ndarray,
    area: np.ndarray,
    expected: Mapping[str, tuple[float, float]],
    pixel_pm: float,
    gain: float = 1.0,
) -> list[dict[str, Peak]]:
    """``find_peaks`` in the four parts into which the crystal's centre of mass divides it, each with its own window."""
    rows, columns = np.nonzero(area)
    row, column = int(np.median(rows)), int(np.median(columns))
    found = []
    for upper in (False, True):
        for right in (False, True):
            part = np.zeros(area.shape, dtype=bool)
            part[np.s_[row:] if upper else np.s_[:row], np.s_[column:] if right else np.s_[:column]] = True
            part &= area
            if border_window(part).any():
                found.append(find_peaks(counts, part, expected, pixel_pm, gain))
    return found


@dataclass(frozen=True)
class Distortion:
    """How a frame's lattice differs from the ideal one, from the peaks that are seen, least squares.

    pixel_pm : the pixel that brings the lattice's area to its right size. rotation_deg : counter-clockwise turn that is
    left in the upright frame. elongation : longest over shortest principal stretch, less 1.
    direction_deg : of the longest in the upright frame, from x towards y, in (-90, 90].
    """

    pixel_pm: float
    rotation_deg: float
    elongation: float
    direction_deg: float


def distortion(
    peaks: Mapping[str, Peak], transform: FrameTransform, crystal: Crystal, names: tuple[str, ...] | None = None
) -> Distortion:
    """From at least two peaks that are not parallel; without ``names`` those of the reflection pair.

    With g' = B g for the ideal frequencies g, lengths are stretched by B⁻ᵀ = U P: a turn U and a stretch P.
    """
    names = names or crystal.reflection_pair
    ideal = np.array([crystal.frequency(name) for name in names])
    found = np.array([transform.turned(*peaks[name].frequency) for name in names])
    transposed = np.linalg.lstsq(ideal, found, rcond=None)[0]  # ideal @ Bᵀ = found
    left, stretch, right = np.linalg.svd(np.linalg.inv(transposed))
    turn = left @ right
    longest = left[:, 0]
    angle = (np.degrees(np.arctan2(longest[1], longest[0])) + 90) % 180 - 90
    return Distortion(
        pixel_pm=float(transform.pixel_pm / np.sqrt(stretch[0] * stretch[1])),
        rotation_deg=float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))),
        elongation=float(stretch[0] / stretch[1] - 1),
        direction_deg=float(angle),
    )
