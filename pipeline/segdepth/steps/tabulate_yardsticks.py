"""The step ``tabulate-yardsticks``: what a network reaches on each yardstick, with 95 % intervals and aims, as CSV and
Markdown; beside it the ideal observer of a single column, where it was estimated (``ideal_observer_exact``).

Columns of the CSV: ``yardstick``, ``metric``, ``element``, ``value``, ``low``, ``high``, ``aim``, ``aim_most``
(the same, but where a range is aimed for), ``met``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from segdepth.config import ALL
from segdepth.errors import StoreError
from segdepth.steps.estimate_yardstick_observer import OBSERVER
from segdepth.steps.measure_yardstick import TABLE
from segdepth.steps.written_tables import write_table
from segdepth.store.manifest import check_whole, read_manifest

COMMAND = "tabulate-yardsticks"

LARGE_IS_GOOD = ("columns_exact", "columns_within_one", "columns_found", "columns_covered")


def tabulate_yardsticks(yardsticks: Sequence[Path], observers: Sequence[Path], out: Path, *, code: str) -> None:
    """Write the table to ``out`` (.csv) and to the .md beside it.

    Parameters
    ----------
    yardsticks, observers : folders of ``measure-yardstick`` and ``estimate-yardstick-observer``.

    Raises
    ------
    StoreError
        A result is missing, unfinished or damaged.
    """
    parts = [_read(folder, "measure-yardstick", TABLE) for folder in yardsticks]
    parts += [_read(folder, "estimate-yardstick-observer", OBSERVER) for folder in observers]
    table = pd.concat(parts, ignore_index=True)
    ranged, good = table["aim_most"] > table["aim"], table["metric"].isin(LARGE_IS_GOOD)
    met = (table["value"] >= table["aim"]).where(good, table["value"] <= table["aim"])
    met = met.where(~ranged, table["value"].between(table["aim"], table["aim_most"]))
    table["met"] = met.map({True: "yes", False: "no"}).where(table["aim"].notna(), "")
    table = table[["yardstick", "metric", "element", "value", "low", "high", "aim", "aim_most", "met"]]
    given = {"yardsticks": yardsticks, "observers": observers}
    parameters = {name: [str(folder) for folder in folders] for name, folders in given.items()}
    options = {"command": COMMAND, "code": code, "inputs": [*yardsticks, *observers], "parameters": parameters}
    write_table(table, as_markdown(table), ".md", Path(out), **options)


def _read(folder: Path, command: str, name: str) -> pd.DataFrame:
    """The table of a yardstick, with its name."""
    check_whole(folder, command)
    try:
        found = pd.read_csv(folder / name)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{folder / name}: cannot be read ({failure})") from None
    return found.assign(yardstick=read_manifest(folder)["parameters"]["name"])


def as_markdown(table: pd.DataFrame) -> str:
    """A row a metric, a column a yardstick; an aim stands behind its value."""
    names = list(dict.fromkeys(table["yardstick"]))
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for (metric, element), rows in table.groupby(["metric", "element"], sort=False):
        of = rows.set_index("yardstick")
        label = metric.replace("_", " ") + ("" if element == ALL else f", {element}")
        lines.append(f"| {label} | {' | '.join(_cell(of.loc[name]) if name in of.index else '' for name in names)} |")
    note = "In brackets: 95 % interval by bootstrap over structures. Behind it: what is aimed for, where something is."
    return "\n".join([*lines, "", note, ""])


def _cell(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return ""
    interval = "" if pd.isna(row["low"]) else f" ({row['low']:.3g} to {row['high']:.3g})"
    return f"{row['value']:.3g}{interval}{_aimed(row)}"


def _aimed(row: pd.Series) -> str:
    if pd.isna(row["aim"]):
        return ""
    most = f" to {row['aim_most']:g}" if row["aim_most"] > row["aim"] else ""
    return f"; aim {row['aim']:g}{most}: {'met' if row['met'] == 'yes' else 'not met'}"
