"""How a network learned: losses, centre accuracy and learning rate against the epoch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from segdepth.errors import StoreError
from segdepth.figures import style
from segdepth.store.manifest import check_whole

COMMAND = "plot-training"
CURVE = "curve.csv"


def plot(model: Path, out: Path, code: str) -> None:
    """Draw ``curve.csv`` of a trained network's directory to ``out`` (.png) and its .pdf."""
    check_whole(model)
    path = Path(model) / CURVE
    try:
        curve = pd.read_csv(path)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None
    panels = (
        ("weighted cross-entropy", (("train_loss", "training", "all"), ("validation_loss", "validation", "Ce"))),
        (
            "centre accuracy\n(validation)",
            (
                ("centre_accuracy", "Ce and O", "all"),
                ("centre_accuracy_Ce", "Ce", "Ce"),
                ("centre_accuracy_O", "O", "O"),
            ),
        ),
        ("learning rate", (("learning_rate", None, "other"),)),
    )
    with style.styled():
        fig = style.new_figure(6.2, 6.6, maps=False)
        axes = fig.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
        for ax, (label, lines) in zip(axes, panels):
            for column, name, colour in lines:
                seen = curve.dropna(subset=[column]) if column in curve else curve.iloc[:0].assign(**{column: []})
                ax.plot(seen["epoch"], seen[column], ".-", linewidth=1.2, color=style.COLOURS[colour], label=name)
            if lines[0][1]:
                ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
            ax.set_ylabel(label)
        axes[1].set_ylim(0, 1)
        axes[2].set_yscale("log")
        axes[2].set_xlabel("epoch")
        axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_title(f"training of {Path(model).name}")
        style.save(fig, out, command=COMMAND, code=code, inputs=[model])
