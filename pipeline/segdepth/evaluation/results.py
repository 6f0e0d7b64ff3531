"""Evaluations and ideal observers as facts and tables.

A number without a value (nothing was counted) is missing (NaN; an empty cell of the CSV). Shares are 0 to 1,
lengths pm, defocus nm. ``element`` is ``all`` or an element's symbol. ``low`` and ``high`` are the ends of the 95 %
bootstrap interval over structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.config import ALL
from segdepth.errors import StoreError


@dataclass(frozen=True)
class Evaluation:
    """A network measured on the test structures of a data set.

    ``facts`` (``evaluation.json``): ``model``, ``dataset``, ``specimen``, ``crystal`` (formula and zone axis),
    ``elements`` (counted ones, the heaviest first), ``classes``, ``more`` (whether the last class is for all larger
    counts; they then count as one atom more than the largest with a class of its own), ``images``, ``structures``,
    ``columns`` (how many were counted, over all images), ``dose_lambda``, ``electrons_per_square_angstrom``,
    ``parameters`` (of the network), ``base_channels``, ``variant``, ``temperature`` (that its logits were divided by).

    Tables, each a CSV of its name:

    - ``metrics``: ``metric``, ``element``, ``value``, ``low``, ``high``; the metrics of
      ``segdepth.config.METRIC_NAMES`` for all elements and each, those of ``VACUUM_NAMES`` and the calibration errors
      of ``segdepth.evaluation.calibration.POPULATIONS`` for all. A pixel's element is that of its nearest
      column. ``columns_relative_error_thick`` : mean absolute error over the count, of columns of more than 12 atoms;
      ``columns_covered`` : share of columns whose 90 % set holds the truth; ``false_columns_per_100_nm2`` : columns
      seen more than 0.3 nm away from every true one, without a test of their electrons, over the area of such places.
    - ``by_defocus``: ``defocus_nm``, ``images``, then as ``metrics``, of calibration errors ``CALIBRATION_NAMES``
      alone; ``columns_exact`` and ``centre_accuracy`` have an interval.
    - ``by_atoms``: ``element``, ``atoms`` (true count, from 1), ``columns`` (how many, over all images), then
      ``metric``, ``value``, ``low``, ``high``: ``columns_exact`` (with its interval), ``columns_within_one``,
      ``columns_mean_error``, ``columns_mean_absolute_error``, ``columns_covered`` and ``centre_accuracy`` (of the
      pixels within the centre radius of such columns). With ``more`` the last count stands for itself and all above.
    - ``by_structure``: ``structure`` (index in the plan), ``metric`` (all but calibration errors), ``element``,
      ``right``, ``total``: how much was right (or hallucinated, or the sum of errors), and of how much. Their ratio is
      the metric, and differences are paired by them.
    - ``confusion``: ``element``, ``true``, ``estimate``, ``pixels``, every pair of depths; ``all`` also has the pixels
      of images without columns.
    - ``calibration``: ``population`` (see ``segdepth.evaluation.calibration.POPULATIONS``), ``confidence_low``,
      ``confidence_high``, ``number`` (of pixels or of columns), ``mean_confidence``, ``accuracy``.
    - ``columns``: one row a column and image: ``structure``, ``defocus_nm``, ``x_pm``, ``y_pm``, ``element``, ``atoms``
      (true), ``depth`` and ``confidence`` (of the mean probability over its core), ``depth_low`` and ``depth_high`` (of
      its 90 % set, see ``segdepth.labels.column_depths``). Columns whose core leaves the field do not count. None where
      it was not read.

    ``examples``: see ``segdepth.evaluation.examples``.

    ``run`` decides nothing, and is kept in the record of the run: ``device``, ``threads``, ``seconds_per_image`` (the
    network's time for an image, from the noisy image to its probabilities, the median over batches). Empty where it is
    not known.
    """

    facts: dict[str, Any]
    metrics: pd.DataFrame
    by_defocus: pd.DataFrame
    by_atoms: pd.DataFrame
    by_structure: pd.DataFrame
    confusion: pd.DataFrame
    calibration: pd.DataFrame
    columns: pd.DataFrame | None = None
    examples: xr.Dataset | None = None
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(self.facts["elements"])

    def value(self, metric: str, element: str = ALL) -> float | None:
        return number_in(self.metrics, "value", metric=metric, element=element)

    def interval(self, metric: str, element: str = ALL) -> tuple[float, float] | None:
        return interval_in(self.metrics, metric=metric, element=element)

    def reliability(self, population: str) -> pd.DataFrame:
        """The rows of ``calibration`` of one population.

        Raises
        ------
        StoreError
            It has none.
        """
        table = chosen(self.calibration, {"population": population})
        if table.empty:
            name = f"{self.facts['model']}/{self.facts['dataset']}"
            raise StoreError(
                f"results/evaluation/{name}: its calibration.csv has no {population}: it was made by another version "
                f"of SegDepth; make it again: snakemake --cores 1 --force -- results/evaluation/{name}"
            )
        return table

    def confusion_matrix(self, element: str = ALL) -> np.ndarray:
        """Pixels by true and estimated depth, int64 (C true, C estimated)."""
        table = chosen(self.confusion, {"element": element})
        pixels = np.zeros((self.facts["classes"],) * 2, np.int64)
        pixels[table["true"], table["estimate"]] = table["pixels"]
        return pixels


@dataclass(frozen=True)
class IdealObserver:
    """How well columns of a data set's test structures can be counted at all, of three kinds: with the ``image`` (all
    else known), with the ``prior`` (the smooth wedge, without an image), with ``image_and_prior``. See
    ``segdepth.evaluation.ideal_observer``.

    ``facts`` (``ideal_observer.json``): ``dataset``, ``specimen``, ``crystal``, ``elements``, ``dose_lambda``,
    ``structures``, ``columns`` (how many were drawn).

    - ``metrics``: ``kind``, ``metric``, ``element``, ``value``, ``low``, ``high``; of the image ``columns_exact`` and
      ``binary_error`` (n atoms or one less), of the prior ``columns_exact`` and ``columns_within_one``, of both
      ``columns_exact`` (missing where counts are not shifted). ``columns_exact`` of the image and of both has an
      interval.
    - ``by_defocus``: ``defocus_nm``, ``kind``, ``metric``, ``element``, ``value``; ``image`` also has the means of
      ``d_prime_minus`` and ``d_prime_plus`` (from n to n - 1 and to n + 1 atoms).
    - ``by_atoms``: ``element``, ``atoms``, ``columns`` (how many), ``kind``, ``metric``, ``value``; as ``by_defocus``.
    - ``columns``: one row a column and image: ``structure``, ``element``, ``x_pm``, ``y_pm``, ``atoms``,
      ``defocus_nm``, ``columns_exact``, ``binary_error``, ``d_prime_minus``, ``d_prime_plus``, all of the image.
    """

    facts: dict[str, Any]
    metrics: pd.DataFrame
    by_defocus: pd.DataFrame
    by_atoms: pd.DataFrame
    columns: pd.DataFrame | None = None

    def value(self, kind: str, metric: str, element: str = ALL) -> float | None:
        return number_in(self.metrics, "value", kind=kind, metric=metric, element=element)

    def interval(self, kind: str, metric: str, element: str = ALL) -> tuple[float, float] | None:
        return interval_in(self.metrics, kind=kind, metric=metric, element=element)


EVALUATION_TABLES = ("metrics", "by_defocus", "by_atoms", "by_structure", "confusion", "calibration", "columns")
OBSERVER_TABLES = ("metrics", "by_defocus", "by_atoms", "columns")


def number_in(table: pd.DataFrame, name: str, **key: str) -> float | None:
    """The number in column ``name`` of the row with this key; None where it is missing or there is no such row."""
    rows = chosen(table, key)
    return None if rows.empty or pd.isna(rows[name].iloc[0]) else float(rows[name].iloc[0])


def interval_in(table: pd.DataFrame, **key: str) -> tuple[float, float] | None:
    """``low`` and ``high`` of the row with this key; None where they are missing."""
    ends = number_in(table, "low", **key), number_in(table, "high", **key)
    return None if None in ends else ends


def chosen(table: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that have these values."""
    for name, value in key.items():
        table = table[table[name] == value]
    return table
