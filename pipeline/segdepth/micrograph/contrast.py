"""Column contrast: a frame's average unit cell, and its brightness at the places of the columns, vacuum = 1.

Every pixel of the crystal is sent to its place in the projected cell by the local phases of the reflection pair's two
components; so strain, bending and distortion of the frame do not blur the cell, and no column has to be found by
itself. Places that the pair cannot tell apart are averaged. Counts and pixels of a raster of about 10 pm are summed,
both smoothed by a Gaussian of 20 pm, and divided.

===============  ==================================================================================================
quantity         meaning
===============  ==================================================================================================
each element     mean brightness at the places of its columns, where both waves are taken to be brightest at the
                 heavy ones: the image that bright columns make, in overfocus with C3 <= 0; with contrast reversed
                 these are the tunnels between the columns
``darkest``      least brightness in the cell
``modulation``   root mean square of the cell less its mean
``mean``         mean of the crystal
===============  ==================================================================================================

The same for measured and for simulated frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segdepth.crystals import Crystal
from segdepth.micrograph.columns.reflection_pair import ReflectionPair, image_pair
from segdepth.micrograph.phase_analysis import lattice_phases

BIN_PM = 10.0
SMOOTHING_PM = 20.0
OVERALL = ("darkest", "modulation", "mean")


def quantities(crystal: Crystal) -> tuple[str, ...]:
    """Names of what is measured: the elements, then ``OVERALL``."""
    return (*crystal.elements, *OVERALL)


@dataclass(frozen=True)
class Contrast:
    """cell : (y, x) vacuum = 1, its corner at the crystal's origin, one projected cell. values : of ``quantities``.
    noise : standard error of the heaviest element's value from shot noise."""

    cell: np.ndarray
    values: dict[str, float]
    noise: float


def cell_shape(pair: ReflectionPair) -> tuple[int, int]:
    """Raster (rows, columns) of the cell, multiples of what makes the pair's translations whole bins."""
    period_x, period_y, _ = pair.crystal.periods_pm
    number = len(pair.translations)
    return number * round(period_y / BIN_PM / number), number * round(period_x / BIN_PM / number)


def _at(cell: np.ndarray, x: float, y: float) -> float:
    """Value at a fractional place, bilinear; bin i has its centre at (i + ½)."""
    rows, columns = cell.shape
    places = [[y * rows - 0.5], [x * columns - 0.5]]
    return float(ndimage.map_coordinates(cell, places, order=1, mode="grid-wrap")[0])


def _element_means(cell: np.ndarray, pair: ReflectionPair) -> dict[str, float]:
    """Brightness by element: one place of each class of columns that the pair tells apart."""
    columns = pair.crystal.columns
    places: dict[str, list[tuple[float, float]]] = {element: [] for element in pair.crystal.elements}
    for each in pair.classes:
        types = [columns[place] for place in each.column_types]
        for element in dict.fromkeys(column.element for column in types):
            first = next(column for column in types if column.element == element)
            places[element].append((first.x, first.y))
    return {element: float(np.mean([_at(cell, *place) for place in found])) for element, found in places.items()}


def column_contrast(
    counts: np.ndarray,
    area: np.ndarray,
    frequencies: Sequence[Sequence[float]],
    pixel_pm: float,
    level: float,
    crystal: Crystal,
    gain: float = 1.0,
) -> Contrast:
    """Contrast of one frame.

    Parameters
    ----------
    counts : (y, x). area : (y, x) bool, the crystal's.
    frequencies : of ``crystal.reflection_pair`` as measured in this frame, 1/pm.
    level : counts per pixel in vacuum. gain : variance over mean of the noise.
    """
    pair, origin = image_pair(crystal)
    found = lattice_phases(counts, area, frequencies, pixel_pm)
    one, other = (phase[area] - shift for phase, shift in zip(found, origin))
    rows, columns = cell_shape(pair)
    (a, b), (c, d) = np.linalg.inv(pair.orders)
    row = np.floor(np.mod(c * one + d * other, 1) * rows).astype(int) % rows
    column = np.floor(np.mod(a * one + b * other, 1) * columns).astype(int) % columns
    place = row * columns + column
    number = np.bincount(place, minlength=rows * columns).reshape(rows, columns).astype(float)
    total = np.bincount(place, counts[area], minlength=rows * columns).reshape(rows, columns)
    period_x, period_y, _ = crystal.periods_pm
    width = (SMOOTHING_PM * rows / period_y, SMOOTHING_PM * columns / period_x)

    def smoothed(values: np.ndarray) -> np.ndarray:
        shifts = [(round(y * rows), round(x * columns)) for x, y in pair.translations]
        centred = sum(np.roll(values, shift, axis=(0, 1)) for shift in shifts)
        return ndimage.gaussian_filter(centred, width, mode="wrap")

    pixels = smoothed(number)
    cell = smoothed(total) / np.maximum(pixels, 1e-9) / level
    values = {
        **_element_means(cell, pair),
        "darkest": float(cell.min()),
        "modulation": float(cell.std()),
        "mean": float(counts[area].mean() / level),
    }
    # a Gaussian of width s averages the counts of 4πs² bins
    averaged = float(pixels.mean()) * 4 * np.pi * width[0] * width[1]
    noise = float(np.sqrt(gain * max(values[crystal.elements[0]], 0.0) / level / averaged))
    return Contrast(cell, values, noise)
