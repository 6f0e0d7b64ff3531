"""Atomic columns from a network's probability maps: where each stands, its element, how many atoms, how sure.

Labels of neighbouring columns touch: columns of equal depth form one plateau, and maxima do not separate them. The
lattice does. Around each point the phases of two Fourier components of the expected depth are measured in a Gaussian
window (``segdepth.micrograph.phase_analysis``). The phases of these components at the cell's origin are known from the
crystal's label template, discs of the core radii (``segdepth.micrograph.reflection_pair``). Together they give the
positions of the columns of each type. The phases are local, so that they follow strain, small rotations and errors of
the pixel size. Types with equal phases are separated by the size of their labels
(``segdepth.micrograph.origin_choice``). The depth of a column is the most probable class of the mean probability vector
over the core's pixels; positions of depth 0 hold no column. Where the components are too weak no column is listed:
labels that cover nearly the whole plane show no lattice. In rutile along [100], whose columns are 140 pm apart, a tenth
or more is not found with core radii of 85 and 64 pm; with 50 and 40 pm nearly all are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal
from segdepth.micrograph.origin_choice import choose_column_types
from segdepth.micrograph.phase_analysis import LocalMean, components, phases
from segdepth.micrograph.reflection_pair import template_pair

WINDOW_PM = 450.0
"""Standard deviation of the window in which phases are measured."""

LEAST_AMPLITUDE = 0.03
"""Of each component over the mean expected depth; ideal maps show 0.1 and more."""

LEAST_DEPTH = 0.2
"""Mean expected depth in the window below which it is vacuum."""

LEAST_WEIGHT = 1e-3
"""Share of the window that must lie in the valid area."""

MERGE_PM = 50.0
SHIFT_PM = 40.0
"""Largest distance of a column from its lattice position, for columns at least three times as far apart."""

SHIFT_SHARE = 0.3
"""The same over the distance of the nearest columns."""

COLUMNS = ["x_pm", "y_pm", "element", "depth", "confidence"]


def expected_depth(probabilities: np.ndarray) -> np.ndarray:
    """Mean number of atoms, (y, x), of probabilities (class, y, x)."""
    return np.tensordot(np.arange(len(probabilities), dtype=np.float32), probabilities, axes=1)


def _radii(labels: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Core and outer radius by element; a labels block without outer radii has flat discs."""
    core = labels["core_radius_pm"]
    return core, labels.get("outer_radius_pm") or core


