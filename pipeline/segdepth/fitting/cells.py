"""Average unit cells of a film by distance from the crystal's edge: Fourier orders of the intensity and their errors.

All pixels of a strip along the edge are fitted by the lattice's waves at once, which needs no interpolation and works
at any angle and pixel. The thickness changes across a strip, so each wave may change linearly with the distance; the
values are those at the strip's middle. Shot noise gives the errors, with their correlations. Frames of a film are
shifted onto the first one by whole pixels and summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.drift import Drift, moved
from segdepth.micrograph.edge_distance import edge_distance
from segdepth.micrograph.files.recording import FrameLost
from segdepth.micrograph.film import Film

STRIP_PM = 330.0
"""Least width of a strip; it is a whole number of rows of the crystal."""

STRIPS = (0, 1, 2, 3, 4, 6, 8, 11, 14)
"""Borders of the strips in their widths: farther in, the thickness changes slowly."""

FINEST_PM = 88.0
"""Orders with a smaller spacing are left out: lenses of today hardly pass more at these doses."""

NYQUIST_SHARE = 0.9
LEAST_CELLS, LEAST_STRIPS = 3, 2
"""Unit cells that a strip must have, and strips that must have them."""

BLOCK = 2**16
"""Pixels whose waves are computed at a time."""


@dataclass(frozen=True)
class Bin:
    """One strip's average unit cell.

    distance_pm : of its middle from the edge. cells : unit cells, over all frames. values : (2 · order - 1,) mean, real
    parts of the others, imaginary parts, vacuum = 1. covariance : of these, by shot noise.
    """

    distance_pm: float
    cells: float
    values: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class Cells:
    """What a film's crystal looks like.

    orders : (order, 2) whole, (0, 0) first, of each Friedel pair one. box : (order,) what the pixel leaves of each.
    bins : from the edge on. distance_pm : (y, x) from the edge, NaN outside of the crystal. frames : summed.
    lines : for the user.
    residual, expected, vacuum : (y, x) electrons, summed over the frames: counted less expected, expected of the
        average cells, and those of vacuum; NaN where no strip is.
    """

    orders: np.ndarray
    box: np.ndarray
    bins: tuple[Bin, ...]
    distance_pm: np.ndarray
    frames: int
    lines: tuple[str, ...]
    residual: np.ndarray
    expected: np.ndarray
    vacuum: np.ndarray


def image_orders(crystal: Crystal, pixel_pm: float, allowed: np.ndarray) -> np.ndarray:
    """Orders that are measured, (order, 2): (0, 0), then by falling spacing.

    Parameters
    ----------
    allowed : (order, 2), those that the crystal has.
    """
    found = allowed[(allowed[:, 0] > 0) | ((allowed[:, 0] == 0) & (allowed[:, 1] >= 0))]
    length = np.hypot(*(found / np.array(crystal.periods_pm[:2])).T)
    found, length = found[np.lexsort((found[:, 1], length.round(9)))], np.sort(length)
    return found[length <= min(1 / FINEST_PM, NYQUIST_SHARE / (2 * pixel_pm))]


def average_cells(film: Film, crystal: Crystal, allowed: np.ndarray) -> Cells:
    """The average unit cells of a film.

    Parameters
    ----------
    film : of ``inspect_film``. allowed : orders (order, 2) that the crystal's waves have.

    Raises
    ------
    MicrographError
        There is no vacuum, or less than two strips have three unit cells.
    """
    transform = film.transform
    if film.calibration is None or film.crystal_area is None:
        raise MicrographError(f"{film.recording.source}: no lattice was sought; a fit needs it")
    electrons, level, frames = _summed(film)
    orders = image_orders(crystal, transform.pixel_pm, allowed)
    g = orders / np.array(crystal.periods_pm[:2])
    in_file = np.array([transform.turned_back(*each) for each in g])
    box = np.prod(np.sinc(in_file * transform.pixel_pm), axis=1)
    distance = edge_distance(film)
    width = crystal.row_pm * math.ceil(STRIP_PM / crystal.row_pm - 1e-6)
    cell_pixels = crystal.periods_pm[0] * crystal.periods_pm[1] / transform.pixel_pm**2
    bins, lines = [], []
    expected = np.full(electrons.shape, np.nan)
    if frames > 1 or film.recording.count > 1:
        lines.append(f"{frames} of {film.recording.count} frames are summed")
    for low, high in zip(STRIPS, STRIPS[1:]):
        strip = np.flatnonzero((distance >= low * width) & (distance < high * width) & (level > 0))
        cells = strip.size / cell_pixels
        if cells < LEAST_CELLS:
            if strip.size:
                middle = (low + high) / 2 * width / 1000
                lines.append(
                    f"the strip {middle:.2g} nm from the edge has {cells:.1f} unit cells, fewer than {LEAST_CELLS}; it "
                    "is left out"
                )
            continue
        found = _fit_strip(film, strip, electrons, level, g, distance, (low + high) / 2 * width, width * (high - low))
        if found is not None:
            values, covariance, shown = found
            bins.append(Bin((low + high) / 2 * width, float(cells * frames), values, covariance))
            expected.flat[strip] = shown * level.flat[strip]
    if len(bins) < LEAST_STRIPS:
        have = "strip along the edge has" if len(bins) == 1 else "strips along the edge have"
        raise MicrographError(
            f"{film.recording.source}: {len(bins)} {have} {LEAST_CELLS} unit cells of {crystal.title} or more; at "
            f"least {LEAST_STRIPS} are needed"
        )
    vacuum = np.where(np.isfinite(expected), level, np.nan)
    return Cells(orders, box, tuple(bins), distance, frames, tuple(lines), electrons - expected, expected, vacuum)


def _frames(film: Film) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Electrons, usable pixels and vacuum level of each frame that is not lost."""
    for number in range(film.recording.count):
        try:
            electrons, masked = film.electrons_of(film.recording.read_frame(number))
            yield electrons, masked.usable, film.level_of(electrons, masked.usable)
        except FrameLost:
            continue


