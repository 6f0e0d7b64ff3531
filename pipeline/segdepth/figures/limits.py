"""How well columns can be counted at all, against dose, defocus, count and place, and a network beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segdepth.errors import StoreError
from segdepth.figures import style

BY = {"dose_lambda": r"$\lambda$", "defocus_nm": "C1 (nm)", "atoms": "atoms", "place": "place"}
METRICS = {"columns_exact": ("exact", "-"), "columns_within_one": ("within one", "--")}
COLOURS = ("black", "C0", "C1", "C2")


@style.styled
def draw(table: pd.DataFrame, dataset: str, dose_lambda: float, structures: Mapping[str, int]) -> Figure:
    """A row an element, a column a quantity; colours are sources.

    Parameters
    ----------
    table : of ``tabulate-limits``.
    dataset, dose_lambda : of all but the means by dose. structures : number of each source.

    Raises
    ------
    StoreError
        The table holds nothing of single elements.
    """
    elements = [element for element in dict.fromkeys(table["element"]) if element != "all"]
    if not elements:
        raise StoreError("the table of limits is empty")
    sources = dict(zip(dict.fromkeys(table["source"]), COLOURS))
    fig = style.new_figure(7.6, 1.2 + 2.0 * len(elements), maps=False)
    axes = fig.subplots(len(elements), len(BY), sharey=True, sharex="col", squeeze=False)
    for line, element in zip(axes, elements):
        line[0].set_ylabel(f"{element}: share of columns")
        for ax, by in zip(line, BY):
            for source, colour in sources.items():
                for metric, (text, dashes) in METRICS.items():
                    rows = table[(table["element"] == element) & (table["by"] == by)]
                    rows = rows[(rows["source"] == source) & (rows["metric"] == metric)]
                    if len(rows):
                        _line(ax, rows, by, colour, dashes, f"{source}, {text}")
            ax.set_ylim(-0.02, 1.02)
            if by == "dose_lambda":
                ax.set_xscale("log")
            elif by != "place":
                ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    for ax, label in zip(axes[-1], BY.values()):
        ax.set_xlabel(label)
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
    numbers = ", ".join(f"{number} ({source})" for source, number in structures.items())
    fig.suptitle(f"{dataset}, λ = {dose_lambda:g} but for the first column\nstructures: {numbers}")
    return fig


def _line(ax: Axes, rows: pd.DataFrame, by: str, colour: str, dashes: str, label: str) -> None:
    if by == "place":
        rows = rows.sort_values("at", ascending=False)  # edge, then bulk
        places, values = np.arange(len(rows)), rows["value"].to_numpy(float)
        ax.plot(places, values, dashes, color=colour, marker="o", markersize=4, label=label)
        ax.set_xticks(places, rows["at"].tolist())
        ax.set_xlim(-0.5, len(rows) - 0.5)
    else:
        at = rows["at"].astype(float).to_numpy()
        order = np.argsort(at)
        ax.plot(
            at[order], rows["value"].to_numpy(float)[order], dashes, color=colour, marker=".", markersize=4, label=label
        )
