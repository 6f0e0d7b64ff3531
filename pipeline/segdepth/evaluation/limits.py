"""How well single columns can be counted at all, against dose, defocus, count and place, and where to record.

What an ideal observer sees of a column is its detectability d' of one atom less and one more in an image
(``segdepth.evaluation.ideal_observer``): all but this count is known. d' grows with the root of the dose, so that one
estimate serves every dose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from scipy.stats import norm

from segdepth.config import ALL
from segdepth.evaluation.ideal_observer import exact_share

METRICS = ("columns_exact", "columns_within_one")
PLACES = ("edge", "bulk")

EDGE_PM = 400.0
"""Columns nearer than this to the vacuum are at the edge."""

BOTH = "both"
"""Of a map of limits: the mean over elements, each counting alike."""

NEIGHBOURS = ("known", "unknown")
"""Whether an observer knows the counts of the columns around; all else is known to both."""

GOOD = 0.98
"""A setting that reaches this share of the best one is as good."""


def within_one_share(minus: np.ndarray, plus: np.ndarray) -> np.ndarray:
    """Φ(3 d'₋/2) + Φ(3 d'₊/2) - 1: how often the best count is right or one off, as ``exact_share`` with the
    thresholds one atom further out; steps beyond the neighbours are taken to be as large as those to them."""
    return norm.cdf(1.5 * np.asarray(minus)) + norm.cdf(1.5 * np.asarray(plus)) - 1


def at_doses(columns: pd.DataFrame, dose_lambda: float, doses: Sequence[float]) -> pd.DataFrame:
    """Rows of an ideal observer's ``columns`` at each dose: ``dose_lambda`` and ``METRICS`` beside what they had.

    Parameters
    ----------
    columns : with ``d_prime_minus`` and ``d_prime_plus`` at ``dose_lambda``.
    """
    parts = []
    for dose in doses:
        minus, plus = (np.sqrt(dose / dose_lambda) * columns[f"d_prime_{side}"] for side in ("minus", "plus"))
        parts.append(
            columns.assign(
                dose_lambda=float(dose),
                columns_exact=exact_share(minus, plus),
                columns_within_one=within_one_share(minus, plus),
            )
        )
    return pd.concat(parts, ignore_index=True)


def network_columns(columns: pd.DataFrame, dose_lambda: float) -> pd.DataFrame:
    """Columns of an evaluation as rows of the same kind."""
    error = (columns["depth"] - columns["atoms"]).abs()
    return columns.assign(
        dose_lambda=float(dose_lambda),
        columns_exact=(error == 0).astype(float),
        columns_within_one=(error <= 1).astype(float),
    )


def placed(table: pd.DataFrame, distance_pm: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """With ``place``, of ``PLACES``.

    Parameters
    ----------
    table : ``structure``, ``x_pm``, ``y_pm``. distance_pm : by structure, ``x_pm``, ``y_pm`` and ``distance_pm`` (to
        the vacuum) of all its columns.
    """
    found = np.empty(len(table), object)
    for structure, rows in table.groupby("structure").indices.items():
        known = distance_pm[int(structure)]
        _, which = cKDTree(known[["x_pm", "y_pm"]].to_numpy()).query(table[["x_pm", "y_pm"]].to_numpy()[rows])
        found[rows] = np.where(known["distance_pm"].to_numpy()[which] <= EDGE_PM, *PLACES)
    return table.assign(place=found)


def limit_rows(table: pd.DataFrame, source: str, dose_lambda: float) -> pd.DataFrame:
    """Means of ``METRICS`` over columns: ``source``, ``element``, ``by`` (dose_lambda, defocus_nm, atoms, place),
    ``at``, ``metric``, ``value``, ``columns`` (rows that the mean is of).

    Parameters
    ----------
    table : ``element``, ``dose_lambda``, ``defocus_nm``, ``atoms``, ``place`` and ``METRICS``.
    dose_lambda : all but the means by dose are at this one.
    """
    rows = []
    for element in (ALL, *dict.fromkeys(table["element"])):
        mine = table if element == ALL else table[table["element"] == element]
        here = mine[np.isclose(mine["dose_lambda"], dose_lambda)]
        for by, part in (("dose_lambda", mine), ("defocus_nm", here), ("atoms", here), ("place", here)):
            for at, each in part.groupby(by):
                rows += [(source, element, by, at, name, each[name].mean(), len(each)) for name in METRICS]
    return pd.DataFrame(rows, columns=["source", "element", "by", "at", "metric", "value", "columns"])


def map_rows(observed: pd.DataFrame, doses: Sequence[float]) -> pd.DataFrame:
    """Means over columns at each setting and dose: ``neighbours`` (of ``NEIGHBOURS``: whether their counts are known),
    ``element`` (each, and ``BOTH``), ``defocus_nm``, ``c3_um``, ``image_spread_pm``, ``dose_lambda``, ``METRICS``,
    ``d_prime``.

    Parameters
    ----------
    observed : a row a column and setting: ``element``, ``defocus_nm``, ``c3_um``, ``image_spread_pm``,
        ``d_prime_minus`` and ``d_prime_plus`` at λ = 1, neighbours known, and ``independent``: the share of d' that is
        left where they are not (``neighbour_waves``).
    """
    setting = ["neighbours", "defocus_nm", "c3_um", "image_spread_pm", "dose_lambda"]
    alone = {f"d_prime_{side}": observed[f"d_prime_{side}"] * observed["independent"] for side in ("minus", "plus")}
    each = zip(NEIGHBOURS, (observed, observed.assign(**alone)))
    every = pd.concat([at_doses(rows, 1.0, doses).assign(neighbours=name) for name, rows in each], ignore_index=True)
    every["d_prime"] = np.sqrt(every["dose_lambda"]) * (every["d_prime_minus"] + every["d_prime_plus"]) / 2
    means = every.groupby(["element", *setting], as_index=False)[[*METRICS, "d_prime"]].mean()
    both = means.groupby(setting, as_index=False)[[*METRICS, "d_prime"]].mean().assign(element=BOTH)
    return pd.concat([means, both[list(means)]], ignore_index=True)


def recommended(found: pd.DataFrame) -> pd.DataFrame:
    """The best setting of each element, dose and vibration: ``neighbours``, ``element``, ``dose_lambda``,
    ``image_spread_pm``, ``defocus_nm``, ``c3_um``, ``METRICS``, ``defocus_from``, ``defocus_to``: between these, at
    that C3, at least ``GOOD`` of the best share of exact counts is reached.

    Parameters
    ----------
    found : of ``map_rows``.
    """
    rows, key = [], ["neighbours", "element", "dose_lambda", "image_spread_pm"]
    for of, part in found.groupby(key, sort=True):
        best = part.loc[part["columns_exact"].idxmax()]
        line = part[part["c3_um"] == best["c3_um"]].sort_values("defocus_nm")
        good = (line["columns_exact"] >= GOOD * best["columns_exact"]).to_numpy()
        here = int(np.flatnonzero(line["defocus_nm"] == best["defocus_nm"])[0])
        first = last = here
        while first > 0 and good[first - 1]:
            first -= 1
        while last < len(good) - 1 and good[last + 1]:
            last += 1
        values = line["defocus_nm"].to_numpy()
        rows.append(
            dict(zip(key, of))
            | {name: best[name] for name in ("defocus_nm", "c3_um", *METRICS)}
            | {"defocus_from": values[first], "defocus_to": values[last]}
        )
    return pd.DataFrame(rows)
