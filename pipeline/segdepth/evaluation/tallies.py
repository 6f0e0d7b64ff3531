"""Sums over images, kept by structure and defocus, and what is reported of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segdepth.config import CALIBRATION_NAMES, CHANGES, CLASSES, ELEMENTS
from segdepth.evaluation import calibration, metrics
from segdepth.evaluation.ground_truth import GroundTruth

WITH_INTERVALS = tuple(name + suffix for name in ("columns_exact", "centre_accuracy") for suffix in ("", "_Ce", "_O"))
"""Metrics whose interval ``by_defocus.csv`` gives as well."""

BY_STRUCTURE = tuple(CHANGES.values())
"""Metrics whose sums ``by_structure.csv`` gives."""


class Tallies:
    """The sums of an evaluation; ``add`` each image once, in any order."""

    def __init__(self, structures: int, defoci: int) -> None:
        lead = (structures, defoci)
        self.confusion = np.zeros((*lead, metrics.GROUPS, CLASSES, CLASSES), np.int64)
        self.centre = np.zeros((*lead, metrics.GROUPS, 2), np.int64)
        self.columns = np.zeros((*lead, len(ELEMENTS), len(metrics.COLUMN_SUMS)))
        self.centre_by_atoms = np.zeros((structures, len(ELEMENTS), CLASSES, 2), np.int64)
        self.columns_by_atoms = np.zeros((structures, len(ELEMENTS), CLASSES, len(metrics.COLUMN_SUMS)))
        self.reliability = np.zeros((*lead, len(calibration.POPULATIONS), calibration.BINS, 3))

    def add(self, place: int, defocus: int, truth: GroundTruth, probabilities: np.ndarray) -> pd.DataFrame:
        """Count one image, ``probabilities`` (class, y, x); returns its columns with ``depth`` and ``confidence``."""
        estimate, confidence = probabilities.argmax(0), probabilities.max(0)
        here = (place, defocus)
        self.confusion[here] = metrics.confusion_matrix(truth.depth, estimate, truth.group)
        maps = (truth.depth, estimate, truth.group, truth.centre)
        self.centre[here] = metrics.centre_tally(*maps)
        owners = truth.columns["atoms"].to_numpy()[truth.owner[truth.centre]]
        self.centre_by_atoms[place] += metrics.centre_tally_by_atoms(*maps, owners)
        right, atomic = estimate == truth.depth, truth.depth > 0
        self.reliability[here] = [
            calibration.reliability_sums(confidence, right),
            calibration.reliability_sums(confidence[atomic], right[atomic]),
        ]
        pooled = metrics.pool_columns(probabilities, truth.owner, truth.core, len(truth.columns))
        seen = truth.columns["whole"].to_numpy() & np.isfinite(pooled).all(axis=1)
        found = truth.columns[seen].assign(depth=pooled[seen].argmax(1), confidence=pooled[seen].max(1))
        tally = metrics.column_tally(*(found[name].to_numpy() for name in ("atoms", "depth", "element")))
        self.columns[here] = tally.sum(axis=1)
        self.columns_by_atoms[place] += tally
        return found

    def _fractions(self, *axes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return metrics.fractions(*(a.sum(axes) for a in (self.confusion, self.centre, self.columns)))

    def report(self, rng: np.random.Generator) -> dict[str, Any]:
        """Every metric and both calibration errors, each with its interval over structures."""
        found: dict[str, Any] = {name: metrics.ratio(*parts) for name, parts in self._fractions(0, 1).items()}
        for name, interval in metrics.bootstrap_intervals(self._fractions(1), rng).items():
            found[f"{name}_interval"] = interval
        for population, name in enumerate(CALIBRATION_NAMES):
            sums = self.reliability[:, :, population].sum(1)
            found[name] = calibration.expected_calibration_error(sums.sum(0))
            found[f"{name}_interval"] = calibration.calibration_interval(sums, rng)
        return found

    def by_defocus(self, defocus_nm: tuple[float, ...], rng: np.random.Generator) -> pd.DataFrame:
        """One row a defocus: ``defocus_nm``, ``images``, every metric, both calibration errors, and the intervals of
        ``WITH_INTERVALS``."""
        columns: dict[str, Any] = {"defocus_nm": defocus_nm, "images": len(self.confusion)}
        for name, (above, below) in self._fractions(0).items():
            columns[name] = [metrics.ratio(a, b) for a, b in zip(above, below)]
        for population, name in enumerate(CALIBRATION_NAMES):
            sums = self.reliability[:, :, population].sum(0)
            columns[name] = [calibration.expected_calibration_error(each) for each in sums]
        kept, steps = self._fractions(), range(len(defocus_nm))
        parts = {(name, d): tuple(part[:, d] for part in kept[name]) for name in WITH_INTERVALS for d in steps}
        intervals = metrics.bootstrap_intervals(parts, rng)
        for name in WITH_INTERVALS:
            ends = [intervals[name, d] or (None, None) for d in steps]
            columns[f"{name}_low"], columns[f"{name}_high"] = zip(*ends)
        return pd.DataFrame(columns)

    def _of_count(self) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
        """Element, true count, and the structures' sums of its centre pixels (…, 2) and of its columns (…, 5)."""
        for name, group in (*((e, slice(i, i + 1)) for i, e in enumerate(ELEMENTS)), ("both", slice(None))):
            for atoms in range(1, CLASSES):
                yield name, atoms, *(a[:, group, atoms].sum(1) for a in (self.centre_by_atoms, self.columns_by_atoms))

    def by_atoms(self, rng: np.random.Generator) -> pd.DataFrame:
        """One row an element (``both`` for all columns) and true count from 1 to 10, over all images.

        ``element``, ``atoms``, ``columns`` (how many), ``columns_exact``, ``columns_within_one``, ``mean_error``
        (estimate minus truth), ``centre_accuracy`` (of the pixels within the centre radius of such columns), and the
        interval of ``columns_exact`` in ``columns_exact_low`` and ``columns_exact_high``.
        """
        rows, parts = [], {}
        for element, atoms, centre, columns in self._of_count():
            sums = dict(zip(metrics.COLUMN_SUMS, columns.T))
            whole = {name: values.sum() for name, values in sums.items()}
            parts[element, atoms] = (sums["exact"], sums["all"])
            rows.append(
                {
                    "element": element,
                    "atoms": atoms,
                    "columns": int(whole["all"]),
                    "columns_exact": metrics.ratio(whole["exact"], whole["all"]),
                    "columns_within_one": metrics.ratio(whole["within_one"], whole["all"]),
                    "mean_error": metrics.ratio(whole["error"], whole["all"]),
                    "centre_accuracy": metrics.ratio(*centre.sum(0)),
                }
            )
        ends = [interval or (None, None) for interval in metrics.bootstrap_intervals(parts, rng).values()]
        low, high = zip(*ends)
        return pd.DataFrame(rows).assign(columns_exact_low=low, columns_exact_high=high)

    def by_structure(self, structures: Sequence[int]) -> pd.DataFrame:
        """One row a structure: ``structure``, and of each metric in ``BY_STRUCTURE`` how much was right and of how
        much, ``<metric>_right`` and ``<metric>_all``. What changes are paired by."""
        kept, columns = self._fractions(1), {"structure": list(structures)}
        for name in BY_STRUCTURE:
            columns[f"{name}_right"], columns[f"{name}_all"] = kept[name]
        return pd.DataFrame(columns)

    def confusion_table(self) -> pd.DataFrame:
        """Pixels by true (rows) and estimated depth (columns)."""
        return pd.DataFrame(self.confusion.sum((0, 1, 2))).rename_axis("true")

    def calibration_table(self) -> pd.DataFrame:
        """``population`` (see ``calibration.POPULATIONS``) and the columns of ``reliability_curve``."""
        curves = [
            pd.DataFrame(calibration.reliability_curve(sums)).assign(population=name)
            for name, sums in zip(calibration.POPULATIONS, self.reliability.sum((0, 1)))
        ]
        table = pd.concat(curves, ignore_index=True)
        return table[["population", *table.columns.drop("population")]]

    def write_tables(
        self, folder: Path, structures: Sequence[int], defocus_nm: tuple[float, ...], seed: Sequence[int]
    ) -> None:
        """``by_structure``, ``by_defocus``, ``by_atoms``, ``confusion`` and ``calibration``, as .csv; ``seed`` is the
        intervals'."""
        options: dict[str, Any] = {"lineterminator": "\n", "float_format": "%.9g"}
        rng = np.random.default_rng
        self.by_structure(structures).to_csv(folder / "by_structure.csv", index=False, **options)
        self.by_defocus(defocus_nm, rng(seed)).to_csv(folder / "by_defocus.csv", index=False, **options)
        self.by_atoms(rng(seed)).to_csv(folder / "by_atoms.csv", index=False, **options)
        self.confusion_table().to_csv(folder / "confusion.csv", **options)
        self.calibration_table().to_csv(folder / "calibration.csv", index=False, **options)
