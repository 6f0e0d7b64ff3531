"""Figure 6: confusion matrix of true and estimated depth, in shares of each row (SegDepth, Fig. 6)."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from segdepth.config import ALL
from segdepth.evaluation.results import Evaluation
from segdepth.figures import style
from segdepth.labels.column_depths import name_of_last

COLOURS = "Blues"
MOST_WITH_NUMBERS = 14
"""Classes; the cells of more are too small for a number each."""


@style.styled
def draw(evaluation: Evaluation) -> Figure:
    """Rows are true depths and sum to 1; a depth that no pixel has is grey."""
    facts, table = evaluation.facts, evaluation.confusion
    classes = facts["classes"]
    counts = np.zeros((classes, classes), np.int64)
    table = table[table["element"] == ALL]
    counts[table["true"], table["estimate"]] = table["pixels"]
    pixels = counts.sum(axis=1, keepdims=True)
    shares = np.where(pixels > 0, counts / np.maximum(pixels, 1), np.nan)
    fig = style.new_figure(6.6, 6.0)
    ax = fig.subplots()
    image = ax.imshow(shares, cmap=colormaps[COLOURS].with_extremes(bad="#eeeeee"), vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares) if classes <= MOST_WITH_NUMBERS else ():
        text = "–" if np.isnan(share) else "0" if share < 0.005 else f"{share:.2f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if share > 0.55 else "black")
    ticks, words = style.ticks_with_last(classes, name_of_last(classes, True) if facts.get("more") else None)
    ax.set(xticks=ticks, yticks=ticks, xticklabels=words, yticklabels=words)
    ax.set(xlabel="estimated depth (atoms)", ylabel="true depth (atoms)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax).set_label("share of the pixels of one true depth")
    sample = f"images: {facts['images']}, structures: {facts['structures']}"
    fig.suptitle(f"{style.evaluation_text(facts)}, {sample}")
    return fig
