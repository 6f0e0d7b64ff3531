"""The vacuum of a micrograph: where there is only noise, and the counts per pixel there.

Method (ours): counts are summed into cells of about 60 pm, where a lattice seen along a low zone axis shows best above
the noise. White noise has the same variance/mean in cells as in pixels, whatever the gain; a lattice has more.
Overlapping blocks of 0.5 nm whose ratio of the two keeps to 1 within its sampling error are vacuum; the largest
connected patch of them, less its rim, gives the level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CELL_PM = 60.0
BLOCK_PM = 500.0
LEAST_SHARE = 0.02
"""Share of the frame that blocks of vacuum must cover."""

ROUNDING = 1e-15
"""Variance over mean square below which counts are constant; that of shot noise is 1 / counts."""


@dataclass(frozen=True)
class Vacuum:
    """level : counts per input pixel. dispersion : variance/mean per pixel there (1 for single electrons; NaN: given).
    share : of the frame that was taken for vacuum (NaN: given)."""

    level: float
    dispersion: float = np.nan
    share: float = np.nan


def _sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sums over whole size × size cells, (y, x); what is left over at the far sides is dropped."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    return values[: rows * size, : columns * size].reshape(rows, size, columns, size).sum(axis=(1, 3))


def _box(values: np.ndarray, size: int) -> np.ndarray:
    """Sums over every size × size window that lies inside (sliding by one)."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def _covered(patch: np.ndarray, whole: np.ndarray, per_block: int) -> np.ndarray:
    """Cells around the middles of the patch's blocks; a diamond, so that a block's corners do not count."""
    member = np.zeros(whole.shape, dtype=bool)
    half = per_block // 2
    member[half : half + patch.shape[0], half : half + patch.shape[1]] = patch
    return ndimage.binary_dilation(member, iterations=half) & whole


@dataclass(frozen=True)
class VacuumSearch:
    """What a search for vacuum found: ``vacuum`` and ``area``, the pixels (y, x) bool that it was taken from; or None
    for both, and ``reason``, why."""

    vacuum: Vacuum | None = None
    area: np.ndarray | None = None
    reason: str = ""


def search_vacuum(counts: np.ndarray, usable: np.ndarray, pixel_pm: float) -> VacuumSearch:
    """Vacuum of one frame, if there is any.

    Parameters
    ----------
    counts : (y, x) counts, or counts times a gain.
    usable : (y, x) bool, False where masked.
    pixel_pm : side of a pixel.
    """
    size = max(2, round(CELL_PM / pixel_pm))
    per_block = max(4, round(BLOCK_PM / (size * pixel_pm)))
    values = np.where(usable, counts, 0.0).astype(np.float64)
    whole = _sums(usable.astype(np.float64), size) == size * size
    if min(whole.shape, default=0) < per_block:
        return VacuumSearch(
            reason=f"the frame is too small to find its vacuum (under {per_block * size} pixels); give vacuum_counts"
        )
    cells = np.where(whole, _sums(values, size), 0.0)
    squares = np.where(whole, _sums(values**2, size), 0.0)
    n = _box(whole.astype(np.float64), per_block)
    enough = n >= max(8, 0.5 * per_block**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _box(cells, per_block) / n
        coarse = (_box(cells**2, per_block) / n - mean**2) * n / (n - 1) / mean
        pixels, pixel_mean = n * size**2, mean / size**2
        fine = (_box(squares, per_block) / pixels - pixel_mean**2) * pixels / (pixels - 1) / pixel_mean
        excess = coarse / fine - 1
    excess = np.where(fine < 1e-9 * pixel_mean, 0.0, excess)  # a noise-free vacuum
    limit = 2.5 * np.sqrt(2.0 / np.maximum(n - 1, 1))
    quiet = enough & (mean > 0) & (np.abs(excess) < limit)
    patches, number = ndimage.label(quiet)
    share = 0.0
    if number:
        sizes = np.bincount(patches.ravel())[1:]
        patch = patches == 1 + int(np.argmax(sizes))
        share = float(_covered(patch, whole, per_block).sum() / whole.sum())
    if share < LEAST_SHARE:
        return VacuumSearch(
            reason=f"no vacuum was found ({100 * share:.1f} % of the frame is free of lattice, "
            f"{100 * LEAST_SHARE:.0f} % are needed); give the counts per pixel in vacuum with vacuum_counts"
        )
    inner = ndimage.binary_erosion(patch, iterations=max(1, per_block // 4), border_value=1)
    patch = inner if inner.any() else patch
    member = _covered(patch, whole, per_block)
    level = float(cells[member].sum() / (member.sum() * size**2))
    second = float(squares[member].sum() / (member.sum() * size**2))
    area = np.zeros(counts.shape, dtype=bool)
    area[: member.shape[0] * size, : member.shape[1] * size] = np.kron(member, np.ones((size, size), dtype=bool))
    return VacuumSearch(Vacuum(level, max(second - level**2, 0.0) / level, share), area)


def neighbour_correlation(counts: np.ndarray, area: np.ndarray) -> tuple[float | None, float | None]:
    """Correlation of neighbours along y and along x over an area (y, x); 0 for shot noise of a counting camera, None
    where no two pixels are neighbours or the counts do not vary.

    The mean and a slope of the area are taken out first; of n pairs the sampling error is 1/√n.
    """
    rows, columns = np.nonzero(area)
    plane = np.stack([np.ones(rows.size), rows, columns], axis=1)
    values = counts[area].astype(np.float64)
    off = np.zeros(counts.shape)
    off[area] = values - plane @ np.linalg.lstsq(plane, values, rcond=None)[0]
    variance = float(np.mean(off[area] ** 2))
    varies = variance > ROUNDING * float(np.mean(values**2))
    found: list[float | None] = []
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        both = area[one] & area[other]
        found.append(float(np.mean((off[one] * off[other])[both]) / variance) if both.any() and varies else None)
    return found[0], found[1]
