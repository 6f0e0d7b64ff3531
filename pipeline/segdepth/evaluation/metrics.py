"""Metrics of depth maps, as sums that add over images (SegDepth IV-A). Arrays in, arrays out, no files.

Every metric is a ratio of two sums, so images of different structures may be tallied one by one and added. Arrays of
tallies may have any leading axes, say (structure, defocus); the last ones are

- ``confusion`` (…, group, true, estimate): pixels; group 0 and 1 are the pixels whose nearest column is Ce and O,
  group 2 those of an image without any column.
- ``centre`` (…, group, 2): pixels within the centre radius of their column, right ones and all.
- ``columns`` (…, element, 5): columns; exact, within one, sum of errors, sum of absolute errors, all.

Tallies by true count have an axis of ``CLASSES`` counts behind the element.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from segdepth.config import CLASSES, ELEMENTS, METRIC_NAMES

Key = TypeVar("Key", bound=Hashable)
GROUPS = len(ELEMENTS) + 1
NO_COLUMN = len(ELEMENTS)
COLUMN_SUMS = ("exact", "within_one", "error", "absolute_error", "all")
NAMES = METRIC_NAMES
"""Metrics over both elements; each is also given with ``_Ce`` and ``_O`` at its end."""


def confusion_matrix(true: np.ndarray, estimate: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Pixels by (group, true, estimate), int64; the three maps have one shape."""
    flat = (group.ravel().astype(np.int64) * CLASSES + true.ravel()) * CLASSES + estimate.ravel()
    return np.bincount(flat, minlength=GROUPS * CLASSES**2).reshape(GROUPS, CLASSES, CLASSES)


def centre_tally(true: np.ndarray, estimate: np.ndarray, group: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Right pixels and all pixels of each group where ``centre`` is true, int64 (group, 2)."""
    inside = group[centre]
    right = inside[true[centre] == estimate[centre]]
    return np.stack([np.bincount(right, minlength=GROUPS), np.bincount(inside, minlength=GROUPS)], axis=1)


def centre_tally_by_atoms(
    true: np.ndarray, estimate: np.ndarray, group: np.ndarray, centre: np.ndarray, atoms: np.ndarray
) -> np.ndarray:
    """``centre_tally`` by the count of the owning column, int64 (element, count, 2).

    ``atoms`` is that count for each pixel where ``centre`` is true, in the maps' order; such pixels have an owner.
    """
    place = group[centre].astype(np.int64) * CLASSES + atoms
    size, right = len(ELEMENTS) * CLASSES, place[true[centre] == estimate[centre]]
    both = [np.bincount(rows, minlength=size) for rows in (right, place)]
    return np.stack(both, axis=1).reshape(len(ELEMENTS), CLASSES, 2)


def pool_columns(probabilities: np.ndarray, owner: np.ndarray, core: np.ndarray, columns: int) -> np.ndarray:
    """Mean probability vector of each column over the pixels that it owns within its core, (column, class).

    Parameters
    ----------
    probabilities : (class, y, x).
    owner : row of the owning column, [y, x].
    core : whether the pixel lies within its column's core radius, bool [y, x].
    columns : number of columns; one that has no such pixel gets NaN.
    """
    rows = owner[core]
    sums = [np.bincount(rows, weights=one[core], minlength=columns) for one in probabilities]
    pixels = np.bincount(rows, minlength=columns)
    return np.stack(sums, axis=1) / np.where(pixels, pixels, np.nan)[:, None]


def column_tally(atoms: np.ndarray, depth: np.ndarray, element: np.ndarray) -> np.ndarray:
    """``COLUMN_SUMS`` of each element and true count, float64 (element, count, 5).

    ``atoms`` and ``depth`` are the true and the estimated counts of the columns, ``element`` is 0 for Ce and 1 for O;
    errors are estimate minus truth.
    """
    error = depth.astype(np.int64) - atoms.astype(np.int64)
    values = (error == 0, np.abs(error) <= 1, error, np.abs(error), np.ones_like(error))
    place, size = element.astype(np.int64) * CLASSES + atoms, len(ELEMENTS) * CLASSES
    sums = np.stack([np.bincount(place, weights=v, minlength=size) for v in values], axis=1)
    return sums.reshape(len(ELEMENTS), CLASSES, len(COLUMN_SUMS))


def fractions(
    confusion: np.ndarray, centre: np.ndarray, columns: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of each metric, over both elements and for each; leading axes are kept."""
    found = {}
    for suffix, groups in (("", slice(None)), *((f"_{e}", slice(i, i + 1)) for i, e in enumerate(ELEMENTS))):
        pixels = confusion[..., groups, :, :].sum(-3)
        inside = centre[..., groups, :].sum(-2)
        counted = dict(zip(COLUMN_SUMS, np.moveaxis(columns[..., groups, :].sum(-2), -1, 0)))
        real, said = pixels[..., 1:, :].sum((-1, -2)), pixels[..., :, 1:].sum((-1, -2))
        found |= {
            f"pixelwise_accuracy{suffix}": (np.trace(pixels, axis1=-2, axis2=-1), pixels.sum((-1, -2))),
            f"centre_accuracy{suffix}": (inside[..., 0], inside[..., 1]),
            f"detection_rate{suffix}": (pixels[..., 1:, 1:].sum((-1, -2)), real),
            f"hallucinated_rate{suffix}": (pixels[..., 0, 1:].sum(-1), said),
            f"columns_exact{suffix}": (counted["exact"], counted["all"]),
            f"columns_within_one{suffix}": (counted["within_one"], counted["all"]),
            f"columns_mean_error{suffix}": (counted["error"], counted["all"]),
            f"columns_mean_absolute_error{suffix}": (counted["absolute_error"], counted["all"]),
        }
    return found


def ratio(numerator: float, denominator: float) -> float | None:
    """The quotient, or None where there is nothing to count."""
    return float(numerator) / float(denominator) if denominator else None


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
    parts : numerator and denominator of each structure, both (structure,). All metrics share the draws.

    A metric gets None with fewer than two structures, or where a draw has nothing to count.
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
