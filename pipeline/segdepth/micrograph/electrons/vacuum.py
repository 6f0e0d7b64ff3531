"""The vacuum of a micrograph: where there is only noise, and the level per pixel there.

Method (ours): values are summed into cells of about 60 pm, where a lattice seen along a low zone axis shows best above
the noise. White noise has the same variance per pixel in cells as in pixels, whatever the camera's gain and offset; a
lattice has more. Overlapping blocks of 0.5 nm (less a slope) in which the ratio of the two keeps to 1 within its
sampling error are vacuum. Noise of neighbours that share electrons has a larger ratio: if no block has 1, the frame's
smallest ratio takes its place where cells two apart are independent all the same.
Of several patches the brightest counts, with those of its level: scattering beyond the aperture makes a crystal darker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CELL_PM = 60.0
BLOCK_PM = 500.0
LEAST_SHARE = 0.02
"""Share of the frame that blocks of vacuum must cover."""

NOISE_FREE = 1e-9
"""Variance in a block, of that of the frame, below which the block is constant."""

SINGLE_PRECISION = 3e-7
"""Relative rounding error of values."""

DEVIATIONS = 2.5
"""Sampling errors by which a block's ratio may differ."""

SAME_LEVEL = 0.25
"""Patches are one vacuum if their levels differ by less than this part of what the rest of the frame is darker by, or
by less than two sampling errors."""


@dataclass(frozen=True)
class Vacuum:
    """level : value per input pixel. dispersion : variance/mean per pixel there (1 for single electrons; NaN: given).
    share : of the frame that was taken for vacuum (NaN: given). ratio : of the variances in cells and in pixels, 1
    where neighbours are independent."""

    level: float
    dispersion: float = np.nan
    share: float = np.nan
    ratio: float = 1.0


@dataclass(frozen=True)
class VacuumSearch:
    """What a search for vacuum found: ``vacuum`` and ``area``, the pixels (y, x) bool that it was taken from; or None
    for both, and ``reason``, why."""

    vacuum: Vacuum | None = None
    area: np.ndarray | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Cells:
    """Sums over size × size cells, (y, x) of cells: usable pixels, values less ``middle``, their squares."""

    size: int
    number: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    middle: float

    @property
    def enough(self) -> np.ndarray:
        """Cells of which half can be used."""
        return self.number >= 0.5 * self.size**2


def _sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sums over whole size × size cells, (y, x); what is left over at the far sides is dropped."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    kept = values[: rows * size, : columns * size].reshape(rows, size, columns * size)
    return kept.sum(axis=1).reshape(rows, columns, size).sum(axis=2, dtype=np.float64)


def _box(values: np.ndarray, size: int) -> np.ndarray:
    """Sums over every size × size window that lies inside (sliding by one)."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def _cells(values: np.ndarray, usable: np.ndarray, size: int) -> _Cells:
    few = values[::7, ::5][usable[::7, ::5]]
    middle = np.float32(few.mean() if few.size else 0.0)
    off = np.subtract(values, middle, dtype=np.float32)
    if not usable.all():
        off *= usable
        number = _sums(usable.astype(np.float32), size)
    else:
        number = np.full((values.shape[0] // size, values.shape[1] // size), float(size * size))
    return _Cells(size, number, _sums(off, size), _sums(off * off, size), float(middle))


def _ratios(cells: _Cells, per_block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every block: cells, variance in cells over that in pixels (both per pixel), variance in pixels.

    With n pixels and sum s in a cell, Σ s²/n − (Σ s)²/Σ n over m cells is (m − 1) variances per pixel; a slope takes
    two more degrees of freedom.
    """
    use = cells.enough
    number, total = np.where(use, cells.number, 0.0), np.where(use, cells.total, 0.0)
    y, x = np.indices(use.shape, dtype=np.float64)
    y, x = y - y.mean(), x - x.mean()
    m, n, s = _box(use.astype(np.float64), per_block), _box(number, per_block), _box(total, per_block)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = _box(np.where(use, total**2 / np.maximum(number, 1), 0.0), per_block) - s**2 / n
        for axis in (y, x):
            first = _box(number * axis, per_block)
            along = _box(number * axis**2, per_block) - first**2 / n
            squares -= (_box(total * axis, per_block) - first * s / n) ** 2 / along
        fine = (_box(np.where(use, cells.squares, 0.0), per_block) - s**2 / n) / (n - 1)
        return m, squares / (m - 3) / fine, fine


def _covered(patch: np.ndarray, use: np.ndarray, per_block: int) -> np.ndarray:
    """Cells around the middles of the patch's blocks; a diamond, so that a block's corners do not count."""
    member = np.zeros(use.shape, dtype=bool)
    half = per_block // 2
    member[half : half + patch.shape[0], half : half + patch.shape[1]] = patch
    return ndimage.binary_dilation(member, iterations=half) & use


def _sizes(pixel_pm: float) -> tuple[int, int]:
    """Pixels a cell and cells a block."""
    size = max(2, round(CELL_PM / pixel_pm))
    return size, max(4, round(BLOCK_PM / (size * pixel_pm)))


