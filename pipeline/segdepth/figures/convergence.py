"""Cost and accuracy of each choice of the simulation: the table of the convergence study as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segdepth.errors import StoreError
from segdepth.figures import style

LEAST_HEIGHT_IN = 3.0
LIMITS = (0.004, 40.0)
"""Percent; smaller errors are drawn at the left edge."""

MULTISLICE = (
    "everything",
    "grid",
    "band kept",
    "slices",
    "abTEM's potentials",
    "scattering factors",
    "vibrating atoms",
)
"""Groups of the left side, whose time is that of the multislice."""

NEEDED = {"group", "case", "multislice_s", "image_ms"}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Errors and times of every case.

    Parameters
    ----------
    table : one row a case: ``group``, ``case``, ``error_<C1>nm_percent`` for each defocus, ``multislice_s`` where the
        case changes the multislice, ``image_ms``.

    Raises
    ------
    StoreError
        The table holds no cases, or lacks a column.
    """
    rows, columns = _cases(table)
    groups = list(dict.fromkeys(rows["group"]))
    sides = [[g for g in groups if g in MULTISLICE], [g for g in groups if g not in MULTISLICE]]
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(columns)))
    lines = [sum(2 + (rows["group"] == g).sum() for g in side) for side in sides]
    fig = style.new_figure(10.2, max(0.5 + 0.165 * max(lines), LEAST_HEIGHT_IN), maps=False)
    for ax, side in zip(fig.subplots(1, 2), sides):
        _column(ax, rows[rows["group"].isin(side)], side, columns, colours, max(lines))
    names = [name.removeprefix("error_").removesuffix("nm_percent") for name in columns]
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, label=f"{name} nm")
        for name, colour in zip(names, colours)
    ]
    fig.legend(handles=handles, title="C1", loc="outside upper center", ncols=len(names), frameon=False)
    return fig


def _cases(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The cases, and the columns of their errors."""
    columns = [name for name in table if name.startswith("error_") and name.endswith("nm_percent")]
    missing = NEEDED - set(table)
    if missing or not columns:
        raise StoreError(f"the convergence table lacks {', '.join(sorted(missing)) or 'error_<C1>nm_percent'}")
    try:
        numbers = {name: table[name].astype(float) for name in (*columns, "multislice_s", "image_ms")}
    except ValueError as failure:
        raise StoreError(f"the convergence table holds something else than numbers ({failure})") from None
    rows = table.assign(**numbers)[table["group"] != "reference"]
    if rows.empty:
        raise StoreError("the convergence table holds no cases")
    return rows, columns


def _column(
    ax: Axes, rows: pd.DataFrame, groups: list[str], columns: list[str], colours: np.ndarray, height: int
) -> None:
    """Groups below each other: a title, a line of dots for each case, and the case's time at the right."""
    place, ticks, names = 0, [], []
    for group in groups:
        ax.text(
            0, place, group, transform=ax.get_yaxis_transform(), weight="bold", va="center", ha="left", fontsize=8.5
        )
        place += 1
        for _, row in rows[rows["group"] == group].iterrows():
            values = np.clip(row[columns].to_numpy(float), *LIMITS)
            ax.axhline(place, color="0.9", linewidth=0.6, zorder=0)
            ax.scatter(values, [place] * len(values), color=colours, s=14, zorder=2)
            ticks.append(place)
            names.append(row["case"])
            ax.text(1.01, place, _time(row), transform=ax.get_yaxis_transform(), va="center", fontsize=7, color="0.3")
            place += 1
        place += 1
    ax.set(xscale="log", xlim=LIMITS, ylim=(height, -1), yticks=ticks)
    ax.set_yticklabels(names, fontsize=7.5)
    ax.tick_params(axis="y", length=0)
    for edge in (0.1, 1.0, 10.0):
        ax.axvline(edge, color="0.85", linewidth=0.8, zorder=0)
    ax.set_xlabel("rms difference / rms contrast (%)")


def _time(row: pd.Series) -> str:
    """Seconds of the multislice where the case changes it, else milliseconds an image."""
    if not np.isnan(row["multislice_s"]):
        return f"{row['multislice_s']:.2f} s"
    return f"{row['image_ms']:.1f} ms"
