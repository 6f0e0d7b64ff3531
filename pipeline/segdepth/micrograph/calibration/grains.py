"""Where in a frame each lattice shows, and which way its border runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from segdepth.micrograph.phase_analysis import LocalMean, components

WINDOW_PM = 300.0
LEAST_SHARE = 0.4
"""Amplitude of what counts as crystal over the amplitude that only a twentieth of the frame exceeds."""

NOISE_FACTOR = 2.5
"""Amplitude over the noise's, at least."""


def amplitude_map(
    values: np.ndarray, usable: np.ndarray, frequencies: Sequence[Sequence[float]], pixel_pm: float
) -> np.ndarray:
    """Root of the summed squares of the local amplitudes of several waves, (y, x), in the values' units."""
    parts = components(values, LocalMean(usable, pixel_pm, WINDOW_PM), frequencies, pixel_pm)
    return np.sqrt(sum(np.abs(part) ** 2 for part in parts))


def largest_area(amplitude: np.ndarray, usable: np.ndarray, noise: float) -> np.ndarray:
    """The largest connected area (y, x) bool in which a lattice shows, its holes filled, masked pixels left out."""
    strong = usable & (amplitude > max(LEAST_SHARE * np.quantile(amplitude[usable], 0.95), NOISE_FACTOR * noise))
    patches, number = ndimage.label(strong)
    if not number:
        return strong
    if number > 1:
        strong = patches == 1 + int(np.argmax(np.bincount(patches.ravel())[1:]))
    return ndimage.binary_fill_holes(strong) & usable


def border_direction(area: np.ndarray, usable: np.ndarray, width: float) -> complex | None:
    """Unit vector x + iy across the border between an area and the rest of the frame; None where there is no border or
    it runs in many directions.

    Parameters
    ----------
    width : of the smoothing, in pixels.
    """
    smooth = ndimage.gaussian_filter(area.astype(np.float32), width, mode="nearest")
    gy, gx = np.gradient(smooth)
    seen = ndimage.binary_erosion(usable, iterations=max(1, int(width)), border_value=1)
    tensor = np.array(
        [[np.sum(gx[seen] ** 2), np.sum((gx * gy)[seen])], [np.sum((gx * gy)[seen]), np.sum(gy[seen] ** 2)]]
    )
    values, vectors = np.linalg.eigh(tensor)
    if values[1] <= 1e-9 or values[1] < 4 * max(values[0], 0):
        return None
    return complex(*vectors[:, 1])


def away_from(area: np.ndarray, rest: np.ndarray) -> complex | None:
    """Vector x + iy, in frame halves, from the middle of an area to the middle of the rest; None if one is empty."""
    if not area.any() or not rest.any():
        return None
    middle = [np.array(np.nonzero(part)).mean(axis=1) for part in (area, rest)]
    dy, dx = middle[1] - middle[0]
    return complex(dx, dy)
