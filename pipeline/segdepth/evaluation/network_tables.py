"""Networks side by side, by a block of ``tables``: metrics, their spread, changes and whether aims are met.

The written table is long: one row for each row of the block, metric and element.

| column | what it is |
|---|---|
| ``label``, ``models`` (separated by spaces), ``dataset`` | of the block's row |
| ``shows`` | of an ideal observer: ``image``, ``prior`` or ``image_and_prior``, see ``evaluation.ideal_observer`` |
| ``dose_lambda``, ``seeds`` (how many networks), ``parameters``, ``training_seconds`` | mean over the networks |
| ``metric``, ``element`` | metrics of an evaluation, and ``columns_exact_change``, ``centre_accuracy_change``: the row
  less the one that it is ``against`` |
| ``value`` | of several networks the mean |
| ``low``, ``high`` | of one network, or of an ideal observer, its 95 % bootstrap interval over structures; of several
  networks their lowest and highest value; of a change the interval where both rows were measured on the same
  structures, drawn for both alike |
| ``aim``, ``met`` | what is aimed for, and ``yes`` or ``no`` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from segdepth.config import ALL, ALL_ONLY, CHANGES, METRIC_NAMES, OBSERVER_METRICS, Table, TableRow
from segdepth.evaluation.paired import difference_interval, structure_sums
from segdepth.evaluation.results import Evaluation, IdealObserver

COLUMNS = (
    *("label", "models", "dataset", "shows", "dose_lambda", "seeds", "parameters", "training_seconds"),
    *("metric", "element", "value", "low", "high", "aim", "met"),
)

Key = tuple[str, str]
"""Metric and element."""


class Value(NamedTuple):
    """A number and the ends of its range; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Results:
    """The results of a table: ``evaluations`` by model and data set, ``observers`` by data set, and of each trained
    network the ``training_seconds``."""

    evaluations: Mapping[tuple[str, str], Evaluation]
    observers: Mapping[str, IdealObserver] = field(default_factory=dict)
    training_seconds: Mapping[str, float | None] = field(default_factory=dict)

    def of(self, row: TableRow) -> list[Evaluation]:
        return [self.evaluations[model, str(row.dataset)] for model in row.models]


@dataclass
class Row:
    """A row of the block with what is known of it; ``facts`` have the names of ``COLUMNS``."""

    block: TableRow
    facts: dict[str, Any]
    values: dict[Key, Value]
    elements: tuple[str, ...]

    def value(self, metric: str, element: str = ALL) -> Value:
        return self.values.get((metric, element), Value(None))

    @property
    def met(self) -> bool | None:
        """Whether all aims are met; None where there are none."""
        aims = [self.block.misses(m, e, self.value(m, e).value) for m, e, _ in self.block.each_aim()]
        return not any(aims) if aims else None


def network_rows(table: Table, results: Results) -> list[Row]:
    """The rows of a table in the block's order."""
    rows = [_observer_row(row, results) if row.ideal_observer else _measured_row(row, results) for row in table.rows]
    by_label = {row.block.label: row for row in rows}
    for row in rows:
        if row.block.against is not None:
            row.values |= _changes(row, by_label[row.block.against], results)
    return rows


def as_table(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a long table of ``COLUMNS``."""
    found = []
    for row in rows:
        aimed = {(metric, element): aim for metric, element, aim in row.block.each_aim()}
        for key in dict.fromkeys([*row.values, *aimed]):
            value, aim = row.value(*key), aimed.get(key)
            met = None if aim is None else ("no" if row.block.misses(*key, value.value) else "yes")
            numbers = {"metric": key[0], "element": key[1], **value._asdict(), "aim": aim, "met": met}
            found.append({"label": row.block.label} | row.facts | numbers)
    numbers = {name: float for name in ("dose_lambda", "training_seconds", "value", "low", "high", "aim")}
    return pd.DataFrame(found, columns=list(COLUMNS)).astype({"seeds": "Int64", "parameters": "Int64", **numbers})


def _changes(mine: Row, other: Row, results: Results) -> dict[Key, Value]:
    """Both changes of a row against another, with their intervals, by element."""
    found: dict[Key, Value] = {}
    measured = not (mine.block.ideal_observer or other.block.ideal_observer)
    both = [results.of(row.block) for row in (mine, other)] if measured else []
    for change, metric in CHANGES.items():
        for element in (ALL, *mine.elements):
            value, its = mine.value(metric, element).value, other.value(metric, element).value
            if value is None or its is None:
                continue
            sums = [[structure_sums(one, metric, element) for one in networks] for networks in both]
            ends = difference_interval(*sums, str(mine.block.dataset)) if sums else None
            found[change, element] = Value(value - its, *(ends or ()))
    return found


def _observer_row(row: TableRow, results: Results) -> Row:
    observer = results.observers[str(row.ideal_observer)]
    elements = tuple(observer.facts["elements"])
    values = {}
    for metric in OBSERVER_METRICS:
        for element in (ALL, *elements):
            value = observer.value(str(row.shows), metric, element)
            if value is not None:
                ends = observer.interval(str(row.shows), metric, element)
                values[metric, element] = Value(value, *(ends or ()))
    facts = {"dataset": row.ideal_observer, "shows": row.shows, "dose_lambda": observer.facts.get("dose_lambda")}
    return Row(row, facts, values, elements)


def _measured_row(row: TableRow, results: Results) -> Row:
    networks = results.of(row)
    first = networks[0]
    seconds = [results.training_seconds[model] for model in row.models if model in results.training_seconds]
    facts = {
        "models": " ".join(row.models),
        "dataset": row.dataset,
        "dose_lambda": first.facts["dose_lambda"],
        "seeds": len(networks),
        "parameters": first.facts["parameters"],
        "training_seconds": _mean(seconds),
    }
    shown = first.metrics[first.metrics["metric"].isin((*METRIC_NAMES, *ALL_ONLY))]
    keys = list(zip(shown["metric"], shown["element"]))
    return Row(row, facts, {key: _over(networks, *key) for key in keys}, first.elements)


def _over(networks: Sequence[Evaluation], metric: str, element: str) -> Value:
    """Of one network its value and interval, of several their mean, lowest and highest value."""
    values = [one.value(metric, element) for one in networks]
    if len(networks) == 1:
        return Value(values[0], *(networks[0].interval(metric, element) or ()))
    known = [value for value in values if value is not None]
    return Value(fmean(known), min(known), max(known)) if len(known) == len(values) else Value(None)


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a value is missing: the mean of the others would be that of other networks."""
    return None if None in values or not values else fmean(values)
