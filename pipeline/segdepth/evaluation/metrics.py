"""Metrics of depth maps, as sums that add over images (SegDepth IV-A). Arrays in, arrays out.

Every metric is a ratio of two sums, so images of different structures may be tallied one by one and added. E is the
number of counted elements, C that of depth classes. Arrays of tallies may have any leading axes, say (structure,
defocus); the last ones are

- ``confusion`` (…, E + 1, C true, C estimated): pixels by the element of their nearest column; the last group are those
  of images without any column.
- ``centre`` (…, E + 1, 2): pixels within the centre radius of their column, right ones and all.
- ``columns`` (…, E, 8): columns, ``COLUMN_SUMS``: exact, within one, sum of errors, sum of absolute errors, sum of
  relative absolute errors of those of more than ``THICK_ATOMS`` atoms, how many these are, those whose 90 % set holds
  the truth, all.
- ``vacuum`` (…, 2): false columns, and the area that is far from every column in nm².

Tallies by true count have an axis of C counts behind the element.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from segdepth.config import ALL

Key = TypeVar("Key", bound=Hashable)
COLUMN_SUMS = ("exact", "within_one", "error", "absolute_error", "thick_relative_error", "thick", "covered", "all")
THICK_ATOMS = 12
"""Of more atoms than these an exact count is not to be had at usual doses; their errors are also given relative to the
count."""

VACUUM_NM2 = 100
"""Area to which false columns are referred."""


def confusion_matrix(true: np.ndarray, estimate: np.ndarray, group: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels by (group, true, estimate), int64; the three maps have one shape. ``shape`` is (E, C)."""
    elements, classes = shape
    flat = (group.ravel().astype(np.int64) * classes + true.ravel()) * classes + estimate.ravel()
    return np.bincount(flat, minlength=(elements + 1) * classes**2).reshape(elements + 1, classes, classes)


def centre_tally(
    true: np.ndarray, estimate: np.ndarray, group: np.ndarray, centre: np.ndarray, elements: int
) -> np.ndarray:
    """Right pixels and all pixels of each group where ``centre`` is true, int64 (E + 1, 2)."""
    inside = group[centre]
    right = inside[true[centre] == estimate[centre]]
    return np.stack([np.bincount(rows, minlength=elements + 1) for rows in (right, inside)], axis=1)


