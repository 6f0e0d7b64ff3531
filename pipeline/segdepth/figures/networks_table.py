"""Networks side by side, as a block of ``tables`` asks for: metrics, changes and aims, as CSV and as Markdown.

The CSV has a row for each row of the block: ``label``, ``models`` (separated by spaces), ``dataset``, ``shows`` (of a
limit: ``wedge`` or ``limit``), ``dose_lambda``, ``seeds`` (how many networks), ``parameters``, ``training_seconds`` (of
the last run), every metric of an evaluation's ``metrics.json``, ``columns_exact_change`` and ``centre_accuracy_change``
(this row less the one that it is ``against``), ``<metric>_low`` and ``<metric>_high`` of the metrics in ``RANGED``, and
``met``: ``yes`` or ``no`` where the row has aims. Of several networks the mean is given, and their lowest and highest
value; of one network its bootstrap interval over structures.

What is known of a network comes from its evaluations and its ``environment.json``. Must not know how a metric is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from segdepth.config import CALIBRATION_NAMES, CHANGES, METRIC_NAMES, SHIPPED, ConfigError, Table, TableRow
from segdepth.evaluation.limit import read_limit
from segdepth.evaluation.stored import read_metrics
from segdepth.store.manifest import StoreError, check_target, check_whole, writing

COMMAND = "tabulate-networks"
SUFFIXES = ("", "_Ce", "_O")
METRICS = (*(name + suffix for name in METRIC_NAMES for suffix in SUFFIXES), *CALIBRATION_NAMES)
RANGED = tuple(name + suffix for name in METRIC_NAMES[:6] for suffix in SUFFIXES)
COLUMNS = (
    *("label", "models", "dataset", "shows", "dose_lambda", "seeds", "parameters", "training_seconds"),
    *METRICS,
    *CHANGES,
    *(f"{name}_{end}" for name in RANGED for end in ("low", "high")),
    "met",
)
LIMITS = {"columns_exact": "{}_exact", "columns_within_one": "{}_within_one"}
"""Metrics of a row that shows a limit, and what ``limit.json`` calls them."""

SHOWN = {
    "centre": ("centre_accuracy",),
    "centre Ce / O": ("centre_accuracy_Ce", "centre_accuracy_O"),
    "pixelwise": ("pixelwise_accuracy",),
    "detection": ("detection_rate",),
    "hallucinated (10⁻²)": ("hallucinated_rate",),
    "columns exact": ("columns_exact",),
    "exact Ce / O": ("columns_exact_Ce", "columns_exact_O"),
    "within one": ("columns_within_one",),
    "ECE": ("expected_calibration_error",),
    "change of exact": ("columns_exact_change",),
    "change of centre": ("centre_accuracy_change",),
}
"""Headings of the Markdown table and their metrics; others stand behind them where they have an aim."""


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


def tabulate(table: Table, folders: Folders, out: Path, code: str) -> None:
    """Write ``table`` to ``out`` (.csv) and to the .md beside it.

    Raises
    ------
    ConfigError
        ``out`` does not end in .csv.
    StoreError
        A result that a row needs is missing, unfinished or damaged.
    """
    out = Path(out)
    if out.suffix != ".csv":
        raise ConfigError(f"out: got {out}; the table's path ends in .csv, its .md is written beside it")
    rows = networks_rows(table, folders)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seeds": "Int64", "parameters": "Int64"})
    text = {
        ".csv": frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"),
        ".md": as_markdown(table, rows),
    }
    inputs = list(dict.fromkeys(path for row in table.rows for path in folders.read_by(row)))
    for suffix in text:
        check_target(out.with_suffix(suffix), COMMAND, inputs)  # both, before either is written
    parameters = {"table": table.model_dump(mode="json")}
    for suffix, content in text.items():
        with writing(
            out.with_suffix(suffix), command=COMMAND, code=code, inputs=inputs, parameters=parameters
        ) as partial:
            partial.write_text(content, encoding="utf-8")


def networks_rows(table: Table, folders: Folders) -> list[dict[str, Any]]:
    """The rows of the CSV, in the block's order; what a row does not have is missing or None."""
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
    for metric, name in LIMITS.items():
        found |= {metric + suffix: facts.get(name.format(row.shows) + suffix) for suffix in SUFFIXES}
    return found


