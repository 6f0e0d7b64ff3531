"""The picture of a prediction: input, depth, confidence, and the columns over the input.

Drawn in the input's own orientation, its row 0 at the bottom: where the surface points is not known beforehand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from segdepth.errors import StoreError
from segdepth.figures import style

STORE, COLUMNS, PICTURE = "prediction.zarr", "columns.csv", "prediction.png"
PANEL_POINTS = 230
"""About the width of a panel."""

MARKERS = {"Ce": "o", "O": "^"}


def draw_prediction(folder: Path) -> None:
    """Draw ``prediction.png`` of the first frame from ``prediction.zarr`` and ``columns.csv`` in ``folder``.

    The store has ``counts`` (vacuum = 1), ``depth``, ``confidence``, ``valid``, all (frame, y, x), and the attribute
    ``pixel_pm``. No manifest: that is the caller's.
    """
    folder = Path(folder)
    try:
        with xr.open_zarr(folder / STORE, consolidated=False, chunks=None) as store:
            pixel, frames = float(store.attrs["pixel_pm"]), store.sizes["frame"]
            maps = {name: store[name][0].values for name in ("counts", "depth", "confidence", "valid")}
        columns = pd.read_csv(folder / COLUMNS)
    except (OSError, ValueError, KeyError) as failure:
        raise StoreError(f"{folder}: is not a prediction ({failure})") from None
    with style.styled():
        _draw(folder, maps, columns[columns["frame"] == 0], pixel, frames)


def _draw(folder: Path, maps: dict[str, np.ndarray], columns: pd.DataFrame, pixel_pm: float, frames: int) -> None:
    valid = maps["valid"].astype(bool)
    height, width = valid.shape
    counts = np.where(valid, maps["counts"], np.nan)
    fig = style.new_figure(8.6, 0.9 + 2 * min(max(3.4 * height / width, 2.2), 7.0))
    axes = fig.subplots(2, 2)
    limits = style.image_limits(counts) if np.isfinite(counts).any() else (0.0, 1.0)
    image = style.show_image(axes[0, 0], counts, pixel_pm, limits)
    style.show_image(axes[1, 1], counts, pixel_pm, limits)
    style.intensity_bar(fig, image, axes[0, 0])
    depth = style.show_depth(axes[0, 1], np.ma.array(maps["depth"], mask=~valid), pixel_pm)
    confidence = style.show_probability(axes[1, 0], np.ma.array(maps["confidence"], mask=~valid), pixel_pm)
    style.depth_bar(fig, depth, axes[0, 1])
    style.depth_bar(fig, depth, axes[1, 1])
    fig.colorbar(confidence, ax=axes[1, 0]).set_label("confidence (probability)")
    _mark_columns(axes[1, 1], columns, width * pixel_pm / 1000)
    titles = ("(a) input", "(b) estimated depth", "(c) confidence", "(d) columns: ○ Ce, △ O")
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
        ax.set_facecolor("white")
        style.scale_bar(ax)
    which = f"first of {frames} frames, " if frames > 1 else ""
    masked = "" if valid.all() else "; white is not valid"
    fig.suptitle(f"{which}{pixel_pm:.3g} pm a pixel, the input's row 0 at the bottom{masked}")
    style.write_picture(fig, folder / PICTURE)


def _mark_columns(ax: Axes, columns: pd.DataFrame, width_nm: float) -> None:
    """Each column as a mark of its depth's colour, some 110 pm wide: less than the Ce–O distance."""
    size = min(max(0.11 * PANEL_POINTS / width_nm, 1.0), 8.0) ** 2
    for element, mine in columns.groupby("element"):
        ax.scatter(
            mine["x_pm"] / 1000,
            mine["y_pm"] / 1000,
            c=mine["depth"],
            cmap=style.DEPTH_COLOURS,
            norm=style.DEPTH_NORM,
            s=size,
            marker=MARKERS.get(str(element), "s"),
            edgecolors="black",
            linewidths=min(0.5, size / 40),
        )
    ax.autoscale(False)
