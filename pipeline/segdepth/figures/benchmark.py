"""How many columns are counted exactly, by their true count and by defocus, beside the ideal observer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segdepth.errors import ConfigError
from segdepth.evaluation.results import Evaluation, IdealObserver
from segdepth.figures import style

KINDS = ({"marker": "o"}, {"marker": "s", "markerfacecolor": "white"}, {"marker": "^"}, {"marker": "D"})
"""One for each evaluation, in their order."""

METRIC = "columns_exact"
DASHED = {"linestyle": (0, (5, 2)), "linewidth": 1.1}
OBSERVERS = {
    "image_and_prior": "ideal observer with the wedge known, {dataset}",
    "image": "ideal observer of single columns, {dataset}",
}
"""Kinds of the ideal observer, the first that there is is drawn, and what they are called."""


@style.styled
def draw(evaluations: Sequence[Evaluation], observer: IdealObserver | None = None) -> Figure:
    """``columns_exact`` of one to four evaluations.

    Bands are 95 % bootstrap intervals over structures. Dashed lines are of ``observer``: with the image and the prior,
    or with the image alone where counts are not shifted.

    Raises
    ------
    ConfigError
        There are more evaluations than markers, or none.
    """
    if not 1 <= len(evaluations) <= len(KINDS):
        raise ConfigError(f"evaluation: got {len(evaluations)}; one to {len(KINDS)} can be told apart in one figure")
    elements = style.heaviest_first(element for one in evaluations for element in one.elements)
    colours = style.element_colours(elements)
    fig = style.new_figure(7.4, 3.9, maps=False)
    axes = fig.subplots(1, 2, sharey=True)
    for one, kind in zip(evaluations, KINDS):
        for ax, table, x in zip(axes, (one.by_atoms, one.by_defocus), ("atoms", "defocus_nm")):
            for element in one.elements:
                rows = table[(table["metric"] == METRIC) & (table["element"] == element)]
                _curve(ax, rows, x, colours[element], kind)
    handles = [Line2D([], [], color=colours[e], linewidth=4, label=e) for e in elements]
    handles += [
        Line2D([], [], color=style.NEUTRAL, markersize=4.5, label=_name(one, evaluations), **kind)
        for one, kind in zip(evaluations, KINDS)
    ]
    if observer is not None:
        label = _draw_observer(axes, observer, colours)
        handles.append(Line2D([], [], color=style.NEUTRAL, label=label, **DASHED))
    handles.append(Patch(color=style.NEUTRAL, alpha=0.2, linewidth=0, label="95 % interval over structures"))
    most = max(one.facts["classes"] for one in evaluations) - 1
    axes[0].set(xlabel="true count (atoms)", ylabel="columns counted exactly (share)", ylim=(0, 1.02))
    axes[0].set(xlim=(0.5, most + 0.5), xticks=[n for n in style.class_ticks(most + 1) if n] or [1])
    axes[1].set(xlabel="defocus C1 (nm, overfocus > 0)")
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    fig.suptitle(_title(evaluations))
    return fig


def _curve(ax: Axes, rows: pd.DataFrame, x: str, colour: str, kind: dict[str, Any]) -> None:
    """A line with markers, and its interval as a band where there is one."""
    rows = rows.dropna(subset=["value"]).sort_values(x)
    ax.plot(rows[x], rows["value"], color=colour, markersize=4.5, linewidth=1.3, **kind)
    band = rows.dropna(subset=["low", "high"])
    ax.fill_between(band[x], band["low"], band["high"], color=colour, alpha=0.15, linewidth=0)


def _draw_observer(axes: Sequence[Axes], observer: IdealObserver, colours: dict[str, str]) -> str:
    """Draw the first kind of the ideal observer that has values, and return what it is called."""
    tables = [table[table["metric"] == METRIC] for table in (observer.by_atoms, observer.by_defocus)]
    found = [k for k in OBSERVERS if all(t.loc[t["kind"] == k, "value"].notna().any() for t in tables)]
    kind = found[0] if found else "image"
    for ax, table, x in zip(axes, tables, ("atoms", "defocus_nm")):
        for element in observer.facts["elements"]:
            rows = table[(table["kind"] == kind) & (table["element"] == element)].sort_values(x)
            ax.plot(rows[x], rows["value"], color=colours.get(element, style.OTHER), **DASHED)
    return OBSERVERS[kind].format(dataset=observer.facts["dataset"])


def _name(one: Evaluation, evaluations: Sequence[Evaluation]) -> str:
    """The data set, with its network where they differ."""
    same = len({other.facts["model"] for other in evaluations}) == 1
    return one.facts["dataset"] if same else f"{one.facts['model']} on {one.facts['dataset']}"


def _title(evaluations: Sequence[Evaluation]) -> str:
    facts = [one.facts for one in evaluations]
    models = dict.fromkeys(f"{f['model']} ({f['variant']}, c = {f['base_channels']})" for f in facts)
    doses = dict.fromkeys(style.dose_text(f) for f in facts)
    return "\n".join([*models, ", ".join(doses)])
