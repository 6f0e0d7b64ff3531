"""Networks side by side, as a block of ``tables`` asks for: metrics, their spread, changes and whether aims are met.

A row has ``label``, ``models`` (separated by spaces), ``dataset``, ``shows`` (of a limit: ``wedge``, ``limit`` or
``both``), ``dose_lambda``, ``seeds`` (how many networks), ``parameters``, ``training_seconds``, every metric of an
evaluation's ``metrics.json``, ``columns_exact_change`` and ``centre_accuracy_change`` (this row less the one that it is
``against``), ``<metric>_low`` and ``<metric>_high`` of the metrics in ``RANGED`` and of both changes, and ``met``
(``yes`` or ``no`` where the row has aims). Of several networks the mean is given, and their lowest and highest value;
of one network, or of a limit, its 95 % bootstrap interval over structures. A change has such an interval where both
rows were measured on the same structures, drawn for both alike.

What is known of a network comes from its evaluations and its ``environment.json``, and of a limit from ``limit.json``;
see ``segdepth.evaluation.ideal_observer`` for what ``wedge``, ``limit`` and ``both`` are of. Must not know how a metric is
found, nor how a table looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from segdepth.config import BUNDLED, CALIBRATION_NAMES, CHANGES, LIMIT_METRICS, METRIC_NAMES, Table, TableRow
from segdepth.evaluation.ideal_observer import read_ideal_observer
from segdepth.evaluation.metrics import paired_interval
from segdepth.evaluation.stored import read_facts, read_metrics, read_table
from segdepth.networks.files import ENVIRONMENT
from segdepth.seeds import hash64

SUFFIXES = ("", "_Ce", "_O")
METRICS = (*(name + suffix for name in METRIC_NAMES for suffix in SUFFIXES), *CALIBRATION_NAMES)
RANGED = tuple(name + suffix for name in METRIC_NAMES[:6] for suffix in SUFFIXES) + CALIBRATION_NAMES
COLUMNS = (
    *("label", "models", "dataset", "shows", "dose_lambda", "seeds", "parameters", "training_seconds"),
    *METRICS,
    *CHANGES,
    *(f"{name}_{end}" for name in (*RANGED, *CHANGES) for end in ("low", "high")),
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
        trained = [self.models / model for model in row.models if model != BUNDLED]
        return [*(self.evaluations / model / str(row.dataset) for model in row.models), *trained]


def network_rows(table: Table, folders: Folders) -> list[dict[str, Any]]:
    """The rows of a table in the block's order; what a row does not have is missing or None.

    Raises
    ------
    StoreError
        A result that a row needs is missing, unfinished or damaged.
    """
    rows = [_limit_row(row, folders) if row.limit else _measured_row(row, folders) for row in table.rows]
    by_label = {block.label: (block, row) for block, row in zip(table.rows, rows)}
    for block, row in zip(table.rows, rows):
        if block.against is not None:
            row |= _changes(block, row, *by_label[block.against], folders)
        if block.aims:
            row["met"] = "no" if any(block.misses(name, row.get(name)) for name in block.aims) else "yes"
    return rows


def _changes(
    mine: TableRow, my_row: Mapping[str, Any], other: TableRow, its_row: Mapping[str, Any], folders: Folders
) -> dict[str, Any]:
    """Both changes of a row against another, with their intervals."""
    found: dict[str, Any] = {}
    sums = None if mine.limit or other.limit else [_sums_by_structure(row, folders) for row in (mine, other)]
    paired = sums is not None and len({tuple(one["structure"]) for both in sums for one in both}) == 1
    for change, metric in CHANGES.items():
        if my_row.get(metric) is None or its_row.get(metric) is None:
            continue
        found[change] = my_row[metric] - its_row[metric]
        if paired:
            names = (f"{metric}_right", f"{metric}_all")
            parts = [[tuple(one[name].to_numpy(float) for name in names) for one in both] for both in sums]
            rng = np.random.default_rng((hash64("bootstrap"), hash64(str(mine.dataset))))
            found[f"{change}_low"], found[f"{change}_high"] = paired_interval(*parts, rng) or (None, None)
    return found


def _sums_by_structure(row: TableRow, folders: Folders) -> list[pd.DataFrame]:
    return [read_table(folders.evaluations / model / str(row.dataset), "by_structure") for model in row.models]


def _limit_row(row: TableRow, folders: Folders) -> dict[str, Any]:
    facts = read_ideal_observer(folders.limits / str(row.limit))
    found = {"label": row.label, "dataset": row.limit, "shows": row.shows, "dose_lambda": facts.get("dose_lambda")}
    for metric in (name + suffix for name in LIMIT_METRICS for suffix in SUFFIXES):
        told = f"{row.shows}_{metric.removeprefix('columns_')}"  # as limit.json calls it
        found[metric] = facts.get(told)
        found[f"{metric}_low"], found[f"{metric}_high"] = facts.get(f"{told}_interval") or (None, None)
    return found


def _measured_row(row: TableRow, folders: Folders) -> dict[str, Any]:
    networks = [read_metrics(folders.evaluations / model / str(row.dataset)) for model in row.models]
    trained = [read_facts(folders.models / model, ENVIRONMENT) for model in row.models if model != BUNDLED]
    found: dict[str, Any] = {
        "label": row.label,
        "models": " ".join(row.models),
        "dataset": row.dataset,
        "dose_lambda": networks[0]["dose_lambda"],
        "seeds": len(networks),
        "parameters": networks[0]["parameters"],
        "training_seconds": _mean([_seconds(facts) for facts in trained]),
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


def _seconds(facts: Mapping[str, Any]) -> float | None:
    """``training_seconds``; earlier versions told only those of the last run."""
    return facts.get("training_seconds", facts.get("seconds_of_last_run"))


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a value is missing: the mean of the others would be that of other networks."""
    return None if None in values or not values else fmean(values)
