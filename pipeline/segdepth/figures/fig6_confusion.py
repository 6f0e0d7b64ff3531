"""Figure 6: confusion matrix of true and estimated depth, in shares of each row (SegDepth, Fig. 6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps

from segdepth.config import CLASSES
from segdepth.evaluation.stored import read_metrics, read_table
from segdepth.figures import style

COMMAND = "plot-fig6"
COLOURS = "Blues"


def plot(evaluation: Path, out: Path, code: str) -> None:
    """Draw the confusion matrix of an evaluation to ``out`` (.png) and its .pdf."""
    facts, counts = read_metrics(evaluation), read_table(evaluation, "confusion").to_numpy()
    pixels = counts.sum(axis=1, keepdims=True)
    shares = np.where(pixels > 0, counts / np.maximum(pixels, 1), np.nan)
    with style.styled():
        fig = style.new_figure(6.6, 6.0)
        ax = fig.subplots()
        colours = colormaps[COLOURS].with_extremes(bad="#eeeeee")
        image = ax.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            text = "–" if np.isnan(share) else "0" if share < 0.005 else f"{share:.2f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if share > 0.55 else "black")
        ax.set(xticks=range(CLASSES), yticks=range(CLASSES))
        ax.set(xlabel="estimated depth (atoms)", ylabel="true depth (atoms)")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        fig.colorbar(image, ax=ax).set_label("share of the pixels of one true depth")
        sample = f"images: {facts['images']}, structures: {facts['structures']}"
        fig.suptitle(f"{style.evaluation_text(facts)}, {sample}")
        style.save(fig, out, command=COMMAND, code=code, inputs=[evaluation])