def search_vacuum(
    values: np.ndarray, usable: np.ndarray, pixel_pm: float, crystal: np.ndarray | None = None
) -> VacuumSearch:
    """Vacuum of one frame, if there is any.

    Parameters
    ----------
    values : (y, x) electrons, or any camera's gain times electrons plus an offset.
    usable : (y, x) bool, False where masked.
    pixel_pm : side of a pixel.
    crystal : (y, x) bool, pixels that are no vacuum for certain.
    """
    size, per_block = _sizes(pixel_pm)
    open_ = usable if crystal is None else usable & ~crystal
    cells = _cells(values, open_, size)
    if min(cells.number.shape, default=0) < per_block:
        return VacuumSearch(reason=f"the frame is too small to find its vacuum (under {per_block * size} pixels)")
    total = max(float(_sums(usable.astype(np.float32), size).sum()), 1.0)
    share = 0.0
    for aim in (1.0, None):
        member, ratio = _quiet(cells, per_block, aim)
        found = _brightest(member, cells)  # small blocks fit into a narrow vacuum, large ones see a weak lattice
        if min(cells.number.shape) >= 2 * per_block:
            surer = _brightest(member & _quiet(cells, 2 * per_block, aim)[0], cells)
            if cells.number[surer].sum() >= LEAST_SHARE * total and _darker(cells, found, surer):
                found = surer
        covers = float(cells.number[found].sum()) / total
        if covers >= LEAST_SHARE and (aim or _independent(cells, found)):
            return _found(open_, cells, found, covers, ratio)
        share = max(share, covers) if aim else share
    return VacuumSearch(
        reason=f"no vacuum was found ({100 * share:.1f} % of the frame is free of lattice, "
        f"{100 * LEAST_SHARE:.0f} % are needed)"
    )


def _quiet(cells: _Cells, per_block: int, aim: float | None) -> tuple[np.ndarray, float]:
    """Cells (y, x) bool inside of patches of blocks whose ratio is ``aim`` (None: the frame's smallest), less the
    patches' rims; and that ratio."""
    m, ratio, fine = _ratios(cells, per_block)
    usual = (m >= max(8, 0.5 * per_block**2)) & np.isfinite(fine)
    least = NOISE_FREE * cells.squares.sum() / max(cells.number.sum(), 1) + (SINGLE_PRECISION * cells.middle) ** 2
    constant = usual & (fine <= least)
    noisy = usual & ~constant
    if aim is None:
        aim = float(np.quantile(ratio[noisy], 0.1)) if noisy.any() else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(ratio / aim - 1)
    quiet = constant | (noisy & (away < DEVIATIONS * np.sqrt(2.0 / np.maximum(m - 3, 1))))
    inner = ndimage.binary_erosion(quiet, iterations=max(1, per_block // 4), border_value=1)
    labels, count = ndimage.label(quiet)
    keeps = np.bincount(labels[inner], minlength=count + 1) > 0
    return _covered(inner | (quiet & ~keeps[labels]), cells.enough, per_block), aim  # thin patches are but a rim


def _brightest(member: np.ndarray, cells: _Cells) -> np.ndarray:
    """Of patches of cells (y, x) bool the brightest large one and those of the same level."""
    labels, count = ndimage.label(member)
    n = np.bincount(labels.ravel(), cells.number.ravel(), count + 1)
    n[0] = 0
    filled = np.maximum(n, 1)
    level = np.bincount(labels.ravel(), cells.total.ravel(), count + 1) / filled
    second = np.bincount(labels.ravel(), cells.squares.ravel(), count + 1) / filled
    error = np.sqrt(np.maximum(second - level**2, 0) / filled)
    large = n >= 0.5 * LEAST_SHARE * cells.number.sum()
    if not large.any():
        return np.zeros(member.shape, dtype=bool)
    best = int(np.argmax(np.where(large, level - 2 * error, -np.inf)))
    rest = cells.enough & ~member
    darker = level[best] - float(np.median(cells.total[rest] / cells.number[rest])) if rest.any() else 0.0
    near = np.maximum(2 * np.hypot(error, error[best]), SAME_LEVEL * abs(darker))
    return (large & (np.abs(level - level[best]) <= near))[labels]


def _darker(cells: _Cells, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether one set of cells (y, x) bool is darker than another by more than the sampling error of the second, as it
    is if crystal has come into it."""
    n = cells.number[other].sum()
    level = cells.total[other].sum() / n
    error = np.sqrt(max(cells.squares[other].sum() / n - level**2, 0.0) / n)
    return bool(cells.total[one].sum() / max(cells.number[one].sum(), 1) < level - error)


def _independent(cells: _Cells, member: np.ndarray) -> bool:
    """Whether cells two apart have nothing in common, as noise has it and a lattice has not."""
    means = np.where(member, cells.total / np.maximum(cells.number, 1), np.nan)
    means = means - np.nanmean(means)
    variance = np.nanmean(means**2)
    for one, other in ((np.s_[2:], np.s_[:-2]), (np.s_[:, 2:], np.s_[:, :-2])):
        products = means[one] * means[other]
        pairs = np.isfinite(products).sum()
        if pairs == 0 or abs(np.nanmean(products)) > (0.1 + 3 / np.sqrt(pairs)) * variance:
            return False
    return True


def _found(usable: np.ndarray, cells: _Cells, member: np.ndarray, share: float, ratio: float) -> VacuumSearch:
    size, n = cells.size, cells.number[member].sum()
    mean = cells.total[member].sum() / n
    variance = max(float(cells.squares[member].sum() / n - mean**2), 0.0)
    level = float(mean + cells.middle)
    area = np.zeros(usable.shape, dtype=bool)
    area[: member.shape[0] * size, : member.shape[1] * size] = member.repeat(size, axis=0).repeat(size, axis=1)
    return VacuumSearch(Vacuum(level, variance / level if level else np.nan, share, ratio), area & usable)


def vacuum_level(values: np.ndarray, usable: np.ndarray, area: np.ndarray) -> float:
    """Mean per pixel over the usable part of an area (y, x) bool of a frame, 0 where masked; NaN where there is none.

    Made for every frame of a film: the area is searched for once.
    """
    weight = (area & usable).astype(np.float32)
    number = float(np.dot(weight.ravel(), weight.ravel()))
    return float(np.dot(values.ravel(), weight.ravel())) / number if number else float("nan")
