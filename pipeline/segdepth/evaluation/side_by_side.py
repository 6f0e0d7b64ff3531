"""Networks side by side, as a block of ``tables`` asks for: metrics, their spread, changes and whether aims are met.

A row has ``label``, ``models`` (separated by spaces), ``dataset``, ``shows`` (of a limit: ``wedge``, ``limit`` or
``both``), ``dose_lambda``, ``seeds`` (how many networks), ``parameters``, ``training_seconds`` (of the last run), every
metric of an evaluation's ``metrics.json``, ``columns_exact_change`` and ``centre_accuracy_change`` (this row less the
one that it is ``against``), ``<metric>_low`` and ``<metric>_high`` of the metrics in ``RANGED``, and ``met`` (``yes``
or ``no`` where the row has aims). Of several networks the mean is given, and their lowest and highest value; of one
network, or of a limit, its 95 % bootstrap interval over structures.

What is known of a network comes from its evaluations and its ``environment.json``, and of a limit from ``limit.json``;
see ``segdepth.evaluation.limit`` for what ``wedge``, ``limit`` and ``both`` are of. Must not know how a metric is
found, nor how a table looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from segdepth.config import CALIBRATION_NAMES, CHANGES, LIMIT_METRICS, METRIC_NAMES, SHIPPED, Table, TableRow
from segdepth.evaluation.limit import read_limit
from segdepth.evaluation.stored import read_facts, read_metrics
from segdepth.learning.network_files import ENVIRONMENT

SUFFIXES = ("", "_Ce", "_O")
METRICS = (*(name + suffix for name in METRIC_NAMES for suffix in SUFFIXES), *CALIBRATION_NAMES)
RANGED = tuple(name + suffix for name in METRIC_NAMES[:6] for suffix in SUFFIXES) + CALIBRATION_NAMES
COLUMNS = (
    *("label", "models", "dataset", "shows", "dose_lambda", "seeds", "parameters", "training_seconds"),
    *METRICS,
    *CHANGES,
    *(f"{name}_{end}" for name in RANGED for end in ("low", "high")),
    "met",
)
"""What a row holds, in the order of a table's file."""


@dataclass(frozen=True)
class Folders:
    """Where the results lie: ``evaluations``/<model>/<dataset>, ``models``/<model>, ``limits``/<dataset>."""

    evaluations: Path
    models: Path
    limits: Path

    def read_by(self, row: TableRow) -> list[Path]:
        """The artefacts that a row is made of."""
        if row.limit is not None:
            return [self.limits / row.limit]
        trained = [self.models / model for model in row.models if model != SHIPPED]
        return [*(self.evaluations / model / str(row.dataset) for model in row.models), *trained]


def networks_rows(table: Table, folders: Folders) -> list[dict[str, Any]]:
    """The rows of a table in the block's order; what a row does not have is missing or None.

    Raises
    ------
    StoreError
        A result that a row needs is missing, unfinished or damaged.
    """
    rows = [_limit_row(row, folders) if row.limit else _measured_row(row, folders) for row in table.rows]
    by_label = {row["label"]: row for row in rows}
    for block, row in zip(table.rows, rows):
        if block.against is not None:
            for change, metric in CHANGES.items():
                mine, other = row.get(metric), by_label[block.against].get(metric)
                row[change] = None if mine is None or other is None else mine - other
        if block.aims:
            row["met"] = "no" if any(block.misses(name, row.get(name)) for name in block.aims) else "yes"
    return rows


def _limit_row(row: TableRow, folders: Folders) -> dict[str, Any]:
    facts = read_limit(folders.limits / str(row.limit))
    found = {"label": row.label, "dataset": row.limit, "shows": row.shows, "dose_lambda": facts.get("dose_lambda")}
    for metric in (name + suffix for name in LIMIT_METRICS for suffix in SUFFIXES):
        told = f"{row.shows}_{metric.removeprefix('columns_')}"  # as limit.json calls it
        found[metric] = facts.get(told)
        found[f"{metric}_low"], found[f"{metric}_high"] = facts.get(f"{told}_interval") or (None, None)
    return found


def _measured_row(row: TableRow, folders: Folders) -> dict[str, Any]:
    networks = [read_metrics(folders.evaluations / model / str(row.dataset)) for model in row.models]
    trained = [read_facts(folders.models / model, ENVIRONMENT) for model in row.models if model != SHIPPED]
    found: dict[str, Any] = {
        "label": row.label,
        "models": " ".join(row.models),
        "dataset": row.dataset,
        "dose_lambda": networks[0]["dose_lambda"],
        "seeds": len(networks),
        "parameters": networks[0]["parameters"],
        "training_seconds": _mean([facts.get("training_seconds") for facts in trained]),
    }
    found |= {name: _mean([facts[name] for facts in networks]) for name in METRICS}
    for name in RANGED:
        found[f"{name}_low"], found[f"{name}_high"] = _range(name, networks)
    return found


def _range(name: str, networks: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    """Of one network its interval over structures, of several their lowest and highest value."""
    if len(networks) == 1:
        return networks[0].get(f"{name}_interval") or (None, None)
    values = [facts[name] for facts in networks]
    return (None, None) if None in values else (min(values), max(values))


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a value is missing: the mean of the others would be that of other networks."""
    return None if None in values or not values else fmean(values)
