"""Column contrast: a frame's average unit cell, and its brightness at the places of the columns, vacuum = 1.

Every pixel of the crystal is sent to its place in the projected cell, x along [001] (541 pm) and y along [1-10]
(383 pm), by the local phases of the two {111} components; so strain, bending and distortion of the frame do not blur
the cell, and no column has to be found by itself. The cell is C-centred: the places (x, y) and (x + ½, y + ½) are one.
Counts and pixels of a raster of about 10 pm are summed, both smoothed by a Gaussian of 20 pm, and divided.

==========  ======================================================================================================
quantity    meaning
==========  ======================================================================================================
cerium      brightness at (0, 0), where both {111} waves are brightest: the Ce column in overfocus with C3 <= 0, the
            image that bright columns make; with contrast reversed it is the tunnel between the columns
oxygen      mean brightness at (¼, 0) and (¾, 0)
darkest     least brightness in the cell
modulation  root mean square of the cell less its mean
mean        mean of the crystal
==========  ======================================================================================================

The same for measured and for simulated frames. Must not know which of them it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segdepth.micrograph.local_lattice import lattice_phases
from segdepth.specimen.lattice import periods_pm

BIN_PM = 10.0
SMOOTHING_PM = 20.0
QUANTITIES = ("cerium", "oxygen", "darkest", "modulation", "mean")
OXYGEN = ((0.25, 0.0), (0.75, 0.0))


@dataclass(frozen=True)
class Contrast:
    """cell : (y, x) vacuum = 1, its corner at a Ce column, one projected cell. values : of ``QUANTITIES``.
    noise : standard error of ``cerium`` from shot noise."""

    cell: np.ndarray
    values: dict[str, float]
    noise: float


def cell_shape(lattice_pm: float) -> tuple[int, int]:
    """Raster (rows, columns) of the cell, both even, so that half a cell is whole bins."""
    period_x, period_y, _ = periods_pm(lattice_pm)
    return 2 * round(period_y / BIN_PM / 2), 2 * round(period_x / BIN_PM / 2)


def _at(cell: np.ndarray, x: float, y: float) -> float:
    """Value at a fractional place, bilinear; bin i has its centre at (i + ½)."""
    rows, columns = cell.shape
    places = [[y * rows - 0.5], [x * columns - 0.5]]
    return float(ndimage.map_coordinates(cell, places, order=1, mode="grid-wrap")[0])


def column_contrast(
    counts: np.ndarray,
    area: np.ndarray,
    frequencies: Sequence[Sequence[float]],
    pixel_pm: float,
    level: float,
    lattice_pm: float,
    gain: float = 1.0,
) -> Contrast:
    """Contrast of one frame.

    Parameters
    ----------
    counts : (y, x). area : (y, x) bool, the crystal.
    frequencies : of 1-11 and -111 (orders (1, 1) and (1, -1) along x and y) as measured in this frame, 1/pm.
    level : counts per pixel in vacuum. gain : variance over mean of the noise.
    """
    one, other = (phase[area] for phase in lattice_phases(counts, area, frequencies, pixel_pm))
    rows, columns = cell_shape(lattice_pm)
    # orders (1, 1) and (1, -1): their phases are x + y and x - y
    row = np.floor(np.mod((one - other) / 2, 1) * rows).astype(int) % rows
    column = np.floor(np.mod((one + other) / 2, 1) * columns).astype(int) % columns
    place = row * columns + column
    number = np.bincount(place, minlength=rows * columns).reshape(rows, columns).astype(float)
    total = np.bincount(place, counts[area], minlength=rows * columns).reshape(rows, columns)
    period_x, period_y, _ = periods_pm(lattice_pm)
    width = (SMOOTHING_PM * rows / period_y, SMOOTHING_PM * columns / period_x)

    def smoothed(values: np.ndarray) -> np.ndarray:
        centred = values + np.roll(values, (rows // 2, columns // 2), axis=(0, 1))
        return ndimage.gaussian_filter(centred, width, mode="wrap")

    pixels = smoothed(number)
    cell = smoothed(total) / np.maximum(pixels, 1e-9) / level
    values = {
        "cerium": _at(cell, 0, 0),
        "oxygen": float(np.mean([_at(cell, *place) for place in OXYGEN])),
        "darkest": float(cell.min()),
        "modulation": float(cell.std()),
        "mean": float(counts[area].mean() / level),
    }
    # a Gaussian of width s averages the counts of 4πs² bins
    averaged = float(pixels.mean()) * 4 * np.pi * width[0] * width[1]
    noise = float(np.sqrt(gain * max(values["cerium"], 0.0) / level / averaged))
    return Contrast(cell, values, noise)
