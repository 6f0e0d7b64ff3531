"""Figure 9: metrics of networks against the dose of the test images (SegDepth, Fig. 9)."""

from __future__ import annotations

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from segdepth.config import ALL
from segdepth.figures import style

SHOWN = {
    "pixelwise_accuracy": "pixelwise accuracy",
    "centre_accuracy": "centre accuracy",
    "detection_rate": "detection rate",
    "hallucinated_rate": "hallucinated rate",
    "columns_exact": "columns exact",
}
"""Metrics, and what they are called."""

BOUND_COLOURS = ("crimson", "darkorange", "deeppink", "sienna")

SHARPEST = 0.85
"""Of the colour scale of curves: brighter ones cannot be seen on white."""


@style.styled
def draw(widths: pd.DataFrame, trained: pd.DataFrame, bound: pd.DataFrame) -> Figure:
    """The tables ``fig9a`` (several widths) and ``fig9b`` (several doses of training) of ``tabulate-paper``; bars are
    95 % bootstrap intervals over structures. A network that was trained over a range of doses is drawn in black.
    Dashed: the ideal observer of single columns of each element, from the table ``bound`` (it may be empty)."""
    fig = style.new_figure(14.2, 5.8, maps=False)
    axes = fig.subplots(2, len(SHOWN) + 1, width_ratios=[*[1] * len(SHOWN), 0.8], sharey="col")
    for row, (letter, table) in enumerate(zip("ab", (widths, trained))):
        names = list(dict.fromkeys(table["row"]))
        wide = {name for name in names if "…" in name}
        single = [name for name in names if name not in wide]
        scale = colormaps["viridis"]
        colours = {name: scale(SHARPEST * i / max(1, len(single) - 1)) for i, name in enumerate(single)}
        for ax, (metric, title) in zip(axes[row], SHOWN.items()):
            of_all = table[(table["metric"] == metric) & (table["element"] == ALL)]
            for name in names:
                one = of_all[of_all["row"] == name].sort_values("lambda")
                ends = [(one["value"] - one["low"]).fillna(0).clip(0), (one["high"] - one["value"]).fillna(0).clip(0)]
                colour, line = (style.NEUTRAL, "s--") if name in wide else (colours[name], "o-")
                ax.errorbar(one["lambda"], one["value"], ends, fmt=line, ms=3, lw=1.1, color=colour, label=name)
            of_metric = bound[bound["metric"] == metric]
            for (element, one), colour in zip(of_metric.groupby("element"), BOUND_COLOURS):
                one = one.sort_values("lambda")
                label = f"limit of a single column, {element}"
                ax.plot(one["lambda"], one["value"], "--", lw=1.4, color=colour, label=label)
            style.dose_axis(ax, table["lambda"].unique())
            ax.set_title(f"({letter}) {title}")
        axes[row, -1].legend(*axes[row, len(SHOWN) - 1].get_legend_handles_labels(), frameon=False, loc="center left")
        axes[row, -1].set_axis_off()
    for ax in axes[1, :-1]:
        ax.set_xlabel("λ of the test images")
    fig.suptitle(_facts_text(widths, trained))
    return fig


def _facts_text(widths: pd.DataFrame, trained: pd.DataFrame) -> str:
    """Networks, data sets and images, for the title."""
    every = pd.concat([widths, trained]).sort_values("lambda", kind="stable")
    variants, datasets = (list(dict.fromkeys(every[name])) for name in ("variant", "dataset"))
    named = datasets[0] if len(datasets) == 1 else f"{datasets[0]} … {datasets[-1]}"
    facts = widths.iloc[0]
    sample = f"{int(facts['images'])} images of {int(facts['structures'])} structures at each λ"
    return f"{', '.join(variants)} networks on {named}: {sample}"
