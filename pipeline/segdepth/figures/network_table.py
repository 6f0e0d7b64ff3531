"""Networks side by side, as a block of ``tables`` asks for, written as CSV and as Markdown.

The CSV has a row for each row of the block, with the columns that ``segdepth.evaluation.network_tables`` tells; a limit's
row shows ``wedge``, ``limit`` or ``both``. The Markdown has the columns that some row fills, and each aim behind its
value. Computes no number; must not know where one comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segdepth.config import CHANGES, Table, TableRow
from segdepth.errors import ConfigError
from segdepth.evaluation.network_tables import COLUMNS, Folders, network_rows
from segdepth.store.manifest import check_target, writing

COMMAND = "tabulate-networks"

SHOWN = {
    "centre": ("centre_accuracy",),
    "centre Ce / O": ("centre_accuracy_Ce", "centre_accuracy_O"),
    "pixelwise": ("pixelwise_accuracy",),
    "detection": ("detection_rate",),
    "hallucinated (10⁻²)": ("hallucinated_rate",),
    "columns exact": ("columns_exact",),
    "exact Ce / O": ("columns_exact_Ce", "columns_exact_O"),
    "within one": ("columns_within_one",),
    "ECE all / columns": ("expected_calibration_error", "expected_calibration_error_columns"),
    "change of exact": ("columns_exact_change",),
    "change of centre": ("centre_accuracy_change",),
}
"""Headings of the Markdown table and their metrics; others stand behind them where they have an aim."""


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
    rows = network_rows(table, folders)
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
    return " / ".join(_value(name, block, row.get(name)) + _interval(name, row) for name in names)


def _value(name: str, block: TableRow, value: float | None) -> str:
    aim = block.aims.get(name)
    if aim is None:
        return _number(name, value, _digits(name))
    missed, least = block.misses(name, value), _digits(name)
    # as many digits as it takes to see that a value just misses its aim
    enough = (n for n in range(least, 7) if value is None or block.misses(name, round(value, n)) == missed)
    digits = next(enough, 7)
    return f"{_number(name, value, digits)} (aim {_aim(name, aim)}{', missed' if missed else ''})"


def _interval(name: str, row: Mapping[str, Any]) -> str:
    """Of a change, behind it; of other values it stands in the CSV."""
    ends = [row.get(f"{name}_{end}") for end in ("low", "high")]
    if name not in CHANGES or None in ends:
        return ""
    return f" [{' … '.join(_number(name, end, _digits(name)) for end in ends)}]"


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
        "ECE all / columns": "ECE: expected calibration error over all pixels, and over those of columns.",
        "against": "Changes: the row less the one that it is against [95 % interval, structures drawn for both alike].",
        "seeds": "Several seeds: the mean of networks that differ in their seed alone; the .csv has their range.",
        "training": "Training: on the machine and the threads that it had.",
    }
    return " ".join(["Shares of the test structures' pixels or columns.", *(notes[n] for n in notes if n in headings)])


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