def lattice_places(
    depth: np.ndarray,
    pixel_pm: float,
    crystal: Crystal,
    labels: Mapping[str, Any],
    valid: np.ndarray | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Ideal lattice positions: ``x_pm``, ``y_pm``, ``element``; also in the vacuum near the crystal.

    Parameters
    ----------
    depth : expected depth (y, x), the crystal upright.
    labels : the labels block the map was made for; its ``core_radius_pm`` and ``outer_radius_pm`` count.
    valid : (y, x) bool; other pixels are not used.
    warn : called if columns of different elements cannot be told apart.
    """
    inside = np.ones(depth.shape, dtype=bool) if valid is None else valid
    core, outer = _radii(labels)
    pair, origin = template_pair(crystal, core)
    local = LocalMean(inside, pixel_pm, WINDOW_PM, blocks=False, truncate=3.0)
    mean = local.of(depth)
    parts = components(depth, local, pair.vectors, pixel_pm)
    strong = (mean > LEAST_DEPTH) & (local.weight > LEAST_WEIGHT)
    for part in parts:
        strong &= np.abs(part) > LEAST_AMPLITUDE * mean
    if not strong.any():
        return pd.DataFrame({"x_pm": [], "y_pm": [], "element": []})
    measured = phases(parts, pair.vectors, pixel_pm)
    rows, columns = depth.shape
    y, x = (np.arange(rows) + 0.5) * pixel_pm, (np.arange(columns) + 0.5) * pixel_pm
    inverse = np.linalg.inv(pair.vectors)
    points, classes = [], []
    for which, each in enumerate(pair.classes):
        wanted = [(phase + shift) % 1.0 for phase, shift in zip(each.phases, origin)]
        off = np.stack([p - offset - np.rint(p - offset) for p, offset in zip(measured, wanted)])
        dx, dy = -np.tensordot(inverse, off, axes=1)
        # every pixel gives the position nearest to it; those next to a position are kept and averaged
        near = strong & (np.hypot(dx, dy) < 1.5 * pixel_pm)
        i, j = np.nonzero(near)
        named = np.stack([x[j] + dx[near], y[i] + dy[near]], axis=1)
        weights = 1 / (0.25 + (dx[near] ** 2 + dy[near] ** 2) / pixel_pm**2)
        found = _merged(named, weights)
        points += found
        classes += [which] * len(found)
    places, classes = np.array(points).reshape(-1, 2), np.array(classes, dtype=int)
    if len(pair.candidates) > 1:
        column_types = choose_column_types(places, classes, pair, depth, pixel_pm, (core, outer), warn)
    else:
        column_types = np.array([each.column_types[0] for each in pair.classes])[classes]
    elements = np.array([c.element for c in crystal.columns])[column_types]
    table = pd.DataFrame({"x_pm": places[:, 0], "y_pm": places[:, 1], "element": elements})
    return table[column_types >= 0].reset_index(drop=True)


def _merged(points: np.ndarray, weights: np.ndarray) -> list[tuple[float, float]]:
    """Means of the groups of points that lie within ``MERGE_PM`` of their heaviest one."""
    if not len(points):
        return []
    tree = cKDTree(points)
    free = np.ones(len(points), dtype=bool)
    merged = []
    for first in np.argsort(-weights, kind="stable"):
        if free[first]:
            group = [k for k in tree.query_ball_point(points[first], MERGE_PM) if free[k]]
            free[group] = False
            merged.append(tuple(np.average(points[group], axis=0, weights=weights[group])))
    return merged


def find_columns(
    probabilities: np.ndarray,
    pixel_pm: float,
    crystal: Crystal,
    labels: Mapping[str, Any],
    *,
    valid: np.ndarray | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Columns in the coordinates of the map: ``x_pm``, ``y_pm``, ``element``, ``depth``, ``confidence``.

    Parameters
    ----------
    probabilities : (class, y, x), the crystal upright, classes 0 … n atoms.
    pixel_pm : side of the map's pixel.
    crystal : the specimen's.
    labels : the labels block the network was trained on; its ``core_radius_pm`` is what is pooled over.
    valid : (y, x) bool; columns on invalid pixels are left out.
    warn : called if columns of different elements cannot be told apart.

    Position: the lattice place, moved to the centroid of the expected depth of the pixels that the column owns
    within its core, at most 40 pm. Depth and confidence: maximum of the mean probability vector of these pixels
    (SegDepth eqs. 4 and 5 on the column). Sorted by y, then x. Mixed columns are named by their heaviest element.
    """
    depth = expected_depth(probabilities)
    valid = np.ones(depth.shape, dtype=bool) if valid is None else valid
    places = lattice_places(depth, pixel_pm, crystal, labels, valid, warn)
    if not len(places):
        return pd.DataFrame(columns=COLUMNS)
    radius = places["element"].map(_radii(labels)[0]).to_numpy(float)
    owner, flat, grid = _owned_pixels(places, radius, valid, pixel_pm)
    if not len(flat):
        return pd.DataFrame(columns=COLUMNS)
    size = len(places)
    number = np.bincount(owner, minlength=size)
    pooled = np.stack([np.bincount(owner, p.ravel()[flat], minlength=size) for p in probabilities], axis=1)
    shift = _centroid_shift(owner, depth.ravel()[flat], grid[flat], number)
    shift *= np.minimum(1, min(SHIFT_PM, SHIFT_SHARE * crystal.nearest_column_pm) / _length(shift))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled /= number[:, None]
    table = pd.DataFrame(
        {
            "x_pm": places["x_pm"] + shift[:, 0],
            "y_pm": places["y_pm"] + shift[:, 1],
            "element": places["element"],
            "depth": np.nan_to_num(pooled).argmax(axis=1),
            "confidence": np.nan_to_num(pooled).max(axis=1),
        }
    )
    i = np.floor(table["y_pm"].fillna(-1) / pixel_pm).astype(int).to_numpy()
    j = np.floor(table["x_pm"].fillna(-1) / pixel_pm).astype(int).to_numpy()
    here = (i >= 0) & (i < depth.shape[0]) & (j >= 0) & (j < depth.shape[1]) & (number > 0)
    here[here] &= valid[i[here], j[here]]
    kept = table[here & (table["depth"].to_numpy() > 0)]
    return kept.sort_values(["y_pm", "x_pm"], kind="stable").reset_index(drop=True)


def _owned_pixels(
    places: pd.DataFrame, radius: np.ndarray, valid: np.ndarray, pixel_pm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that lie within the radius of the place nearest to them: the place's row, the pixel's flat index; and the
    centres (pixel, 2) of all pixels."""
    rows, columns = valid.shape
    y, x = (np.arange(rows) + 0.5) * pixel_pm, (np.arange(columns) + 0.5) * pixel_pm
    grid = np.stack([np.broadcast_to(x, valid.shape).ravel(), np.repeat(y, columns)], axis=1)
    distance, owner = cKDTree(places[["x_pm", "y_pm"]].to_numpy()).query(grid, distance_upper_bound=radius.max())
    inside = np.isfinite(distance) & valid.ravel()
    inside[inside] &= distance[inside] <= radius[owner[inside]]
    return owner[inside], np.flatnonzero(inside), grid


def _centroid_shift(owner: np.ndarray, weight: np.ndarray, centres: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Centroid (place, 2) of the weights of each place's pixels, relative to that of the same pixels without weights:
    pixels owned are no disc."""
    total = np.bincount(owner, weight, minlength=len(number))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                np.bincount(owner, weight * centres[:, axis], minlength=len(number)) / total
                - np.bincount(owner, centres[:, axis], minlength=len(number)) / number
                for axis in (0, 1)
            ],
            axis=1,
        )


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(*vectors.T), 1e-9)
