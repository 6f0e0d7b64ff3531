"""The picture of a prediction: input, depth, confidence, and the columns over the input.

Drawn on the file's own pixels, its row 0 at the top, as other programs show the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from segdepth.figures import style
from segdepth.figures.attributes import crystal_of
from segdepth.labels.column_depths import name_of_last
from segdepth.micrograph.results.facts import NOT_EXPLAINED_STAMP, NOT_RELIABLE, printable
from segdepth.micrograph.results.reading import Picture
from segdepth.micrograph.results.rounding import with_error

PANEL_POINTS = 230
"""About the width of a panel."""

MARK_SHARE = 0.81
"""Width of a mark over the distance of the nearest columns, so that neighbours do not touch."""

STAMP_COLOUR = "#d00020"
LONGEST_NAME = 60
"""Letters of a file's name in a title, or of two names in a line."""


@style.styled
def draw(picture: Picture, simulated: bool = False) -> Figure:
    """One frame of a prediction, of ``read_picture``.

    Parameters
    ----------
    simulated : whether the micrograph is a simulated recording, which the title then says.

    Raises
    ------
    StoreError
        Its summary has no crystal.
    """
    film, frame = picture.film, picture.frame
    crystal, pixel, classes = crystal_of(film), float(film["pixel_pm"]), int(film["classes"])
    counts, depth, confidence = (values[::-1] for values in (picture.counts, picture.depth, picture.confidence))
    height, width = counts.shape
    fig = style.new_figure(8.6, 1.1 + 2 * min(max(3.4 * height / width, 2.2), 7.0))
    axes = fig.subplots(2, 2)
    limits = style.image_limits(counts) if np.isfinite(counts).any() else (0.0, 1.0)
    image = style.show_image(axes[0, 0], counts, pixel, limits)
    style.show_image(axes[1, 1], counts, pixel, limits)
    style.intensity_bar(fig, image, axes[0, 0])
    shown = style.show_depth(axes[0, 1], np.ma.masked_invalid(depth), pixel, classes)
    sure = style.show_probability(axes[1, 0], np.ma.masked_invalid(confidence), pixel)
    last_class = name_of_last(classes, bool(film["labels"].get("more", False)))
    for ax in (axes[0, 1], axes[1, 1]):
        style.depth_bar(fig, shown, ax, last_class=last_class)
    fig.colorbar(sure, ax=axes[1, 0]).set_label("confidence (probability)")
    size = min(max(MARK_SHARE * crystal.nearest_column_pm * PANEL_POINTS / (width * pixel), 1.0), 8.0) ** 2
    _mark_columns(axes[1, 1], picture.columns, crystal.elements, classes, size, height * pixel)
    signs = ", ".join(f"{style.MARKER_SIGNS[m]} {e}" for e, m in style.element_markers(crystal.elements).items())
    titles = ("(a) input", "(b) estimated depth", "(c) confidence", f"(d) columns: {signs}")
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
        ax.set_facecolor("white")
        style.scale_bar(ax)
    names = names_text(film["network"]["name"], film["source"], simulated)
    fig.suptitle("\n".join((names, _heading(film, frame), _legend(picture, last_class))))
    if not frame["reliable"]:
        _stamp(fig, NOT_RELIABLE)
    elif any(line.startswith(NOT_EXPLAINED_STAMP) for line in film.get("warnings", ())):
        _stamp(fig, NOT_EXPLAINED_STAMP)
    return fig


def names_text(network: str, source: str, simulated: bool) -> str:
    """Network and micrograph in one line or two, for titles; the path of the file is left out."""
    name = printable(Path(source).name)
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME // 2]}…{name[-LONGEST_NAME // 2 :]}"
    gap = " " if len(network) + len(name) <= LONGEST_NAME else "\n"
    return f"{network}{gap}on {name}{' (simulated)' if simulated else ''}"


def _heading(film: Mapping[str, Any], frame: Mapping[str, Any]) -> str:
    many = len(film["frames"]) + len(film["lost_frames"])
    which = f"frame {frame['frame']} (one of {many}), " if many > 1 else ""
    pixel = with_error(film["pixel_pm"], film["pixel_error_pm"])
    turn = with_error(film["rotation_deg"], film["rotation_error_deg"])
    return f"{which}{frame['dose_e_per_a2']:.3g} e⁻/Å², pixel {pixel} pm, turned by {turn}°" + (
        ", mirrored" if film["flip"] else ""
    )


def _legend(picture: Picture, last_class: str) -> str:
    parts = ["the file's row 0 is at the top"]
    if not np.isfinite(picture.depth).all():
        parts.append("white is not valid")
    if picture.columns["at_least"].any():
        parts.append("dot: at least so many atoms" if last_class[0] == "≥" else f"dot: perhaps {last_class} atoms")
    return "; ".join(parts)


def _stamp(fig: Figure, text: str) -> None:
    """Across the picture, in red."""
    word, reason = text.split(": ")
    outline = [withStroke(linewidth=4, foreground="white")]
    for text, size, drop in ((word, 46, 0.0), (reason, 17, 0.075)):
        fig.text(
            0.5, 0.5 - drop, text, ha="center", va="center", rotation=20, fontsize=size, fontweight="bold",
            color=STAMP_COLOUR, alpha=0.85, path_effects=outline, in_layout=False,
        )  # fmt: skip


def _mark_columns(
    ax: Axes, columns: pd.DataFrame, elements: Sequence[str], classes: int, size: float, top_pm: float
) -> None:
    """Each column as a mark of its depth's colour, red at the edge where it is not reliable, with a dot where
    ``at_least``."""
    scale, markers = style.DepthColours(classes), style.element_markers(elements)
    places = columns["x_pm"] / 1000, (top_pm - columns["y_pm"]) / 1000
    doubtful = ~columns["reliable"].to_numpy(bool)
    edges = np.where(doubtful & ~doubtful.all(), STAMP_COLOUR, "black")
    for element, mine in columns.groupby("element").indices.items():
        ax.scatter(
            *(values.to_numpy()[mine] for values in places),
            c=columns["depth"].to_numpy()[mine],
            cmap=scale.colours,
            norm=scale.norm,
            s=size,
            marker=markers.get(str(element), "X"),
            edgecolors=edges[mine],
            linewidths=min(0.5, size / 40),
        )
    full = columns["at_least"].to_numpy(bool)
    ax.plot(*(values[full] for values in places), ".", color="black", ms=min(2.5, 0.3 * size**0.5), mec="none")
    ax.autoscale(False)
