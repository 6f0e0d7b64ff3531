"""Networks side by side as a Markdown table: the columns that some row fills, and each aim behind its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segdepth.config import ALL, CALIBRATION_NAMES, CHANGES, Table
from segdepth.evaluation.network_tables import Key, Row

ECE = "ECE all / pixels of columns"
SHOWN = {
    "centre": ("centre_accuracy",),
    "centre {elements}": ("centre_accuracy",),
    "pixelwise": ("pixelwise_accuracy",),
    "detection": ("detection_rate",),
    "hallucinated (10⁻²)": ("hallucinated_rate",),
    "columns exact": ("columns_exact",),
    "exact {elements}": ("columns_exact",),
    "within one": ("columns_within_one",),
    ECE: CALIBRATION_NAMES,
    "change of exact": ("columns_exact_change",),
    "change of centre": ("centre_accuracy_change",),
}
"""Headings and their metrics, for each element where the heading names them, else for all together. Other metrics
follow if they have an aim."""

IN_HUNDREDTHS = "hallucinated_rate"


def as_markdown(table: Table, rows: Sequence[Row]) -> str:
    """The text of the table, its title before and notes behind it."""
    columns: dict[str, list[str]] = {"": [_escaped(row.block.label) for row in rows]}
    for heading, keys in _headings(rows).items():
        columns[heading] = [_cell(keys, row) for row in rows]
    columns["against"] = [_escaped(row.block.against or "") for row in rows]
    columns["seeds"] = [f"{row.facts['seeds']}" if row.facts.get("seeds", 1) > 1 else "" for row in rows]
    columns["training"] = [_duration(row.facts.get("training_seconds")) for row in rows]
    columns["aims met"] = [{True: "yes", False: "no", None: ""}[row.met] for row in rows]
    filled = {heading: cells for heading, cells in columns.items() if any(cells)}
    lines = [f"# {_escaped(table.title)}", ""] if table.title else []
    lines += [_line(filled), _line(":--" if name in ("", "against") else "--:" for name in filled)]
    lines += [_line(cells) for cells in zip(*filled.values())]
    return "\n".join([*lines, "", _notes(filled), ""])


def _headings(rows: Sequence[Row]) -> dict[str, list[Key]]:
    """Metrics of each heading."""
    elements = list(dict.fromkeys(element for row in rows for element in row.elements))
    found: dict[str, list[Key]] = {}
    for heading, metrics in SHOWN.items():
        over = elements if "{elements}" in heading else [ALL]
        found[heading.format(elements=" / ".join(elements))] = [(m, e) for m in metrics for e in over]
    shown = {key for keys in found.values() for key in keys}
    aimed = dict.fromkeys((m, e) for row in rows for m, e, _ in row.block.each_aim())
    return found | {m if e == ALL else f"{m} {e}": [(m, e)] for m, e in aimed if (m, e) not in shown}


def _cell(keys: Sequence[Key], row: Row) -> str:
    """Values of one cell, each with its aim."""
    if all(row.value(*key).value is None and row.block.aim(*key) is None for key in keys):
        return ""
    return " / ".join(_value(*key, row) + _interval(*key, row) for key in keys)


def _value(metric: str, element: str, row: Row) -> str:
    value, aim = row.value(metric, element).value, row.block.aim(metric, element)
    if aim is None:
        return _number(metric, value, _digits(metric))
    missed, least = row.block.misses(metric, element, value), _digits(metric)
    # as many digits as it takes to see that a value just misses its aim
    enough = (
        n for n in range(least, 7) if value is None or row.block.misses(metric, element, round(value, n)) == missed
    )
    digits = next(enough, 7)
    return f"{_number(metric, value, digits)} (aim {_aim(metric, aim)}{', missed' if missed else ''})"


def _interval(metric: str, element: str, row: Row) -> str:
    """The interval of a change; those of other values are in the CSV only."""
    _, low, high = row.value(metric, element)
    if metric not in CHANGES or low is None or high is None:
        return ""
    return f" [{' … '.join(_number(metric, end, _digits(metric)) for end in (low, high))}]"


def _digits(metric: str) -> int:
    return 4 if metric == IN_HUNDREDTHS else 3


def _number(metric: str, value: float | None, digits: int) -> str:
    """A value with so many decimals; hallucinated rates in 10⁻²."""
    if value is None:
        return "–"
    if metric == IN_HUNDREDTHS:
        return f"{100 * value:.{digits - 2}f}"
    return f"{value:+.{digits}f}".replace("-", "−") if metric in CHANGES else f"{value:.{digits}f}"


def _aim(metric: str, aim: float) -> str:
    shown = 100 * aim if metric == IN_HUNDREDTHS else aim
    return f"{shown:{'+' if metric in CHANGES else ''}.6g}".replace("-", "−")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _notes(headings: Mapping[str, Any]) -> str:
    """Notes below the table."""
    notes = {
        ECE: "ECE: expected calibration error over all pixels, and over those of columns.",
        "against": "Changes: the row less the one that it is against [95 % interval, structures drawn for both alike].",
        "seeds": "Several seeds: the mean of networks that differ in their seed alone; the .csv has their range.",
        "training": "Training: on the machine and the threads that it had.",
    }
    return " ".join(["Shares of the test structures' pixels or columns.", *(notes[n] for n in notes if n in headings)])


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
