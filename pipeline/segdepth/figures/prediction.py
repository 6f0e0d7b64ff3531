"""The picture of a prediction: input, depth, confidence, and the columns over the input.

Drawn in the input's own orientation, its row 0 at the bottom: the direction of the surface is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segdepth.figures import style
from segdepth.figures.attributes import crystal_of

PANEL_POINTS = 230
"""About the width of a panel."""

MARK_SHARE = 0.81
"""Width of a mark over the distance of the nearest columns, so that neighbours do not touch."""


@style.styled
def draw(maps: xr.Dataset, columns: pd.DataFrame) -> Figure:
    """The first frame of a prediction.

    Parameters
    ----------
    maps : ``counts`` (vacuum = 1), ``depth``, ``confidence``, ``valid``, all (frame, y, x); ``class``, the depth
        classes; the attributes ``pixel_pm`` and ``crystal``.
    columns : ``frame``, ``x_pm``, ``y_pm`` from the corner of the input's pixel [0, 0], ``element``, ``depth``.

    Raises
    ------
    StoreError
        The maps have no attribute ``crystal``.
    """
    crystal, pixel, frames = crystal_of(maps.attrs), float(maps.attrs["pixel_pm"]), maps.sizes["frame"]
    classes = maps.sizes["class"]
    counts, depth, confidence = (maps[name][0].values for name in ("counts", "depth", "confidence"))
    valid = maps["valid"][0].values.astype(bool)
    height, width = valid.shape
    counts = np.where(valid, counts, np.nan)
    fig = style.new_figure(8.6, 0.9 + 2 * min(max(3.4 * height / width, 2.2), 7.0))
    axes = fig.subplots(2, 2)
    limits = style.image_limits(counts) if np.isfinite(counts).any() else (0.0, 1.0)
    image = style.show_image(axes[0, 0], counts, pixel, limits)
    style.show_image(axes[1, 1], counts, pixel, limits)
    style.intensity_bar(fig, image, axes[0, 0])
    shown = style.show_depth(axes[0, 1], np.ma.array(depth, mask=~valid), pixel, classes)
    sure = style.show_probability(axes[1, 0], np.ma.array(confidence, mask=~valid), pixel)
    style.depth_bar(fig, shown, axes[0, 1])
    style.depth_bar(fig, shown, axes[1, 1])
    fig.colorbar(sure, ax=axes[1, 0]).set_label("confidence (probability)")
    size = min(max(MARK_SHARE * crystal.nearest_column_pm * PANEL_POINTS / (width * pixel), 1.0), 8.0) ** 2
    _mark_columns(axes[1, 1], columns[columns["frame"] == 0], crystal.elements, classes, size)
    signs = ", ".join(f"{style.MARKER_SIGNS[m]} {e}" for e, m in style.element_markers(crystal.elements).items())
    titles = ("(a) input", "(b) estimated depth", "(c) confidence", f"(d) columns: {signs}")
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
        ax.set_facecolor("white")
        style.scale_bar(ax)
    which = f"first of {frames} frames, " if frames > 1 else ""
    masked = "" if valid.all() else "; white is not valid"
    fig.suptitle(f"{which}{pixel:.3g} pm a pixel, the input's row 0 at the bottom{masked}")
    return fig


def _mark_columns(ax: Axes, columns: pd.DataFrame, elements: Sequence[str], classes: int, size: float) -> None:
    """Each column as a mark of its depth's colour."""
    scale, markers = style.DepthColours(classes), style.element_markers(elements)
    for element, mine in columns.groupby("element"):
        ax.scatter(
            mine["x_pm"] / 1000,
            mine["y_pm"] / 1000,
            c=mine["depth"],
            cmap=scale.colours,
            norm=scale.norm,
            s=size,
            marker=markers.get(str(element), "X"),
            edgecolors="black",
            linewidths=min(0.5, size / 40),
        )
    ax.autoscale(False)
