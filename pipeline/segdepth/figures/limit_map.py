"""Where to record: the share of columns that an ideal observer counts exactly, over C1 and C3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from segdepth.errors import StoreError
from segdepth.figures import style

SHOWN = "unknown"
"""The observer who does not know the neighbours' counts."""

USUAL_DOSE, USUAL_SPREAD_PM = 2.5, 20.0


@style.styled
def draw(found: pd.DataFrame, settings: pd.DataFrame, dataset: str, columns: Mapping[str, int]) -> Figure:
    """Above: maps at the dose and vibration next to the usual ones, the best setting marked. Below: the best C1 over
    the vibration, a line a dose, with what is as good.

    Parameters
    ----------
    found, settings : ``map.csv`` and ``settings.csv`` of ``map-limits``.
    dataset : whose structures they are of. columns : how many of each element.

    Raises
    ------
    StoreError
        The map is empty.
    """
    if found.empty:
        raise StoreError("the map of limits is empty")
    found, settings = (table[table["neighbours"] == SHOWN] for table in (found, settings))
    elements = list(dict.fromkeys(found["element"]))
    dose, spread = _next(found["dose_lambda"], USUAL_DOSE), _next(found["image_spread_pm"], USUAL_SPREAD_PM)
    here = found[(found["dose_lambda"] == dose) & (found["image_spread_pm"] == spread)]
    best = settings[(settings["dose_lambda"] == dose) & (settings["image_spread_pm"] == spread)].set_index("element")
    fig = style.new_figure(2.6 * len(elements) + 0.6, 4.8, maps=False)
    axes = fig.subplots(2, len(elements), squeeze=False, sharey="row")
    for number, element in enumerate(elements):
        shown = _map(axes[0, number], here[here["element"] == element], best.loc[element], element)
        _best(axes[1, number], settings[settings["element"] == element])
    fig.colorbar(shown, ax=axes[0, :], pad=0.02).set_label("share counted exactly")
    axes[0, 0].set_ylabel(r"C3 ($\mu$m)")
    axes[1, 0].set_ylabel("best C1 (nm)")
    handles, names = axes[1, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    drawn = ", ".join(f"{number} {element}" for element, number in columns.items())
    fig.suptitle(
        f"columns of {dataset} ({drawn}) counted exactly\nabove: λ = {dose:g}, vibration {spread:g} pm", fontsize=9
    )
    return fig


def _next(values: pd.Series, usual: float) -> float:
    every = np.unique(values)
    return float(every[np.abs(every - usual).argmin()])


def _map(ax: Axes, rows: pd.DataFrame, best: pd.Series, element: str) -> AxesImage:
    grid = rows.pivot(index="c3_um", columns="defocus_nm", values="columns_exact")
    x, y = grid.columns.to_numpy(float), grid.index.to_numpy(float)
    shown = ax.imshow(
        grid.to_numpy(), origin="lower", aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest"
    )
    ax.set_xticks(range(len(x)), [f"{value:g}" for value in x], rotation=90, fontsize=6)
    ax.set_yticks(range(len(y)), [f"{value:g}" for value in y], fontsize=6)
    place = np.flatnonzero(x == best["defocus_nm"])[0], np.flatnonzero(y == best["c3_um"])[0]
    ax.plot(*place, marker="*", color="red", markersize=9)
    text = f"{element}: C1 {best['defocus_nm']:g} nm, C3 {best['c3_um']:g} µm, {best['columns_exact']:.2f}"
    ax.set_title(text, fontsize=7)
    ax.set_xlabel("C1 (nm)")
    return shown


def _best(ax: Axes, settings: pd.DataFrame) -> None:
    for number, (dose, rows) in enumerate(settings.groupby("dose_lambda")):
        rows = rows.sort_values("image_spread_pm")
        at = rows["image_spread_pm"].to_numpy(float)
        middle = rows["defocus_nm"].to_numpy(float)
        errors = middle - rows["defocus_from"].to_numpy(float), rows["defocus_to"].to_numpy(float) - middle
        ax.errorbar(
            at + 0.4 * number, middle, errors, marker="o", markersize=3, capsize=2, linewidth=0.9, color=f"C{number}",
            label=rf"$\lambda$ = {dose:g}",
        )  # fmt: skip
    ax.set_xlabel("vibration (pm)")