def centre_tally_by_atoms(
    true: np.ndarray,
    estimate: np.ndarray,
    group: np.ndarray,
    centre: np.ndarray,
    atoms: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """``centre_tally`` by the count of the owning column, int64 (E, C, 2). ``shape`` is (E, C).

    ``atoms`` is that count for each pixel where ``centre`` is true, in the maps' order; such pixels have an owner.
    """
    elements, classes = shape
    place = group[centre].astype(np.int64) * classes + atoms
    right = place[true[centre] == estimate[centre]]
    both = [np.bincount(rows, minlength=elements * classes) for rows in (right, place)]
    return np.stack(both, axis=1).reshape(elements, classes, 2)


def pool_columns(probabilities: np.ndarray, owner: np.ndarray, core: np.ndarray, columns: int) -> np.ndarray:
    """Mean probability vector of each column over the pixels that it owns within its core, (column, class).

    The same as ``segdepth.micrograph.columns.pooling``, whose columns are where the lattice has them.

    Parameters
    ----------
    probabilities : (class, y, x).
    owner : row of the owning column, [y, x].
    core : whether the pixel lies within its column's core radius, bool [y, x].
    columns : number of columns; one that has no such pixel gets NaN.
    """
    rows = owner[core]
    inside = np.take(probabilities.reshape(len(probabilities), -1), np.flatnonzero(core), axis=1)
    sums = [np.bincount(rows, weights=one, minlength=columns) for one in inside]
    pixels = np.bincount(rows, minlength=columns)
    return np.stack(sums, axis=1) / np.where(pixels, pixels, np.nan)[:, None]


def column_tally(
    atoms: np.ndarray, depth: np.ndarray, covered: np.ndarray, element: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """``COLUMN_SUMS`` of each element and true count, float64 (E, C, 8). ``shape`` is (E, C).

    ``atoms`` and ``depth`` are the true and the estimated depth class of the columns, ``element`` is their place among
    the elements; errors are estimate minus truth. ``covered`` says whether a column's 90 % set holds the truth.
    """
    elements, classes = shape
    error = depth.astype(np.int64) - atoms.astype(np.int64)
    size, thick = np.abs(error), atoms > THICK_ATOMS
    relative = np.where(thick, size / np.maximum(atoms, 1), 0)
    values = (error == 0, size <= 1, error, size, relative, thick, covered, np.ones_like(error))
    place = element.astype(np.int64) * classes + atoms
    sums = np.stack([np.bincount(place, weights=v, minlength=elements * classes) for v in values], axis=1)
    return sums.reshape(elements, classes, len(COLUMN_SUMS))


def fractions(
    confusion: np.ndarray, centre: np.ndarray, columns: np.ndarray, vacuum: np.ndarray, elements: Sequence[str]
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator by (metric, element), ``all`` elements first; leading axes are kept."""
    found = {}
    for element, groups in ((ALL, slice(None)), *((e, slice(i, i + 1)) for i, e in enumerate(elements))):
        pixels = confusion[..., groups, :, :].sum(-3)
        inside = centre[..., groups, :].sum(-2)
        counted = dict(zip(COLUMN_SUMS, np.moveaxis(columns[..., groups, :].sum(-2), -1, 0)))
        real, estimated = pixels[..., 1:, :].sum((-1, -2)), pixels[..., :, 1:].sum((-1, -2))
        values = {
            "pixelwise_accuracy": (np.trace(pixels, axis1=-2, axis2=-1), pixels.sum((-1, -2))),
            "centre_accuracy": (inside[..., 0], inside[..., 1]),
            "detection_rate": (pixels[..., 1:, 1:].sum((-1, -2)), real),
            "hallucinated_rate": (pixels[..., 0, 1:].sum(-1), estimated),
            "columns_exact": (counted["exact"], counted["all"]),
            "columns_within_one": (counted["within_one"], counted["all"]),
            "columns_mean_error": (counted["error"], counted["all"]),
            "columns_mean_absolute_error": (counted["absolute_error"], counted["all"]),
            "columns_relative_error_thick": (counted["thick_relative_error"], counted["thick"]),
            "columns_covered": (counted["covered"], counted["all"]),
        }
        found |= {(name, element): parts for name, parts in values.items()}
    found["false_columns_per_100_nm2", ALL] = (VACUUM_NM2 * vacuum[..., 0], vacuum[..., 1])
    return found


def ratio(numerator: float, denominator: float) -> float | None:
    """The quotient, or None where there is nothing to count."""
    return float(numerator) / float(denominator) if denominator else None


def share_within_one(confusion: np.ndarray) -> float | None:
    """Share of the pixels of a confusion matrix (C true, C estimated) whose depth is wrong by one atom at most."""
    true, estimate = np.indices(confusion.shape)
    return ratio(confusion[abs(true - estimate) <= 1].sum(), confusion.sum())


def bootstrap_weights(structures: int, rng: np.random.Generator, draws: int) -> np.ndarray:
    """How often each structure is drawn, with replacement, float64 (draw, structure)."""
    return rng.multinomial(structures, np.full(structures, 1 / structures), size=draws).astype(float)


def percentile_interval(values: np.ndarray) -> list[float]:
    """The 95 % percentile interval of bootstrap draws."""
    return np.quantile(values, [0.025, 0.975]).tolist()


def paired_interval(
    mine: Sequence[tuple[np.ndarray, np.ndarray]],
    other: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    draws: int = 2000,
) -> list[float] | None:
    """95 % percentile interval of a difference: the mean ratio of some networks less that of others, on the same
    structures, which are drawn with replacement for both alike.

    Parameters
    ----------
    mine, other : of each network, numerator and denominator of each structure, both (structure,) in one order.

    None with fewer than two structures, or where a draw has nothing to count.
    """
    structures = len(mine[0][0])
    if structures < 2:
        return None
    weights = bootstrap_weights(structures, rng, draws)
    sums = [[(weights @ above, weights @ below) for above, below in networks] for networks in (mine, other)]
    if any((below == 0).any() for networks in sums for _, below in networks):
        return None
    first, second = (np.mean([above / below for above, below in networks], axis=0) for networks in sums)
    return percentile_interval(first - second)


def bootstrap_intervals(
    parts: Mapping[Key, tuple[np.ndarray, np.ndarray]], rng: np.random.Generator, draws: int = 2000
) -> dict[Key, list[float] | None]:
    """95 % percentile intervals of each ratio of sums, structures drawn with replacement.

    Parameters
    ----------
    parts : numerator and denominator of each structure, both (structure,). All ratios share the draws.

    A ratio gets None with fewer than two structures, or where a draw has nothing to count.
    """
    structures = len(next(iter(parts.values()))[0])
    if structures < 2:
        return dict.fromkeys(parts)
    weights = bootstrap_weights(structures, rng, draws)
    found: dict[Key, list[float] | None] = {}
    for name, (numerator, denominator) in parts.items():
        below = weights @ denominator
        found[name] = percentile_interval(weights @ numerator / below) if below.all() else None
    return found
