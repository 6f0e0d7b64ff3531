"""How well events of a film are found, against the dose: precision and recall of every method, by element."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from segdepth.errors import StoreError
from segdepth.figures import style

METHODS = {
    "hmm": ("hidden Markov model", "black", "o"),
    "hmm_listed": ("its listed events", "0.5", "o"),
    "frame": ("single frames", "C3", "s"),
    "mean_3": ("average of 3", "C0", "^"),
    "mean_5": ("average of 5", "C1", "v"),
    "mean_9": ("average of 9", "C2", "D"),
}
SHOWN = {"precision": "precision", "recall": "recall", "timing_s": "timing error (s)"}


@style.styled
def draw(scores: pd.DataFrame) -> Figure:
    """A row an element, a column a quantity.

    Parameters
    ----------
    scores : ``scores.csv`` of ``measure-film``.

    Raises
    ------
    StoreError
        The table holds no scores.
    """
    elements = [element for element in dict.fromkeys(scores["element"]) if element != "all"]
    if not elements:
        raise StoreError("the table of scores is empty")
    fig = style.new_figure(7.2, 0.7 + 1.9 * len(elements), maps=False)
    axes = fig.subplots(len(elements), len(SHOWN), sharex=True, squeeze=False)
    for line, element in zip(axes, elements):
        for ax, (name, label) in zip(line, SHOWN.items()):
            for method, (text, colour, marker) in METHODS.items():
                rows = scores[(scores["element"] == element) & (scores["method"] == method)].sort_values("dose_lambda")
                if len(rows):
                    ax.plot(rows["dose_lambda"], rows[name], color=colour, marker=marker, markersize=4, label=text)
            ax.set(xscale="log", ylabel=f"{element}: {label}")
            if name != "timing_s":
                ax.set_ylim(-0.03, 1.03)
    for ax in axes[-1]:
        ax.set_xlabel(r"$\lambda$ a frame")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    film = scores.iloc[0]
    counts = scores.drop_duplicates("element").set_index("element")["columns"]
    fig.suptitle(
        f"film {film['film']}: {film['frames']} frames of {film['frame_s']:g} s; network {film['network']}; "
        f"changing columns: {', '.join(f'{counts[element]} {element}' for element in elements)}",
        fontsize=9,
    )
    return fig