def _measured_row(row: TableRow, folders: Folders) -> dict[str, Any]:
    networks = [read_metrics(folders.evaluations / model / str(row.dataset)) for model in row.models]
    trained = [_environment(folders.models / model) for model in row.models if model != SHIPPED]
    found: dict[str, Any] = {
        "label": row.label,
        "models": " ".join(row.models),
        "dataset": row.dataset,
        "dose_lambda": networks[0]["dose_lambda"],
        "seeds": len(networks),
        "parameters": networks[0]["parameters"],
        "training_seconds": _mean([facts.get("seconds_of_last_run") for facts in trained]),
    }
    found |= {name: _mean([facts[name] for facts in networks]) for name in METRICS}
    for name in RANGED:
        found[f"{name}_low"], found[f"{name}_high"] = _range(name, networks)
    return found


def _range(name: str, networks: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    """Of one network its interval over structures, of several their lowest and highest value."""
    if len(networks) == 1:
        return networks[0][f"{name}_interval"] or (None, None)
    values = [facts[name] for facts in networks]
    return (None, None) if None in values else (min(values), max(values))


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a value is missing: the mean of the others would be that of other networks."""
    return None if None in values or not values else fmean(values)


def _environment(model: Path) -> dict[str, Any]:
    path = model / "environment.json"
    check_whole(model)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None


def as_markdown(table: Table, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows with the columns that some of them fill; an aim stands behind its value."""
    columns: dict[str, list[str]] = {"": [_escaped(row.label) for row in table.rows]}
    aimed = dict.fromkeys(name for row in table.rows for name in row.aims)
    extra = [name for name in aimed if all(name not in names for names in SHOWN.values())]
    for heading, names in (*SHOWN.items(), *((name, (name,)) for name in extra)):
        columns[heading] = [_cell(names, block, row) for block, row in zip(table.rows, rows)]
    columns["against"] = [_escaped(row.against or "") for row in table.rows]
    columns["seeds"] = [f"{row['seeds']}" if row.get("seeds", 1) > 1 else "" for row in rows]
    columns["training"] = [_duration(row.get("training_seconds")) for row in rows]
    columns["aims met"] = [row.get("met", "") for row in rows]
    filled = {heading: cells for heading, cells in columns.items() if any(cells)}
    lines = [f"# {_escaped(table.title)}", ""] if table.title else []
    lines += [_line(filled), _line(":--" if name in ("", "against") else "--:" for name in filled)]
    lines += [_line(cells) for cells in zip(*filled.values())]
    return "\n".join([*lines, "", _notes(filled), ""])


def _cell(names: Sequence[str], block: TableRow, row: Mapping[str, Any]) -> str:
    """Values of one cell, each with its aim."""
    if all(row.get(name) is None and name not in block.aims for name in names):
        return ""
    return " / ".join(_value(name, block, row.get(name)) for name in names)


def _value(name: str, block: TableRow, value: float | None) -> str:
    aim = block.aims.get(name)
    if aim is None:
        return _number(name, value, _digits(name))
    missed, least = block.misses(name, value), _digits(name)
    # as many digits as it takes to see that a value just misses its aim
    enough = (n for n in range(least, 7) if value is None or block.misses(name, round(value, n)) == missed)
    digits = next(enough, 7)
    return f"{_number(name, value, digits)} (aim {_aim(name, aim)}{', missed' if missed else ''})"


def _digits(name: str) -> int:
    return 4 if name.startswith("hallucinated_rate") else 3


def _number(name: str, value: float | None, digits: int) -> str:
    """A value with so many decimals; hallucinated rates in 10⁻²."""
    if value is None:
        return "–"
    if name.startswith("hallucinated_rate"):
        return f"{100 * value:.{digits - 2}f}"
    return f"{value:+.{digits}f}".replace("-", "−") if name in CHANGES else f"{value:.{digits}f}"


def _aim(name: str, aim: float) -> str:
    shown = 100 * aim if name.startswith("hallucinated_rate") else aim
    return f"{shown:{'+' if name in CHANGES else ''}.6g}".replace("-", "−")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _notes(headings: Mapping[str, Any]) -> str:
    """What the headings leave open."""
    notes = {
        "ECE": "ECE: expected calibration error over all pixels.",
        "against": "Changes: the row less the one that it is against.",
        "seeds": "Several seeds: the mean of networks that differ in their seed alone.",
        "training": "Training: the last run, on the machine that it had.",
    }
    return " ".join(["Shares of the test structures' pixels or columns.", *(notes[n] for n in notes if n in headings)])


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
