"""Detectability d' of one atom more or less in a column.

Two images I0 and I1 of a pixel that counts λ electrons in vacuum are distinguished with d'² = Σ (I1 - I0)² λ / I0 over
the pixels, where all but the one column is known (the matched filter; Poisson noise, many electrons a pixel). The error
rate of any method is at least Q(d'/2).

There are three kinds of ideal observers. ``image``: everything but one count is known, and nothing is inferred from the
neighbours. ``prior``: the planned smooth wedge is known, without point defects (shifted counts, vacancies, missing and
added atoms) and without an image. ``image_and_prior``: where counts are shifted, the wedge gives the middle of a
column's range of counts, the image which of them it is (``exact_share_of``).

Beside a network's ``columns_exact``: ``image_and_prior`` is an upper bound, since everything but one count is known;
``image`` is one only for methods that infer nothing from the neighbours. Both are of columns that have both
neighbouring counts among the depth classes and stand well inside the field
(``segdepth.evaluation.ideal_observer_columns``), while a network is measured on all whose core lies in the field.

``image_and_prior`` takes every count around the wedge's to be as likely. Vacancies spread them wider, which makes it a
little too high: by 0.025 at most with 5 % of vacancies. Where shifted counts are clipped at an end of their range fewer
are left, and it is too low; a wedge that keeps clear of both ends, as the rough benchmark's, has none of these. By true
count it is a guide only: the thinnest and the thickest columns are mostly at an end of their range of counts, have one
neighbour there, and can be counted better (9 atoms of the rough benchmark by 0.05 to 0.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from segdepth.config import ALL
from segdepth.evaluation.ideal_observer_columns import PRIOR_SUMS
from segdepth.evaluation.metrics import bootstrap_intervals, ratio

VALUES = ("columns_exact", "binary_error", "d_prime_minus", "d_prime_plus")
"""Of the image; ``binary_error``: n atoms or one less; ``d_prime_minus`` and ``_plus``: from n to n - 1 and to n + 1
atoms."""

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
    counts make it too high or too low; see the module's docstring. None with one choice, where counts are not shifted.
    """
    return None if share is None or choices < 2 else 1 / choices + (1 - 1 / choices) * share


def _by_element(table: pd.DataFrame, elements: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """``all`` with all rows, then each element with its own."""
    yield ALL, table
    for element in elements:
        yield element, table[table["element"] == element]


def image_intervals(
    table: pd.DataFrame, structures: Sequence[int], elements: Sequence[str], rng: np.random.Generator
) -> dict[str, list[float] | None]:
    """95 % bootstrap intervals over ``structures`` of the image's ``columns_exact``, by element.

    None with fewer than two structures, or where a draw of them has no column.
    """
    parts = {}
    for element, rows in _by_element(table, elements):
        each = rows.groupby("structure")["columns_exact"].agg(["sum", "count"]).reindex(list(structures), fill_value=0)
        parts[element] = each["sum"].to_numpy(float), each["count"].to_numpy(float)
    return bootstrap_intervals(parts, rng)


def metrics_table(
    table: pd.DataFrame,
    prior: np.ndarray,
    *,
    elements: Sequence[str],
    structures: Sequence[int],
    choices: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """``metrics`` of ``segdepth.evaluation.results.IdealObserver``.

    Parameters
    ----------
    table : its ``columns``.
    prior : sums of ``ideal_observer_columns.prior_tally``, (element, 3).
    structures : that columns were drawn from, also those without any.
    choices : how many counts the prior leaves open, each as likely.
    """
    intervals = image_intervals(table, structures, elements, rng)
    rows = []
    for place, (element, drawn) in enumerate(_by_element(table, elements)):
        means = {name: float(drawn[name].mean()) if len(drawn) else None for name in ("columns_exact", "binary_error")}
        ends = intervals[element] or (None, None)
        both = [exact_share_of(choices, value) for value in (means["columns_exact"], *ends)]
        counted = dict(zip(PRIOR_SUMS, prior.sum(0) if element == ALL else prior[place - 1]))
        rows += [
            ("image", "columns_exact", element, means["columns_exact"], *ends),
            ("image", "binary_error", element, means["binary_error"], None, None),
            ("image_and_prior", "columns_exact", element, *both),
            ("prior", "columns_exact", element, ratio(counted["exact"], counted["all"]), None, None),
            ("prior", "columns_within_one", element, ratio(counted["within_one"], counted["all"]), None, None),
        ]
    found = pd.DataFrame(rows, columns=["kind", "metric", "element", "value", "low", "high"])
    return found.astype({name: float for name in ("value", "low", "high")})


def by_defocus(table: pd.DataFrame, elements: Sequence[str], choices: int) -> pd.DataFrame:
    """``by_defocus`` of ``segdepth.evaluation.results.IdealObserver`` from its ``columns``."""
    found = _means(table, "defocus_nm", elements, choices)
    return found[["defocus_nm", "kind", "metric", "element", "value"]]


def by_atoms(table: pd.DataFrame, elements: Sequence[str], choices: int) -> pd.DataFrame:
    """``by_atoms`` of ``segdepth.evaluation.results.IdealObserver`` from its ``columns``."""
    found = _means(table, "atoms", elements, choices)
    one = table.drop_duplicates(["structure", "element", "x_pm", "y_pm", "atoms"])
    counts = [
        rows.groupby("atoms", as_index=False).size().assign(element=element)
        for element, rows in _by_element(one, elements)
    ]
    columns = pd.concat(counts, ignore_index=True).rename(columns={"size": "columns"})
    found = found.merge(columns, on=["element", "atoms"])
    return found[["element", "atoms", "columns", "kind", "metric", "value"]]


def _means(table: pd.DataFrame, by: str, elements: Sequence[str], choices: int) -> pd.DataFrame:
    """Means of ``VALUES``, and what they make of ``image_and_prior``, over the rows that agree in ``by``."""
    rows = []
    for element, mine in _by_element(table, elements):
        for place, values in mine.groupby(by)[list(VALUES)].mean().iterrows():
            both = exact_share_of(choices, float(values["columns_exact"]))
            means = [("image", name, values[name]) for name in VALUES] + [("image_and_prior", "columns_exact", both)]
            rows += [(element, place, *each) for each in means]
    found = pd.DataFrame(rows, columns=["element", by, "kind", "metric", "value"])
    return found.astype({by: table[by].dtype, "value": float})
