"""Column types at positions that a reflection pair cannot tell apart: label templates are compared with the map.

Where a pair's lattice is finer than the crystal's (``ReflectionPair.candidates``), one choice of the crystal's origin
determines the types of all positions of a lattice whose waves are counted without jumps. For each choice the template,
which is the depth at the nearest column's centre within the core radius of its element and falls linearly to 0 at its
outer radius, is compared with the depth. The choice with the least square error is taken. Where it is not better than
the next by ``LEAST_CERTAINTY`` standard errors (radii that are alike, few columns), the first choice is taken and a
warning given: elements may then be interchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.micrograph.columns.reflection_pair import ReflectionPair

LEAST_CERTAINTY = 4.0
LEAST_DEPTH = 0.5
"""Least depth at its centre of a position that is used."""


def choose_candidate(
    points: np.ndarray,
    waves: np.ndarray,
    pair: ReflectionPair,
    depth: np.ndarray,
    pixel_pm: float,
    radii_pm: tuple[Mapping[str, float], Mapping[str, float]],
    warn: Callable[[str], None],
) -> tuple[float, float]:
    """One of ``pair.candidates``: where the crystal's origin is.

    Parameters
    ----------
    points : (place, 2) x and y in pm, of every position that is a column of one of the candidates.
    waves : (place, 2) of both components, from the origin of ``pair``.
    depth : expected depth (y, x).
    radii_pm : core and outer radius by element.
    warn : called if the map does not decide.
    """
    cells = waves @ np.linalg.inv(pair.orders).T
    options = [column_types(cells + shift, pair) for shift in pair.candidates]
    costs = np.stack([_costs(points, types, pair, depth, pixel_pm, radii_pm) for types in options])
    order = np.argsort(costs.sum(axis=1), kind="stable")
    better = costs[order[1]] - costs[order[0]]
    if len(better) > 1 and better.sum() > max(0.0, LEAST_CERTAINTY * np.std(better) * np.sqrt(len(better))):
        return pair.candidates[order[0]]
    names = " and ".join(dict.fromkeys(c.label for c in pair.crystal.columns))
    warn(
        f"columns of {names} in {pair.crystal.title} are told apart by the size of their labels, which this depth "
        "map does not show clearly; elements may be interchanged"
    )
    return pair.candidates[0]


def column_types(cells: np.ndarray, pair: ReflectionPair) -> np.ndarray:
    """Column of the cell, a position among ``Crystal.columns``, at places (place, 2) in cells; -1 where none stands."""
    off = cells[:, None] - np.array([(c.x, c.y) for c in pair.crystal.columns])
    there = np.abs(off - np.rint(off)).max(axis=-1) < 1e-4
    return np.where(there.any(axis=1), there.argmax(axis=1), -1)


def _costs(
    points: np.ndarray,
    types: np.ndarray,
    pair: ReflectionPair,
    depth: np.ndarray,
    pixel_pm: float,
    radii_pm: tuple[Mapping[str, float], Mapping[str, float]],
) -> np.ndarray:
    """Mean square difference of template and depth, over the largest depth around, of the pixels near each place."""
    core, outer = (np.array([radii[c.element] for c in pair.crystal.columns]) for radii in radii_pm)
    rows, columns = depth.shape
    y, x = (np.arange(rows) + 0.5) * pixel_pm, (np.arange(columns) + 0.5) * pixel_pm
    grid = np.stack([np.broadcast_to(x, depth.shape).ravel(), np.repeat(y, columns)], axis=1)
    distance, owner = cKDTree(points).query(grid, distance_upper_bound=outer.max())
    near = np.isfinite(distance)
    distance, owner, values = distance[near], owner[near], depth.ravel()[near]
    middle = distance <= max(core.min() / 2, pixel_pm)
    size = len(points)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.bincount(owner[middle], values[middle], minlength=size) / np.bincount(owner[middle], minlength=size)
    height = np.nan_to_num(height)
    model, taken = np.zeros_like(values, dtype=float), np.flatnonzero(types >= 0)
    if len(taken):
        distance, column = cKDTree(points[taken]).query(grid[near])
        kind = types[taken[column]]
        share = (outer[kind] - distance) / np.maximum(outer[kind] - core[kind], 1e-9)
        model = height[taken[column]] * np.clip(share, 0, 1)
    largest = ndimage.maximum_filter(depth, 2 * math.ceil(outer.max() / pixel_pm) + 1).ravel()[near]
    wrong = ((values - model) / np.maximum(largest, LEAST_DEPTH)) ** 2
    cost = np.bincount(owner, wrong, minlength=size) / np.maximum(np.bincount(owner, minlength=size), 1)
    return np.where(height >= LEAST_DEPTH, cost, 0.0)
