"""Column types at positions that a reflection pair cannot tell apart: label templates are compared with the map.

Where a pair's lattice is finer than the crystal's (``ReflectionPair.candidates``), connected positions are numbered
from neighbour to neighbour, so that one choice of the crystal's origin determines all of them. For each choice the
template, which is the depth at the nearest column's centre within the core radius of its element and falls linearly to
0 at its outer radius, is compared with the depth. The choice with the least square error is taken. Where it is not
better than the next by ``LEAST_CERTAINTY`` standard errors (radii that are alike, few columns), the first choice is
taken and a warning given: elements may then be interchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from segdepth.micrograph.reflection_pair import ReflectionPair

REACH = 1.2
"""Neighbours stand at most so many times the longest step of the pair's lattice apart."""

LEAST_CERTAINTY = 4.0
LEAST_DEPTH = 0.5
"""Least depth at its centre of a position that is used."""


def choose_column_types(
    points: np.ndarray,
    classes: np.ndarray,
    pair: ReflectionPair,
    depth: np.ndarray,
    pixel_pm: float,
    radii_pm: tuple[Mapping[str, float], Mapping[str, float]],
    warn: Callable[[str], None],
) -> np.ndarray:
    """Column of the cell, a position among ``Crystal.columns``, at each place; -1 where none stands.

    Parameters
    ----------
    points : (place, 2) x and y in pm.
    classes : position of each place's class among ``pair.classes``.
    depth : expected depth (y, x).
    radii_pm : core and outer radius by element.
    warn : called if the map does not decide.
    """
    if not len(points):
        return np.zeros(0, dtype=int)
    group, indices = _numbered(points, classes, pair)
    options = np.stack([_column_types(indices, classes, pair, shift) for shift in pair.candidates])
    costs = np.stack([_costs(points, column_types, pair, depth, pixel_pm, radii_pm) for column_types in options])
    chosen = np.empty(len(points), dtype=int)
    unsure = False
    for number in range(group.max() + 1):
        mine = group == number
        order = np.argsort(costs[:, mine].sum(axis=1), kind="stable")
        better = costs[order[1], mine] - costs[order[0], mine]
        error = np.std(better) * np.sqrt(len(better))
        sure = len(better) > 1 and better.sum() > LEAST_CERTAINTY * error and better.sum() > 0
        unsure |= not sure
        chosen[mine] = options[order[0] if sure else 0, mine]
    if unsure:
        names = " and ".join(dict.fromkeys(c.label for c in pair.crystal.columns))
        warn(
            f"columns of {names} in {pair.crystal.title} are told apart by the size of their labels, which this depth "
            "map does not show clearly everywhere; elements may be interchanged there"
        )
    return chosen


def _numbered(points: np.ndarray, classes: np.ndarray, pair: ReflectionPair) -> tuple[np.ndarray, np.ndarray]:
    """For each place the group of neighbours it belongs to, and its whole numbers (place, 2) of waves in the group."""
    phases = np.array([each.phases for each in pair.classes])[classes]
    steps = np.linalg.inv(pair.vectors)
    reach = REACH * float(np.hypot(*steps).max())
    links = cKDTree(points).query_pairs(reach, output_type="ndarray")
    size = len(points)
    graph = coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), (size, size)).tocsr()
    number, group = connected_components(graph, directed=False)
    indices = np.zeros((size, 2), dtype=int)
    for each in range(number):
        first = int(np.flatnonzero(group == each)[0])
        visited, before = breadth_first_order(graph, first, directed=False)
        for place in visited[1:]:
            start = before[place]
            waves = pair.vectors @ (points[place] - points[start]) - (phases[place] - phases[start])
            indices[place] = indices[start] + np.rint(waves).astype(int)
    return group, indices


def _column_types(
    indices: np.ndarray, classes: np.ndarray, pair: ReflectionPair, shift: tuple[float, float]
) -> np.ndarray:
    """Column at each place where the crystal's origin is moved by ``shift``; -1 where there is none."""
    inverse = np.linalg.inv(pair.orders)

    @cache
    def at(which: int, one: int, other: int) -> int:
        place = inverse @ (np.array(pair.classes[which].phases) + (one, other)) + shift
        column_type = pair.column_type_at(tuple(place))
        return -1 if column_type is None else column_type

    return np.array([at(int(which), int(one), int(other)) for which, (one, other) in zip(classes, indices)])


def _costs(
    points: np.ndarray,
    column_types: np.ndarray,
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
    model, taken = np.zeros_like(values, dtype=float), np.flatnonzero(column_types >= 0)
    if len(taken):
        distance, column = cKDTree(points[taken]).query(grid[near])
        kind = column_types[taken[column]]
        share = (outer[kind] - distance) / np.maximum(outer[kind] - core[kind], 1e-9)
        model = height[taken[column]] * np.clip(share, 0, 1)
    largest = ndimage.maximum_filter(depth, 2 * math.ceil(outer.max() / pixel_pm) + 1).ravel()[near]
    wrong = ((values - model) / np.maximum(largest, LEAST_DEPTH)) ** 2
    cost = np.bincount(owner, wrong, minlength=size) / np.maximum(np.bincount(owner, minlength=size), 1)
    return np.where(height >= LEAST_DEPTH, cost, 0.0)
