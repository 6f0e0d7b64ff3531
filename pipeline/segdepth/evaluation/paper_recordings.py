"""What the paper shows of a micrograph and of a film (Figs. 10 to 12), as rows of ``segdepth.evaluation.paper``, where
the truth is known, which the paper could not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.config import ALL
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.evaluation.metrics import ratio
from segdepth.evaluation.recorded_columns import OF_COLUMNS, frame_counts, matched_columns

SHOWN = ("columns_exact", "columns_within_one")
EVENT_METHODS = {"hmm": "hidden Markov model", "frame": "single frames"}
"""Methods of ``measure-film`` whose scores stand in the rows, and what they are called."""

BY_CHANCE = "by chance"
ESTIMATE, LARGEST, RADIUS = "estimated_depth", "depth_of_largest_gradient", "half_energy_radius_pm"


@dataclass(frozen=True)
class RecordedColumns:
    """The prediction of a simulated micrograph, and its true columns (``true_columns``).

    ``listed`` : columns of the prediction, with ``x_pm`` and ``y_pm`` in the micrograph. ``top`` : the class that
    stands for more atoms than are counted, if there is one. ``size_pm`` : sides (y, x) of the micrograph.
    """

    model: str
    dose_lambda: float
    listed: pd.DataFrame
    true: pd.DataFrame
    top: int | None
    size_pm: tuple[float, float]


@dataclass(frozen=True)
class Boundary:
    """What ``measure-boundary`` found on a micrograph; ``places`` of ``places_table``."""

    model: str
    dose_lambda: float
    places: pd.DataFrame


def places_table(gradients: xr.Dataset) -> pd.DataFrame:
    """``place``, ``ESTIMATE``, ``LARGEST`` (the depth whose gradient has most energy) and ``RADIUS`` of the gradients
    of ``gradients_of_frame``."""
    energy = np.square(gradients["gradient"].values[:, 0].astype(float)).sum((-2, -1))  # place, class
    return pd.DataFrame(
        {
            "place": list(gradients.attrs["places"]),
            ESTIMATE: gradients["place_depth"].values.astype(int),
            LARGEST: energy.argmax(1),
            RADIUS: gradients[RADIUS].values,
        }
    )


def column_rows(recorded: RecordedColumns) -> Iterator[dict[str, Any]]:
    """``metric``, ``element``, ``value``, ``note``: shares of the true columns that were found whose count is right or
    one off, share of the true ones that were found, and share of the listed ones that are none (Fig. 10)."""
    matched = matched_columns(recorded.listed, recorded.true, recorded.top)
    elements = sorted(set(recorded.true["element"]), key=ATOMIC_NUMBER.__getitem__, reverse=True)
    for element in (ALL, *elements):
        found = matched if element == ALL else matched[matched["true_element"] == element]
        true = len(recorded.true) if element == ALL else int((recorded.true["element"] == element).sum())
        note = f"{len(found)} of {true} columns were found"
        shares = {name: ratio(np.sum(OF_COLUMNS[name][0](found)), len(found)) for name in SHOWN}
        for name, value in (shares | {"columns_found": ratio(len(found), true)}).items():
            yield {"metric": name, "element": element, "value": value, "note": note}
    counts = frame_counts(recorded.listed, recorded.true, recorded.size_pm)
    note = f"of {counts['listed']} listed columns"
    value = ratio(counts["false"], counts["listed"])
    yield {"metric": "columns_false", "element": ALL, "value": value, "note": note}


def boundary_rows(boundary: Boundary) -> Iterator[dict[str, Any]]:
    """``row``, ``metric``, ``value`` at the boundary and in the vacuum (Fig. 11)."""
    for found in boundary.places.to_dict("records"):
        for name in (LARGEST, ESTIMATE, RADIUS):
            yield {"row": found["place"], "metric": name, "value": float(found[name])}


def event_rows(scores: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """``row``, ``lambda``, ``metric``, ``element``, ``value``, ``low``, ``high``, ``images``, ``note``: precision and
    recall of a film's events, and what the same number of events at other times gives (Fig. 12).

    Parameters
    ----------
    scores : of ``measure-film``.
    """
    for method, name in EVENT_METHODS.items():
        for found in scores[scores["method"] == method].to_dict("records"):
            facts = {"element": found["element"], "lambda": found["dose_lambda"], "images": int(found["frames"])}
            facts["note"] = f"{found['true']} true events, {found['found']} found"
            for metric in ("precision", "recall"):
                ends = {end: found[f"{metric}_{end}"] for end in ("low", "high")}
                yield facts | {"row": name, "metric": metric, "value": found[metric]} | ends
                yield facts | {"row": f"{name}, {BY_CHANCE}", "metric": metric, "value": found[f"{metric}_by_chance"]}