def _summed(film: Film) -> tuple[np.ndarray, np.ndarray, int]:
    """Electrons and expected electrons of vacuum (y, x), 0 where masked, and the number of frames."""
    total, expected, count = None, None, 0
    drift = Drift(film.transform.pixel_pm)
    for electrons, usable, level in _frames(film):
        if total is None:
            total, expected = np.zeros(electrons.shape), np.zeros(electrons.shape)
        shift = (0, 0)
        if film.recording.count > 1:
            shift = drift.onto_first(electrons, usable, level)
        count += 1
        total += moved(np.where(usable, electrons, 0.0), shift)
        expected += moved(usable * level, shift)
    if total is None:
        raise MicrographError(f"{film.recording.source}: no frame can be used")
    return total, expected, count


def _fit_strip(
    film: Film,
    strip: np.ndarray,
    electrons: np.ndarray,
    level: np.ndarray,
    g: np.ndarray,
    distance: np.ndarray,
    middle_pm: float,
    width_pm: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Values and covariance of ``Bin``, and what they make of the strip's pixels, vacuum = 1; None where the strip does
    not hold all of a cell."""
    pixel, columns = film.transform.pixel_pm, film.transform.shape[1]
    count = 2 * len(g) - 1

    def waves_at(some: np.ndarray) -> np.ndarray:
        i, j = np.divmod(some, columns)
        x, y = film.transform.forward((j + 0.5) * pixel, (i + 0.5) * pixel)
        phase = 2 * np.pi * (np.outer(x, g[1:, 0]) + np.outer(y, g[1:, 1]))
        waves = np.concatenate([np.ones((len(some), 1)), 2 * np.cos(phase), -2 * np.sin(phase)], axis=1)
        off = (distance.flat[some] - middle_pm) / width_pm
        return np.concatenate([waves, waves * off[:, None]], axis=1)

    normal, right = np.zeros((2 * count, 2 * count)), np.zeros(2 * count)
    blocks = [strip[first : first + BLOCK] for first in range(0, strip.size, BLOCK)]
    for some in blocks:
        waves = waves_at(some)
        weighted = waves * level.flat[some][:, None]
        normal += weighted.T @ waves
        right += waves.T @ electrons.flat[some]
    size = np.sqrt(np.diag(normal))
    if np.linalg.cond(normal / np.outer(size, size)) > 1e4:
        return None
    inverse = np.linalg.inv(normal)
    values = inverse @ right
    shown = np.concatenate([waves_at(some) @ values for some in blocks])
    return values[:count], inverse[:count, :count] * max(float(values[0]), 0.1), shown
