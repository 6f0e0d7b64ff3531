"""How many columns are counted exactly, by their true count and by defocus, beside the best that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segdepth.config import CLASSES, ELEMENTS
from segdepth.errors import ConfigError
from segdepth.evaluation.ideal_observer import read_ideal_observer
from segdepth.evaluation.stored import read_metrics, read_table
from segdepth.figures import style

COMMAND = "plot-benchmark"
KINDS = ({"marker": "o"}, {"marker": "s", "markerfacecolor": "white"}, {"marker": "^"}, {"marker": "D"})
"""One for each evaluation, in their order."""

LIMIT = {"linestyle": (0, (5, 2)), "linewidth": 1.1}


def plot(evaluations: Sequence[Path], limit: Path | None, out: Path, code: str) -> None:
    """Draw ``columns_exact`` of one to four evaluations to ``out`` (.png) and its .pdf.

    Bands are 95 % bootstrap intervals over structures. Dashed lines are of ``limit``, the directory of
    ``estimate-ideal-observer``: ``both_exact``, the best with the wedge known, or ``limit_exact`` where counts are not shifted.
    """
    if not 1 <= len(evaluations) <= len(KINDS):
        raise ConfigError(f"evaluation: got {len(evaluations)}; one to {len(KINDS)} can be told apart in one figure")
    facts = [read_metrics(path) for path in evaluations]
    with style.styled():
        fig = style.new_figure(7.4, 3.9, maps=False)
        axes = fig.subplots(1, 2, sharey=True)
        for path, kind in zip(evaluations, KINDS):
            by_atoms, by_defocus = read_table(path, "by_atoms"), read_table(path, "by_defocus")
            for element in ELEMENTS:
                rows = by_atoms[by_atoms["element"] == element]
                _curve(axes[0], rows, "atoms", "columns_exact", element, kind)
                _curve(axes[1], by_defocus, "defocus_nm", f"columns_exact_{element}", element, kind)
        if limit is not None:
            limit_label = _draw_limit(axes, limit)
        axes[0].set(xlabel="true count (atoms)", ylabel="columns counted exactly (share)", ylim=(0, 1.02))
        axes[0].set(xlim=(0.5, CLASSES - 0.5), xticks=range(1, CLASSES))
        axes[1].set(xlabel="defocus C1 (nm, overfocus > 0)")
        handles = [Line2D([], [], color=style.COLOURS[e], linewidth=4, label=e) for e in ELEMENTS]
        handles += [
            Line2D([], [], color=style.COLOURS["all"], markersize=4.5, label=_name(one, facts), **kind)
            for one, kind in zip(facts, KINDS)
        ]
        if limit is not None:
            handles.append(Line2D([], [], color=style.COLOURS["all"], label=limit_label, **LIMIT))
        handles.append(Patch(color=style.COLOURS["all"], alpha=0.2, linewidth=0, label="95 % interval over structures"))
        fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
        fig.suptitle(_title(facts))
        inputs = [*evaluations, *([] if limit is None else [limit])]
        style.save(fig, out, command=COMMAND, code=code, inputs=inputs)


def _curve(ax: Axes, rows: pd.DataFrame, x: str, y: str, element: str, kind: dict[str, Any]) -> None:
    """A line with markers, and its interval as a band where there is one."""
    colour, rows = style.COLOURS[element], rows.dropna(subset=[y]).sort_values(x)
    ax.plot(rows[x], rows[y], color=colour, markersize=4.5, linewidth=1.3, **kind)
    band = rows.dropna(subset=[f"{y}_low", f"{y}_high"])
    ax.fill_between(band[x], band[f"{y}_low"], band[f"{y}_high"], color=colour, alpha=0.15, linewidth=0)


def _draw_limit(axes: Sequence[Axes], limit: Path) -> str:
    """Draw the best that is possible, and return what it is called."""
    dataset = read_ideal_observer(limit)["dataset"]
    tables = [read_table(limit, name) for name in ("by_atoms", "by_defocus")]
    both = all("both_exact" in table and table["both_exact"].notna().all() for table in tables)
    for ax, table, x in zip(axes, tables, ("atoms", "defocus_nm")):
        for element in ELEMENTS:
            rows = table[table["element"] == element].sort_values(x)
            ax.plot(rows[x], rows["both_exact" if both else "limit_exact"], color=style.COLOURS[element], **LIMIT)
    return f"best with the wedge known, {dataset}" if both else f"single-column limit of {dataset}"


def _name(one: dict[str, Any], facts: Sequence[dict[str, Any]]) -> str:
    """The data set, with its network where they differ."""
    return one["dataset"] if len({f["model"] for f in facts}) == 1 else f"{one['model']} on {one['dataset']}"


def _title(facts: Sequence[dict[str, Any]]) -> str:
    models = list(dict.fromkeys(f"{f['model']} ({f['variant']}, c = {f['base_channels']})" for f in facts))
    doses = dict.fromkeys(style.dose_text(f) for f in facts)
    return "\n".join([*models, ", ".join(doses)])
