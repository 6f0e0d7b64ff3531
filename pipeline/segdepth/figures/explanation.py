"""The picture of an explained frame: counts, what the refined columns make one expect, residuals, refined counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.figures import style
from segdepth.micrograph.results.facts import NOT_EXPLAINED_STAMP

RESIDUAL_LIMIT = 4.0
"""Standard deviations at the ends of the residuals' colours."""

STAMP_COLOUR = "#d00020"
RESIDUAL_COLOURS = "RdBu_r"


@style.styled
def draw(maps: xr.Dataset, columns: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """The first frame of ``explanation.zarr``; upright, on the network's grid.

    Parameters
    ----------
    columns : the frame's rows of ``columns_refined``. facts : the frame's entry in ``explanation.json``.
    """
    pixel, frame = float(maps.attrs["pixel_pm"]), maps.isel(frame=0)
    counts, expected = frame["counts"].values, frame["expected_refined"].values
    height, width = counts.shape
    fig = style.new_figure(8.6, 1.2 + 2 * min(max(3.4 * height / width, 2.2), 7.0))
    axes = fig.subplots(2, 2)
    limits = (
        style.image_limits(np.where(np.isfinite(counts), expected, np.nan)) if np.isfinite(counts).any() else (0, 1)
    )
    shown = [style.show_image(ax, values, pixel, limits) for ax, values in zip(axes[0], (counts, expected))]
    fig.colorbar(shown[0], ax=axes[0].tolist()).set_label("electrons a pixel")
    residual = style.show_map(
        axes[1, 0],
        np.ma.masked_invalid(frame["residual_refined"].values),
        pixel,
        cmap=RESIDUAL_COLOURS,
        vmin=-RESIDUAL_LIMIT,
        vmax=RESIDUAL_LIMIT,
    )
    fig.colorbar(residual, ax=axes[1, 0]).set_label("residual (standard deviations)")
    style.show_image(axes[1, 1], expected, pixel, limits)
    signs = _mark(fig, axes[1, 1], maps, columns)
    titles = (
        "(a) counted",
        "(b) expected of the refined columns",
        "(c) standardized residual",
        f"(d) refined counts: {signs}",
    )
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
        style.scale_bar(ax)
    fig.suptitle(_heading(facts) + ("" if maps.attrs["explained"] else f"\n{NOT_EXPLAINED_STAMP}"))
    if not maps.attrs["explained"]:
        fig.text(
            0.5, 0.5, "NOT EXPLAINED", ha="center", va="center", rotation=20, fontsize=46, fontweight="bold",
            color=STAMP_COLOUR, alpha=0.6, in_layout=False,
        )  # fmt: skip
    return fig


def _heading(facts: Mapping[str, Any]) -> str:
    before, after = (facts[name] / max(facts["pixels"], 1) for name in ("chi2", "chi2_refined"))
    return (
        f"frame {facts['frame']}: χ² per pixel {before:.3f} as predicted, {after:.3f} refined; "
        f"{facts['changed']} of {facts['columns']} counts changed\n"
        f"rings: the picture shows more atoms than predicted (red, {facts['extra']}), fewer (blue, {facts['missing']})"
    )


def _mark(fig: Figure, ax: Axes, maps: xr.Dataset, columns: pd.DataFrame) -> str:
    """Each column as a mark of its refined count's colour; rings where the picture contradicted the prediction. The
    marks by element are returned in words."""
    ax.autoscale(False)
    to_grid = np.array(maps.attrs["affine_to_grid_pm"], float)
    places = (to_grid[:, :2] @ columns[["x_pm", "y_pm"]].to_numpy(float).T + to_grid[:, 2:]) / 1000
    classes = max(int(maps.attrs["classes"]), int(columns["count"].max()) + 1)
    scale = style.DepthColours(classes)
    elements = sorted(columns["element"].unique(), key=ATOMIC_NUMBER.__getitem__, reverse=True)
    markers, marked = style.element_markers(elements), None
    for element in elements:
        mine = (columns["element"] == element).to_numpy()
        marked = ax.scatter(
            *places[:, mine],
            c=columns["count"].to_numpy()[mine],
            cmap=scale.colours,
            norm=scale.norm,
            s=14,
            marker=markers[element],
            edgecolors="black",
            linewidths=0.3,
        )
    for name, colour in (("extra", "#d00020"), ("missing", "#0050d0")):
        mine = columns[name].to_numpy(bool)
        ax.scatter(*places[:, mine], s=60, facecolors="none", edgecolors=colour, linewidths=1.2)
    bar = fig.colorbar(marked, ax=ax, ticks=style.class_ticks(classes))
    bar.ax.minorticks_off()
    bar.set_label("refined count (atoms)")
    return ", ".join(f"{style.MARKER_SIGNS[mark]} {element}" for element, mark in markers.items())
