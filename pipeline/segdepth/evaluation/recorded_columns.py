"""The columns that were listed for a recording, held against the true ones.

Lengths in pm, from the corner of the recording's pixel [0, 0]; x along its columns, y along its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree

from segdepth.config import ALL
from segdepth.crystals.elements import SYMBOLS
from segdepth.evaluation.calibration import expected_calibration_error, reliability_sums
from segdepth.evaluation.ground_truth import AWAY_PM
from segdepth.evaluation.metrics import THICK_ATOMS, VACUUM_NM2, bootstrap_weights, percentile_interval, ratio
from segdepth.labels.depth import read_columns

NEAR_PM = 60.0
"""A listed column no further from a true one is that one: less than half the distance of neighbours."""

CONFIDENCE_BINS = 10
DRAWS = 1000

MATCHED = ("true_element", "true_atoms", "depth", "confidence", "depth_low", "depth_high", "at_least", "reliable")
"""Columns of ``matched_columns``."""


def true_columns(labels: xr.Dataset, index: int, pixel_pm: float, shape: tuple[int, int]) -> pd.DataFrame:
    """``x_pm``, ``y_pm``, ``element`` (its symbol) and ``atoms`` of the true columns that lie in a recording, which
    shows the middle of the field.

    Parameters
    ----------
    labels : a store of depth maps. index : of the structure in the plan. pixel_pm, shape : of the recording, (y, x).
    """
    true = read_columns(labels, index)
    height, width = (side * pixel_pm for side in shape)
    inset_x, inset_y = (np.broadcast_to(labels.attrs["field_pm"], 2) - (width, height)) / 2
    true = true.assign(
        element=[SYMBOLS[number] for number in true["element"]],
        x_pm=true["x_pm"] - inset_x,
        y_pm=true["y_pm"] - inset_y,
    )
    return true[true["x_pm"].between(0, width) & true["y_pm"].between(0, height) & (true["atoms"] > 0)]


def turned(columns: pd.DataFrame, size_pm: tuple[float, float], quarter_turns: int) -> pd.DataFrame:
    """Columns as they lie in a recording that ``np.rot90`` has turned.

    Parameters
    ----------
    size_pm : sides (y, x) of the recording before it was turned.
    """
    x, y, (height, width) = columns["x_pm"].to_numpy(), columns["y_pm"].to_numpy(), size_pm
    for _ in range(quarter_turns % 4):
        x, y = y, width - x
        height, width = width, height
    return columns.assign(x_pm=x, y_pm=y)


def matched_columns(listed: pd.DataFrame, true: pd.DataFrame, top: int | None) -> pd.DataFrame:
    """One row a true column with a listed one near it: ``MATCHED``.

    Parameters
    ----------
    listed : ``x_pm``, ``y_pm``, ``depth``, ``confidence``, ``depth_low``, ``depth_high``, ``at_least``, ``reliable``.
    true : ``x_pm``, ``y_pm``, ``element``, ``atoms``.
    top : the class that stands for more atoms than are counted, if there is one: thicker columns are of this class.
    """
    if listed.empty or true.empty:
        return pd.DataFrame(columns=MATCHED)
    distance, which = cKDTree(listed[["x_pm", "y_pm"]].to_numpy()).query(true[["x_pm", "y_pm"]].to_numpy())
    near = distance < NEAR_PM
    found = listed.iloc[which[near]].reset_index(drop=True)
    known = true[near].reset_index(drop=True)
    atoms = known["atoms"].to_numpy(int)
    return found[[*MATCHED[2:]]].assign(
        true_element=known["element"], true_atoms=atoms if top is None else np.minimum(atoms, top)
    )[[*MATCHED]]


def frame_counts(listed: pd.DataFrame, true: pd.DataFrame, size_pm: tuple[float, float]) -> dict[str, float]:
    """``true``, ``found``, ``listed``, ``false`` columns, ``false_in_vacuum`` and ``vacuum_nm2`` of one recording."""
    places, known = listed[["x_pm", "y_pm"]].to_numpy(float), true[["x_pm", "y_pm"]].to_numpy(float)
    height, width = size_pm
    y, x = np.meshgrid(np.arange(25.0, height, 50.0), np.arange(25.0, width, 50.0), indexing="ij")
    tree = cKDTree(known) if len(known) else None

    def distance(points: np.ndarray) -> np.ndarray:
        return tree.query(points)[0] if tree is not None and len(points) else np.full(len(points), np.inf)

    lone = distance(places)
    found = cKDTree(places).query(known)[0] < NEAR_PM if len(places) and len(known) else np.zeros(len(known), bool)
    empty = distance(np.stack([x.ravel(), y.ravel()], axis=1)) > AWAY_PM
    return {
        "true": len(known),
        "found": int(found.sum()),
        "listed": len(places),
        "false": int((lone >= NEAR_PM).sum()),
        "false_in_vacuum": int((lone > AWAY_PM).sum()),
        "vacuum_nm2": float(empty.sum()) * 0.05**2,
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float | None:
    """Expected calibration error over ``CONFIDENCE_BINS`` equal bins; None without columns."""
    return expected_calibration_error(reliability_sums(confidence, right, CONFIDENCE_BINS))


def measured(columns: pd.DataFrame, frames: pd.DataFrame, elements: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Metrics of a yardstick with 95 % intervals by bootstrap over structures: ``metric``, ``element``, ``value``,
    ``low``, ``high``.

    Parameters
    ----------
    columns : ``MATCHED`` of all recordings, with ``structure``.
    frames : one row a recording: ``structure``, ``outcome`` and the numbers of ``frame_counts``.
    """
    structures = np.unique(frames["structure"])
    weights = bootstrap_weights(len(structures), np.random.default_rng(seed), DRAWS)

    def row(metric: str, element: str, table: pd.DataFrame, over: np.ndarray, under: np.ndarray) -> dict[str, Any]:
        place = np.searchsorted(structures, table["structure"].to_numpy())
        sums = [np.bincount(place, np.asarray(part, float), len(structures)) for part in (over, under)]
        drawn = [weights @ one for one in sums]
        kept = drawn[1] > 0
        low, high = percentile_interval(drawn[0][kept] / drawn[1][kept]) if kept.any() else (None, None)
        return {
            "metric": metric,
            "element": element,
            "value": ratio(sums[0].sum(), sums[1].sum()),
            "low": low,
            "high": high,
        }

    rows = [row(name, ALL, frames, over(frames), under(frames)) for name, (over, under) in OF_FRAMES.items()]
    for element in (ALL, *elements):
        mine = columns if element == ALL else columns[columns["true_element"] == element]
        rows += [row(name, element, mine, over(mine), under(mine)) for name, (over, under) in OF_COLUMNS.items()]
    right = (columns["depth"] == columns["true_atoms"]).to_numpy(float)
    error = calibration_error(columns["confidence"].to_numpy(float), right)
    rows.append({"metric": "expected_calibration_error_columns", "element": ALL, "value": error})
    return rows


