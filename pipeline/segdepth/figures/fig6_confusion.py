"""Figure 6: confusion matrices of true and estimated depth, in shares of each row (SegDepth, Fig. 6)."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from segdepth.config import ALL
from segdepth.evaluation.metrics import share_within_one
from segdepth.evaluation.results import Evaluation
from segdepth.figures import style
from segdepth.labels.column_depths import name_of_last

COLOURS = "Blues"
MOST_WITH_NUMBERS = 14
"""Classes; the cells of more are too small for a number each."""

MOST_IN_A_ROW = 3
PANEL_IN = (4.7, 5.0)
MARGIN_IN = (0.6, 1.0)
"""Width and height of a panel, and of what is beside and above them."""


@style.styled
def draw(evaluation: Evaluation) -> Figure:
    """All pixels, and those of each element; rows are true depths and sum to 1, a depth that no pixel has is grey."""
    facts, shown = evaluation.facts, (ALL, *evaluation.elements)
    columns = len(shown) if len(shown) <= MOST_IN_A_ROW else math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    fig = style.new_figure(MARGIN_IN[0] + PANEL_IN[0] * columns, MARGIN_IN[1] + PANEL_IN[1] * rows)
    axes = fig.subplots(rows, columns, squeeze=False)
    ticks, words = style.ticks_with_last(
        facts["classes"], name_of_last(facts["classes"], True) if facts.get("more") else None
    )
    for place, (ax, element) in enumerate(zip(axes.flat, shown)):
        matrix = evaluation.confusion_matrix(element)
        image = _panel(ax, matrix)
        whose = "all pixels" if element == ALL else f"pixels nearest to columns of {element}"
        within = share_within_one(matrix)
        ax.set_title(whose + ("" if within is None else f"\nwithin one atom: {within:.3f}"))
        numbered = [f"{word} ({short_number(matrix[tick].sum())})" for tick, word in zip(ticks, words)]
        ax.set(xticks=ticks, yticks=ticks, xticklabels=words, yticklabels=numbered, xlabel="estimated depth (atoms)")
        if place % columns == 0:
            ax.set_ylabel("true depth (atoms), in brackets its pixels")
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    fig.colorbar(image, ax=axes).set_label("share of the pixels of one true depth")
    sample = f"images: {facts['images']}, structures: {facts['structures']}"
    fig.suptitle(f"{style.evaluation_text(facts)}, {sample}")
    return fig


def short_number(count: float) -> str:
    """A number to two digits or to one: 812, 3.1 k, 42 k, 1.2 M."""
    for unit, size in ((" M", 1e6), (" k", 1e3)):
        if count >= 0.995 * size:
            return f"{count / size:.1f}{unit}" if count < 9.95 * size else f"{count / size:.0f}{unit}"
    return f"{count:.0f}"


def _panel(ax: Axes, matrix: np.ndarray) -> AxesImage:
    pixels = matrix.sum(axis=1, keepdims=True)
    shares = np.where(pixels > 0, matrix / np.maximum(pixels, 1), np.nan)
    image = ax.imshow(shares, cmap=colormaps[COLOURS].with_extremes(bad="#eeeeee"), vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares) if len(matrix) <= MOST_WITH_NUMBERS else ():
        text = "–" if np.isnan(share) else "0" if share < 0.005 else f"{share:.2f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if share > 0.55 else "black")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image
