"""Sums over images, kept by structure and defocus, and the tables made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segdepth.config import ALL, CALIBRATION_NAMES
from segdepth.evaluation import calibration, metrics
from segdepth.evaluation.false_columns import count_false_columns
from segdepth.evaluation.ground_truth import GroundTruth
from segdepth.labels.column_depths import confidence_of, credible_depths

WITH_INTERVALS = ("columns_exact", "centre_accuracy")
"""Metrics whose interval ``by_defocus`` gives as well."""


class Tallies:
    """The sums of an evaluation; ``add`` each image once, in any order.

    Parameters
    ----------
    elements : counted elements, as the ground truth's groups number them.
    classes : of depth, 0 to ``classes - 1`` atoms.
    structures, defoci : how many there are of each.
    more : the last class is for all larger counts; columns with more atoms count as of that class.
    temperature : what the network's logits were divided by.
    pixel_pm : side of the maps' pixel. nearest_pm : distance of the crystal's nearest columns.
    """

    def __init__(
        self,
        elements: Sequence[str],
        classes: int,
        structures: int,
        defoci: int,
        *,
        more: bool,
        temperature: float = 1.0,
        pixel_pm: float,
        nearest_pm: float,
    ) -> None:
        self.elements, self.classes, self.more = tuple(elements), classes, more
        self.temperature = temperature
        self._lengths = pixel_pm, nearest_pm
        self.shape = shape = (len(elements), classes)
        lead = (structures, defoci)
        self.confusion = np.zeros((*lead, shape[0] + 1, classes, classes), np.int64)
        self.centre = np.zeros((*lead, shape[0] + 1, 2), np.int64)
        self.columns = np.zeros((*lead, shape[0], len(metrics.COLUMN_SUMS)))
        self.centre_by_atoms = np.zeros((structures, *shape, 2), np.int64)
        self.columns_by_atoms = np.zeros((structures, *shape, len(metrics.COLUMN_SUMS)))
        self.vacuum = np.zeros((*lead, 2))
        self.reliability = np.zeros((*lead, len(calibration.POPULATIONS), calibration.BINS, 3))

    def add(self, place: int, defocus: int, truth: GroundTruth, probabilities: np.ndarray) -> pd.DataFrame:
        """Count one image, ``probabilities`` (class, y, x); returns its columns with ``depth``, ``confidence``,
        ``depth_low`` and ``depth_high``."""
        estimate, confidence = self._most_probable(probabilities)
        here = (place, defocus)
        self.confusion[here] = metrics.confusion_matrix(truth.depth, estimate, truth.group, self.shape)
        maps = (truth.depth, estimate, truth.group, truth.centre)
        self.centre[here] = metrics.centre_tally(*maps, len(self.elements))
        true_class = np.minimum(truth.columns["atoms"].to_numpy(), self.classes - 1)
        owners = true_class[truth.owner[truth.centre]]
        self.centre_by_atoms[place] += metrics.centre_tally_by_atoms(*maps, owners, self.shape)
        seen, pooled = _pooled(probabilities, truth)
        true = true_class[seen]
        (depth, sure), (low, high) = self._most_probable(pooled.T), credible_depths(pooled)
        self._add_reliability(here, truth, true, probabilities, (estimate, confidence), (depth, sure))
        found = truth.columns[seen].assign(depth=depth, confidence=sure, depth_low=low, depth_high=high)
        covered = (low <= true) & (true <= high)
        tally = metrics.column_tally(true, depth, covered, found["element"].to_numpy(), self.shape)
        self.columns[here] = tally.sum(axis=1)
        self.columns_by_atoms[place] += tally
        area = np.count_nonzero(truth.away) * self._lengths[0] ** 2 / 1e6
        self.vacuum[here] = count_false_columns(probabilities, truth.away, *self._lengths), area
        return found

    def _most_probable(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth and confidence of probabilities (class, ...)."""
        depth = probabilities.argmax(0)
        largest = np.take_along_axis(probabilities, depth[None], axis=0)[0]
        return depth, confidence_of(depth, largest, self.classes, self.more)

    def _add_reliability(
        self,
        here: tuple[int, int],
        truth: GroundTruth,
        true: np.ndarray,
        probabilities: np.ndarray,
        of_pixels: tuple[np.ndarray, np.ndarray],
        of_columns: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """The sums of ``calibration.POPULATIONS``; ``true`` is of the columns that count, ``of_pixels`` and
        ``of_columns`` are depth and confidence after temperature scaling."""
        atomic, curves = truth.depth > 0, {}
        for when in ("", "_before"):
            if when and self.temperature != 1:  # else nothing differs
                probabilities = calibration.before_scaling(probabilities, self.temperature)
                of_pixels = self._most_probable(probabilities)
                of_columns = self._most_probable(_pooled(probabilities, truth)[1].T)
            (estimate, confidence), (depth, sure) = of_pixels, of_columns
            right = estimate == truth.depth
            curves[f"pixels{when}"] = confidence, right
            curves[f"pixels_of_columns{when}"] = confidence[atomic], right[atomic]
            curves[f"columns{when}"] = sure, depth == true
        self.reliability[here] = [calibration.reliability_sums(*curves[name]) for name in calibration.POPULATIONS]

    def _fractions(self, *axes: int) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        sums = (self.confusion, self.centre, self.columns, self.vacuum)
        return metrics.fractions(*(each.sum(axes) for each in sums), self.elements)

    def metrics_table(self, rng: np.random.Generator) -> pd.DataFrame:
        """``metrics`` of ``segdepth.evaluation.results.Evaluation``; intervals are drawn from ``rng``."""
        values = {key: metrics.ratio(*parts) for key, parts in self._fractions(0, 1).items()}
        intervals = metrics.bootstrap_intervals(self._fractions(1), rng)
        for population, name in enumerate(calibration.POPULATIONS.values()):
            sums = self.reliability[:, :, population].sum(1)
            values[name, ALL] = calibration.expected_calibration_error(sums.sum(0))
            intervals[name, ALL] = calibration.calibration_interval(sums, rng)
        return pd.DataFrame(
            [{"metric": m, "element": e, "value": v, **_ends(intervals[m, e])} for (m, e), v in values.items()]
        ).astype({name: float for name in ("value", "low", "high")})

    def by_defocus(self, defocus_nm: Sequence[float], rng: np.random.Generator) -> pd.DataFrame:
        """See ``segdepth.evaluation.results.Evaluation``."""
        kept, whole, steps = self._fractions(), self._fractions(0), range(len(defocus_nm))
        drawn = [key for key in kept if key[0] in WITH_INTERVALS]
        parts = {(*key, d): tuple(part[:, d] for part in kept[key]) for key in drawn for d in steps}
        intervals = metrics.bootstrap_intervals(parts, rng)
        rows: list[dict[str, Any]] = []
        for d in steps:
            values = {key: metrics.ratio(above[d], below[d]) for key, (above, below) in whole.items()}
            for population, name in enumerate(CALIBRATION_NAMES):
                sums = self.reliability[:, d, population].sum(0)
                values[name, ALL] = calibration.expected_calibration_error(sums)
            common = {"defocus_nm": defocus_nm[d], "images": len(self.confusion)}
            for (metric, element), value in values.items():
                ends = _ends(intervals.get((metric, element, d)))
                rows.append(common | {"metric": metric, "element": element, "value": value, **ends})
        return pd.DataFrame(rows).astype({name: float for name in ("value", "low", "high")})

    def _of_count(self) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
        """Element, true count, and the structures' sums of its centre pixels (…, 2) and of its columns (…, 8)."""
        for name, group in ((ALL, slice(None)), *((e, slice(i, i + 1)) for i, e in enumerate(self.elements))):
            for atoms in range(1, self.classes):
                yield name, atoms, *(a[:, group, atoms].sum(1) for a in (self.centre_by_atoms, self.columns_by_atoms))

    def by_atoms(self, rng: np.random.Generator) -> pd.DataFrame:
        """See ``segdepth.evaluation.results.Evaluation``; ``columns_mean_error`` is estimate minus truth."""
        sums = {(e, n): (centre.sum(0), dict(zip(metrics.COLUMN_SUMS, c.T))) for e, n, centre, c in self._of_count()}
        parts = {key: (columns["exact"], columns["all"]) for key, (_, columns) in sums.items()}
        intervals = metrics.bootstrap_intervals(parts, rng)
        rows = []
        for (element, atoms), (centre, columns) in sums.items():
            whole = {name: values.sum() for name, values in columns.items()}
            values = {
                "columns_exact": metrics.ratio(whole["exact"], whole["all"]),
                "columns_within_one": metrics.ratio(whole["within_one"], whole["all"]),
                "columns_mean_error": metrics.ratio(whole["error"], whole["all"]),
                "columns_mean_absolute_error": metrics.ratio(whole["absolute_error"], whole["all"]),
                "columns_covered": metrics.ratio(whole["covered"], whole["all"]),
                "centre_accuracy": metrics.ratio(*centre),
            }
            common = {"element": element, "atoms": atoms, "columns": int(whole["all"])}
            for name, value in values.items():
                ends = _ends(intervals[element, atoms] if name == "columns_exact" else None)
                rows.append(common | {"metric": name, "value": value, **ends})
        return pd.DataFrame(rows).astype({name: float for name in ("value", "low", "high")})

    def by_structure(self, structures: Sequence[int]) -> pd.DataFrame:
        """See ``segdepth.evaluation.results.Evaluation``."""
        tables = [
            pd.DataFrame({"structure": structures, "metric": m, "element": e, "right": right, "total": total})
            for (m, e), (right, total) in self._fractions(1).items()
        ]
        return pd.concat(tables, ignore_index=True)

    def confusion_table(self) -> pd.DataFrame:
        """See ``segdepth.evaluation.results.Evaluation``."""
        pixels = self.confusion.sum((0, 1))
        true, estimate = np.indices((self.classes, self.classes))
        of_element = [(ALL, pixels.sum(0)), *zip(self.elements, pixels)]
        tables = [
            pd.DataFrame({"element": e, "true": true.ravel(), "estimate": estimate.ravel(), "pixels": p.ravel()})
            for e, p in of_element
        ]
        return pd.concat(tables, ignore_index=True)

    def calibration_table(self) -> pd.DataFrame:
        """See ``segdepth.evaluation.results.Evaluation``."""
        curves = [
            pd.DataFrame({"population": name, **calibration.reliability_curve(sums)})
            for name, sums in zip(calibration.POPULATIONS, self.reliability.sum((0, 1)))
        ]
        return pd.concat(curves, ignore_index=True)


def _pooled(probabilities: np.ndarray, truth: GroundTruth) -> tuple[np.ndarray, np.ndarray]:
    """Which columns count, bool (column,), and their mean probabilities (counted column, class)."""
    pooled = metrics.pool_columns(probabilities, truth.owner, truth.core, len(truth.columns))
    seen = truth.columns["whole"].to_numpy() & np.isfinite(pooled).all(axis=1)
    return seen, pooled[seen]


def _ends(interval: Sequence[float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}
