"""Sums over images, kept by structure and defocus, and what is reported of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segdepth.config import CLASSES, ELEMENTS
from segdepth.evaluation import calibration, metrics
from segdepth.evaluation.scenes import Scene


class Tallies:
    """The sums of an evaluation; ``add`` each image once, in any order."""

    def __init__(self, structures: int, defoci: int) -> None:
        lead = (structures, defoci)
        self.confusion = np.zeros((*lead, metrics.GROUPS, CLASSES, CLASSES), np.int64)
        self.centre = np.zeros((*lead, metrics.GROUPS, 2), np.int64)
        self.columns = np.zeros((*lead, len(ELEMENTS), len(metrics.COLUMN_SUMS)))
        self.reliability = np.zeros((len(calibration.POPULATIONS), calibration.BINS, 3))

    def add(self, place: int, defocus: int, scene: Scene, probabilities: np.ndarray) -> pd.DataFrame:
        """Count one image, ``probabilities`` (class, y, x); returns its columns with ``depth`` and ``confidence``."""
        estimate, confidence = probabilities.argmax(0), probabilities.max(0)
        here = (place, defocus)
        self.confusion[here] = metrics.confusion_matrix(scene.depth, estimate, scene.group)
        self.centre[here] = metrics.centre_tally(scene.depth, estimate, scene.group, scene.centre)
        right, atomic = estimate == scene.depth, scene.depth > 0
        self.reliability[0] += calibration.reliability_sums(confidence, right)
        self.reliability[1] += calibration.reliability_sums(confidence[atomic], right[atomic])
        pooled = metrics.pool_columns(probabilities, scene.owner, scene.core, len(scene.columns))
        seen = scene.columns["whole"].to_numpy() & np.isfinite(pooled).all(axis=1)
        found = scene.columns[seen].assign(depth=pooled[seen].argmax(1), confidence=pooled[seen].max(1))
        self.columns[here] = metrics.column_tally(*(found[name].to_numpy() for name in ("atoms", "depth", "element")))
        return found

    def _fractions(self, *axes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return metrics.fractions(*(a.sum(axes) for a in (self.confusion, self.centre, self.columns)))

    def report(self, rng: np.random.Generator) -> dict[str, Any]:
        """Every metric, its interval over structures, and both calibration errors."""
        found: dict[str, Any] = {name: metrics.ratio(*parts) for name, parts in self._fractions(0, 1).items()}
        for name, interval in metrics.bootstrap_intervals(self._fractions(1), rng).items():
            found[f"{name}_interval"] = interval
        for suffix, sums in zip(("", "_columns"), self.reliability):
            found[f"expected_calibration_error{suffix}"] = calibration.expected_calibration_error(sums)
        return found

    def by_defocus(self, defocus_nm: tuple[float, ...]) -> pd.DataFrame:
        """One row a defocus: ``defocus_nm``, ``images``, and every metric."""
        columns: dict[str, Any] = {"defocus_nm": defocus_nm, "images": len(self.confusion)}
        for name, (above, below) in self._fractions(0).items():
            columns[name] = [metrics.ratio(a, b) for a, b in zip(above, below)]
        return pd.DataFrame(columns)

    def confusion_table(self) -> pd.DataFrame:
        """Pixels by true (rows) and estimated depth (columns)."""
        return pd.DataFrame(self.confusion.sum((0, 1, 2))).rename_axis("true")

    def calibration_table(self) -> pd.DataFrame:
        """``population`` (see ``calibration.POPULATIONS``) and the columns of ``reliability_curve``."""
        curves = [
            pd.DataFrame(calibration.reliability_curve(sums)).assign(population=name)
            for name, sums in zip(calibration.POPULATIONS, self.reliability)
        ]
        table = pd.concat(curves, ignore_index=True)
        return table[["population", *table.columns.drop("population")]]

    def write_tables(self, folder: Path, defocus_nm: tuple[float, ...]) -> None:
        """``by_defocus.csv``, ``confusion.csv``, ``calibration.csv``."""
        options: dict[str, Any] = {"lineterminator": "\n", "float_format": "%.9g"}
        self.by_defocus(defocus_nm).to_csv(folder / "by_defocus.csv", index=False, **options)
        self.confusion_table().to_csv(folder / "confusion.csv", **options)
        self.calibration_table().to_csv(folder / "calibration.csv", index=False, **options)
