"""What each choice of the simulation costs and how exact it is: the convergence study's table as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from segdepth.errors import StoreError
from segdepth.figures import style
from segdepth.store.manifest import check_whole

COMMAND = "plot-convergence"
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


def plot(table: Path, out: Path, code: str) -> None:
    """Draw the study's CSV to ``out`` (.png) and its .pdf."""
    rows, columns = _read(table)
    groups = list(dict.fromkeys(rows["group"]))
    sides = [[g for g in groups if g in MULTISLICE], [g for g in groups if g not in MULTISLICE]]
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(columns)))
    with style.styled():
        lines = [sum(2 + (rows["group"] == g).sum() for g in side) for side in sides]
        fig = style.new_figure(10.2, 0.5 + 0.165 * max(lines), maps=False)
        for ax, side in zip(fig.subplots(1, 2), sides):
            _column(ax, rows[rows["group"].isin(side)], side, columns, colours, max(lines))
        names = [name.removeprefix("error_").removesuffix("nm_percent") for name in columns]
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, label=f"{name} nm")
            for name, colour in zip(names, colours)
        ]
        fig.legend(handles=handles, title="C1", loc="outside upper center", ncols=len(names), frameon=False)
        style.save(fig, out, command=COMMAND, code=code, inputs=[table])


def _read(table: Path) -> tuple[pd.DataFrame, list[str]]:
    """The cases, and the columns of their errors."""
    check_whole(table, "study-convergence")
    try:
        rows = pd.read_csv(table)
        columns = [name for name in rows if name.startswith("error_") and name.endswith("nm_percent")]
        missing = NEEDED - set(rows)
        if missing or not columns:
            raise ValueError(f"it lacks the columns {', '.join(sorted(missing)) or 'error_<C1>nm_percent'}")
        numbers = [*columns, "multislice_s", "image_ms"]
        rows[numbers] = rows[numbers].astype(float)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{table}: cannot be read ({failure})") from None
    rows = rows[rows["group"] != "reference"]
    if rows.empty:
        raise StoreError(f"{table}: holds no cases")
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
