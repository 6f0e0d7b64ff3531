"""What counting rests on: how far the images of n - 1, n and n + 1 atoms in a column are apart, in units of the noise.

Two images I0 and I1 of a pixel that counts λ electrons in vacuum are told apart with d'² = Σ (I1 - I0)² λ / I0 over
the pixels, where all but the one column is known (the matched filter; Poisson noise, many electrons a pixel). No method
errs more rarely than Q(d'/2) between the two. Nothing here knows where the images come from.

What ``estimate-ideal-observer`` writes into its directory:

- ``limit.json``, flat: ``dataset``, ``specimen``, ``dose_lambda``, ``structures``, ``columns`` (how many were drawn),
  ``limit_exact`` and ``binary_error`` (means over columns and defocus values), ``wedge_exact`` and
  ``wedge_within_one`` (shares of the columns in the fields), ``both_exact`` (image and wedge together, where counts are
  shifted: ``exact_share_of``), each over both elements and ending in ``_Ce`` and ``_O``; 95 % bootstrap intervals over
  structures of ``limit_exact`` and ``both_exact`` in ``<name>_interval`` ([low, high]). What cannot be told is null.
- ``by_defocus.csv``: ``element``, ``defocus_nm``, the means of ``VALUES``, and ``both_exact`` (empty where counts are
  not shifted).
- ``by_atoms.csv``: ``element``, ``atoms``, ``columns`` (how many), the means of ``VALUES``, and ``both_exact``.
- ``columns.csv``: one row a column and image: ``structure``, ``element``, ``x_pm``, ``y_pm``, ``atoms``,
  ``defocus_nm``, and ``VALUES``.

Beside a network's ``columns_exact``: ``both_exact`` is an upper bound, since everything but one count is known;
``limit_exact`` is one only for who guesses nothing from the neighbours. Both are of columns that hold 2 to 9 atoms and
stand 0.6 nm inside the field at least (``segdepth.evaluation.ideal_observer_columns``), while a network is measured on all whose
core lies in the field.

``both_exact`` takes every count around the wedge's to be as likely. Oxygen vacancies spread them wider, which makes it
a little too high: for O, by 0.025 at most with 5 % of vacancies. Where shifted counts are clipped to 1 … 10 fewer are
left, and it is too low; a wedge that keeps clear of both ends, as the rough benchmark's, has none of these. By true
count it is a guide only: the thinnest and the thickest columns are mostly at an end of their range of counts, have one
neighbour there, and can be counted better than it says (9 atoms of the rough benchmark by 0.05 to 0.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from segdepth.config import ELEMENTS
from segdepth.evaluation.metrics import bootstrap_intervals
from segdepth.evaluation.stored import read_facts

COMMAND = "estimate-ideal-observer"
LIMIT = "limit.json"
VALUES = ("limit_exact", "binary_error", "d_prime_minus", "d_prime_plus")
"""``binary_error``: n atoms or one less; ``d_prime_minus`` and ``_plus``: from n to n - 1 and to n + 1 atoms."""

DARKEST = 1e-3
"""Of the vacuum: pixels that are darker count as this bright, so that rounding about zero does not."""


def d_prime(image: np.ndarray, changed: np.ndarray, electrons: float) -> np.ndarray:
    """d' between images of leading axes (…), the last two are y and x.

    Parameters
    ----------
    image, changed : I0 and I1, vacuum = 1. The noise is that of I0.
    electrons : that a pixel counts in vacuum.
    """
    image = image.astype(np.float64)
    square = (changed - image) ** 2 / np.maximum(image, DARKEST)
    return np.sqrt(electrons * square.sum((-2, -1)))


def binary_error(d: np.ndarray) -> np.ndarray:
    """Q(d'/2): how often the best choice between two equally likely images is wrong."""
    return norm.sf(np.asarray(d) / 2)


def exact_share(minus: np.ndarray, plus: np.ndarray) -> np.ndarray:
    """Φ(d'₋/2) + Φ(d'₊/2) - 1: how often the best count of a column with two neighbouring counts is right.

    Every count is as likely and the thresholds lie halfway between neighbours. It takes the images of n - 1, n and
    n + 1 atoms to lie on a line (one number then tells all there is), and everything but this count to be known: other
    columns, lens, dose.

    Nothing else is known of the count; see ``exact_share_of`` for where there is.
    """
    return norm.cdf(np.asarray(minus) / 2) + norm.cdf(np.asarray(plus) / 2) - 1


def exact_share_of(choices: int, share: float | None) -> float | None:
    """1/k + (1 - 1/k) ``share``: the best where a column is known to hold one of k neighbouring counts, each as likely.

    The two counts at the ends have one neighbour only. ``share`` is the mean of ``exact_share``. Other chances of the
    counts make it too high or too low; see the module's docstring.
    """
    return None if share is None else 1 / choices + (1 - 1 / choices) * share


def with_both(table: pd.DataFrame, choices: int) -> pd.DataFrame:
    """``means`` or ``by_atoms`` with ``both_exact`` behind them; NaN with one choice, where counts are not shifted."""
    shares = [exact_share_of(choices, share) if choices > 1 else None for share in table["limit_exact"]]
    return table.assign(both_exact=np.array(shares, float))


def means(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means of ``VALUES`` over the rows of ``columns.csv`` that agree in ``by``."""
    return table.groupby(by, as_index=False)[list(VALUES)].mean()


def by_atoms(table: pd.DataFrame) -> pd.DataFrame:
    """``by_atoms.csv`` from the rows of ``columns.csv``."""
    key, one = ["element", "atoms"], ["structure", "element", "x_pm", "y_pm", "atoms"]
    columns = table.drop_duplicates(one).groupby(key, as_index=False).size().rename(columns={"size": "columns"})
    return columns.merge(means(table, key), on=key)


def _by_element(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """All rows, and those of each element, with what the names of their values end in."""
    return [("", table), *((f"_{e}", table[table["element"] == e]) for e in ELEMENTS)]


def summary(table: pd.DataFrame) -> dict[str, float | None]:
    """``limit_exact`` and ``binary_error`` over all rows, and of each element; None without rows."""
    found: dict[str, float | None] = {}
    for suffix, rows in _by_element(table):
        for name in ("limit_exact", "binary_error"):
            found[name + suffix] = float(rows[name].mean()) if len(rows) else None
    return found


def intervals(
    table: pd.DataFrame, structures: Sequence[int], rng: np.random.Generator
) -> dict[str, list[float] | None]:
    """95 % bootstrap intervals over ``structures`` of ``limit_exact``, over all rows and of each element.

    None with fewer than two structures, or where a draw of them has no column.
    """
    parts = {}
    for suffix, rows in _by_element(table):
        each = rows.groupby("structure")["limit_exact"].agg(["sum", "count"]).reindex(list(structures), fill_value=0)
        parts[f"limit_exact{suffix}"] = each["sum"].to_numpy(float), each["count"].to_numpy(float)
    return bootstrap_intervals(parts, rng)


def read_ideal_observer(folder: str | Path) -> dict[str, Any]:
    """``limit.json`` of a finished estimate.

    Raises
    ------
    StoreError
        The estimate is missing, unfinished or damaged.
    """
    return read_facts(folder, LIMIT, COMMAND)