def _error(columns: pd.DataFrame) -> pd.Series:
    return (columns["depth"] - columns["true_atoms"]).astype(float)


def _thick(columns: pd.DataFrame) -> pd.Series:
    return columns["true_atoms"] > THICK_ATOMS


def _covered(columns: pd.DataFrame) -> pd.Series:
    below = columns["true_atoms"] <= columns["depth_high"]
    return (columns["depth_low"] <= columns["true_atoms"]) & (below | columns["at_least"].astype(bool))


def _all(table: pd.DataFrame) -> np.ndarray:
    return np.ones(len(table))


_Part = Callable[[pd.DataFrame], Any]

OF_COLUMNS: dict[str, tuple[_Part, _Part]] = {
    "columns_exact": (lambda c: _error(c) == 0, _all),
    "columns_within_one": (lambda c: _error(c).abs() <= 1, _all),
    "columns_mean_error": (_error, _all),
    "columns_mean_absolute_error": (lambda c: _error(c).abs(), _all),
    "columns_relative_error_thick": (
        lambda c: np.where(_thick(c), _error(c).abs() / c["true_atoms"].clip(lower=1), 0.0),
        _thick,
    ),
    "columns_covered": (_covered, _all),
    "columns_set_width": (lambda c: c["depth_high"] - c["depth_low"] + 1, _all),
}
"""Numerator and denominator of each metric of columns."""

OF_FRAMES: dict[str, tuple[_Part, _Part]] = {
    "frames_refused": (lambda f: f["outcome"] == "refused", _all),
    "frames_outside": (lambda f: f["outcome"] == "outside", _all),
    "columns_found": (lambda f: f["found"], lambda f: f["true"]),
    "columns_false": (lambda f: f["false"], lambda f: f["listed"]),
    "false_columns_per_100_nm2": (lambda f: VACUUM_NM2 * f["false_in_vacuum"], lambda f: f["vacuum_nm2"]),
}
"""The same for metrics of recordings."""
