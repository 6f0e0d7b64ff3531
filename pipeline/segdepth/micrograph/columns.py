"""Atomic columns from a network's probability maps: where each stands, Ce or O, how many atoms, how sure.

Labels of neighbouring columns touch (Ce-O is 135 pm, the flat cores reach 85 + 64 pm), so columns of equal depth melt
into one plateau and maxima alone do not tell them apart. The lattice does. Around each point the phases of the two
{111} Fourier components of the expected depth are measured in a Gaussian window (geometric phase analysis: Hÿtch,
Snoeck & Kilaas, Ultramicroscopy 74 (1998) 131). To these components the Ce columns, at (0,0) and (½,½), all add with
phase 0, while the O columns at (¼,0), (¾,0), (¼,½), (¾,½) cancel: the phases say where Ce must be, and with it O. Being
local, they follow strain, small rotations and errors of the pixel size. At each such place the depth is the most
probable class of the mean probability vector over the core's pixels; places of depth 0 hold no column. Where the
components are too weak there is no lattice and no column is listed. Must not know of micrographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.specimen.lattice import periods_pm

LATTICE_PM = 541.1
WINDOW_PM = 450.0
"""Standard deviation of the window in which phases are measured."""

LEAST_AMPLITUDE = 0.03
"""Of each {111} component over the mean expected depth; ideal maps show 0.1 and more."""

LEAST_DEPTH = 0.2
"""Mean expected depth in the window below which it is vacuum."""

MERGE_PM = 50.0
SHIFT_PM = 40.0
"""How far a column may stand from its lattice place."""

SUBLATTICES = (("Ce", 0.0), ("O", 0.25), ("O", 0.75))
"""Element and both {111} phases, in periods, of its places."""

CORE_PM = {"Ce": 85.0, "O": 64.0}
COLUMNS = ["x_pm", "y_pm", "element", "depth", "confidence"]


def expected_depth(probabilities: np.ndarray) -> np.ndarray:
    """Mean number of atoms, (y, x), of probabilities (class, y, x)."""
    return np.tensordot(np.arange(len(probabilities), dtype=np.float32), probabilities, axes=1)


def _lattice_vectors(lattice_pm: float) -> np.ndarray:
    """(1, 1) and (1, -1) in 1/pm as rows (x, y)."""
    a, b, _ = periods_pm(lattice_pm)
    return np.array([[1 / a, 1 / b], [1 / a, -1 / b]])


def lattice_places(
    depth: np.ndarray, pixel_pm: float, lattice_pm: float = LATTICE_PM, valid: np.ndarray | None = None
) -> pd.DataFrame:
    """Where the lattice wants columns: ``x_pm``, ``y_pm``, ``element``; also in the vacuum near the crystal.

    Parameters
    ----------
    depth : expected depth (y, x), [001] along x.
    valid : (y, x); what is not valid does not count.
    """
    inside = np.ones(depth.shape) if valid is None else valid.astype(np.float64)
    vectors = _lattice_vectors(lattice_pm)
    width = WINDOW_PM / pixel_pm
    rows, columns = depth.shape
    y, x = (np.arange(rows)[:, None] + 0.5) * pixel_pm, (np.arange(columns)[None, :] + 0.5) * pixel_pm

    def blurred(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, width, mode="constant", truncate=3.0)

    mean, area = blurred(depth * inside), blurred(inside)
    # less its local mean, so that an oblique border does not look like a wave
    modulation = inside * (depth - mean / np.maximum(area, 1e-9))
    phase, strong = [], (mean > LEAST_DEPTH * area) & (area > 1e-3)
    for gx, gy in vectors:
        wave = np.exp(2j * np.pi * (gx * x + gy * y))
        # depth ~ cos(2π(g·r - p)): the component of depth · exp(-2πi g·r) is exp(-2πi p)
        component = modulation * wave.conj()
        component = blurred(component.real) + 1j * blurred(component.imag)
        strong &= np.abs(component) > LEAST_AMPLITUDE * mean
        phase.append(np.angle(wave * component) / (2 * np.pi))
    if not strong.any():
        return pd.DataFrame({"x_pm": [], "y_pm": [], "element": []})
    inverse = np.linalg.inv(vectors)
    found = []
    for element, offset in SUBLATTICES:
        off = np.stack([p - offset - np.rint(p - offset) for p in phase])
        dx, dy = -np.tensordot(inverse, off, axes=1)
        # every pixel names the place nearest to it; those next to a place are kept and averaged
        near = strong & (np.hypot(dx, dy) < 1.5 * pixel_pm)
        i, j = np.nonzero(near)
        points = np.stack([x[0, j] + dx[near], y[i, 0] + dy[near]], axis=1)
        weights = 1 / (0.25 + (dx[near] ** 2 + dy[near] ** 2) / pixel_pm**2)
        for px, py in _merged(points, weights):
            found.append((px, py, element))
    return pd.DataFrame(found, columns=["x_pm", "y_pm", "element"])


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
    *,
    valid: np.ndarray | None = None,
    labels: Mapping[str, Any] | None = None,
    lattice_pm: float = LATTICE_PM,
) -> pd.DataFrame:
    """Columns in the coordinates of the map: ``x_pm``, ``y_pm``, ``element`` (Ce, O), ``depth``, ``confidence``.

    Parameters
    ----------
    probabilities : (class, y, x), [001] along x, classes 0 … n atoms.
    valid : (y, x); columns that stand on invalid pixels are left out.
    labels : the labels block the network was trained on; its ``core_radius_pm`` is what is pooled over.

    Position: the lattice place, moved to the centroid of the expected depth of the pixels that the column owns
    within its core, at most 40 pm. Depth and confidence: maximum of the mean probability vector of these pixels
    (SegDepth eqs. 4 and 5 on the column). Sorted by y, then x.
    """
    core = {**CORE_PM, **dict((labels or {}).get("core_radius_pm", {}))}
    depth = expected_depth(probabilities)
    valid = np.ones(depth.shape, dtype=bool) if valid is None else valid
    places = lattice_places(depth, pixel_pm, lattice_pm, valid)
    if not len(places):
        return pd.DataFrame(columns=COLUMNS)
    rows, columns = depth.shape
    y, x = (np.arange(rows) + 0.5) * pixel_pm, (np.arange(columns) + 0.5) * pixel_pm
    grid = np.stack([np.broadcast_to(x, depth.shape).ravel(), np.repeat(y, columns)], axis=1)
    radius = places["element"].map(core).to_numpy(float)
    distance, owner = cKDTree(places[["x_pm", "y_pm"]].to_numpy()).query(grid, distance_upper_bound=radius.max())
    inside = np.isfinite(distance) & valid.ravel()
    inside[inside] &= distance[inside] <= radius[owner[inside]]
    owner, flat = owner[inside], np.flatnonzero(inside)
    if not len(flat):
        return pd.DataFrame(columns=COLUMNS)
    number = np.bincount(owner, minlength=len(places))
    pooled = np.stack([np.bincount(owner, p.ravel()[flat], minlength=len(places)) for p in probabilities], axis=1)
    weight = depth.ravel()[flat]
    total = np.bincount(owner, weight, minlength=len(places))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled /= number[:, None]
        # pixels owned are no disc: the centroid is taken relative to that of the same pixels without weights
        shift = np.stack(
            [
                np.bincount(owner, weight * grid[flat, axis], minlength=len(places)) / total
                - np.bincount(owner, grid[flat, axis], minlength=len(places)) / number
                for axis in (0, 1)
            ],
            axis=1,
        )
    length = np.hypot(*shift.T)
    shift *= np.minimum(1, SHIFT_PM / np.maximum(length, 1e-9))[:, None]
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
    here = (i >= 0) & (i < rows) & (j >= 0) & (j < columns) & (number > 0)
    here[here] &= valid[i[here], j[here]]
    kept = table[here & (table["depth"].to_numpy() > 0)]
    return kept.sort_values(["y_pm", "x_pm"], kind="stable").reset_index(drop=True)
