"""The training of a network: losses, centre accuracy and learning rate against the epoch."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segdepth.figures import style

ACCURACY = "centre_accuracy"


@style.styled
def draw(curve: pd.DataFrame, name: str) -> Figure:
    """The curve of a trained network.

    Parameters
    ----------
    curve : one row an epoch: ``epoch``, ``train_loss``, ``validation_loss``, ``centre_accuracy`` of all columns and
        ``centre_accuracy_<element>`` of each element's, ``learning_rate``; empty where nothing was measured.
    name : of the network.
    """
    elements = style.heaviest_first(column.removeprefix(f"{ACCURACY}_") for column in curve)
    colours = style.element_colours(elements)
    fig = style.new_figure(6.2, 6.6, maps=False)
    losses, accuracy, rate = fig.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    _line(losses, curve, "train_loss", style.NEUTRAL, "training")
    _line(losses, curve, "validation_loss", style.ELEMENT_COLOURS[0], "validation")
    _line(accuracy, curve, ACCURACY, style.NEUTRAL, " and ".join(elements) or "all")
    for element in elements if len(elements) > 1 else ():
        _line(accuracy, curve, f"{ACCURACY}_{element}", colours[element], element)
    _line(rate, curve, "learning_rate", style.OTHER)
    for ax in (losses, accuracy):
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    losses.set_ylabel("weighted cross-entropy")
    accuracy.set(ylabel="centre accuracy\n(validation)", ylim=(0, 1))
    rate.set(ylabel="learning rate", yscale="log", xlabel="epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses.set_title(f"training of {name}")
    return fig


def _line(ax: Axes, curve: pd.DataFrame, column: str, colour: str, label: str | None = None) -> None:
    seen = curve.dropna(subset=[column]) if column in curve else curve.iloc[:0].assign(**{column: []})
    ax.plot(seen["epoch"], seen[column], ".-", linewidth=1.2, color=colour, label=label)
