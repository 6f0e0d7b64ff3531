"""Networks under each other's conditions, and what a short training there regains: two matrices."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from segdepth.config import ALL
from segdepth.errors import StoreError
from segdepth.figures import style

EXACT, WITHIN_ONE, CHANGE = "columns_exact", "columns_within_one", "columns_exact_change"
CELL_IN = 1.05
"""Side of a cell."""

DARK = 0.55
"""Of the colour scale: numbers on what is darker are white."""


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Left: every network on every home; right: the tuned networks, with the untuned ones at home in between.

    Parameters
    ----------
    table : of ``tabulate-generalization``.

    Raises
    ------
    StoreError
        The table is empty.
    """
    of_all = table[table["element"] == ALL]
    native = of_all[(of_all["home"] == "yes") & (of_all["metric"] == EXACT)]
    if native.empty:
        raise StoreError("the matrix of networks and data sets is empty")
    homes, networks = native["dataset"].tolist(), native["network"].tolist()
    plain = of_all[of_all["began_with"].isna()]
    tuned = of_all[of_all["began_with"].notna()]
    panels = [("(a) as trained", plain, "network")]
    if len(tuned):
        at_home = of_all[of_all["home"] == "yes"].assign(began_with=lambda rows: rows["network"])
        panels.append(("(b) tuned to what is measured", pd.concat([tuned, at_home]), "began_with"))
    side = CELL_IN * len(homes)
    fig = style.new_figure((side + 0.8) * len(panels) + 1.4, side + 1.6)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    lowest = max(0.0, plain.loc[plain["metric"] == EXACT, "value"].min() - 0.02)
    for ax, (title, rows, by) in zip(axes, panels):
        image = _matrix(ax, rows, by, networks, homes, lowest)
        ax.set_title(title)
        ax.set_xlabel("measured on")
    names = [home if home == name else f"{home}\n({name})" for home, name in zip(homes, networks)]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("trained on")
    fig.colorbar(image, ax=axes, label="share of columns counted exactly", shrink=0.8)
    fig.suptitle(_facts(native, plain, tuned))
    return fig


def _matrix(ax: Axes, rows: pd.DataFrame, by: str, networks: list[str], homes: list[str], lowest: float) -> AxesImage:
    """One matrix with its numbers; a frame marks the networks at home."""
    found = {key: part.set_index("metric") for key, part in rows.groupby([by, "dataset"])}
    values = [[_number(found, (name, home), EXACT, "value") for home in homes] for name in networks]
    image = ax.imshow(values, vmin=lowest, vmax=1, cmap="viridis")
    for y, name in enumerate(networks):
        for x, home in enumerate(homes):
            if (cell := found.get((name, home))) is None:
                continue
            bright = (values[y][x] - lowest) / (1 - lowest) > DARK
            ax.text(x, y, _words(cell), ha="center", va="center", fontsize=7.5, color="black" if bright else "white")
            if cell.loc[EXACT, "home"] == "yes":
                ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="red", linewidth=1.6))
    ax.set_xticks(
        range(len(homes)), homes, rotation=20 if len(homes) > 2 else 0, ha="right" if len(homes) > 2 else "center"
    )
    return image


def _number(found: dict[tuple[str, str], pd.DataFrame], key: tuple[str, str], metric: str, column: str) -> float:
    return float(found[key].loc[metric, column]) if key in found else float("nan")


def _words(cell: pd.DataFrame) -> str:
    """The share with its interval, that within one atom, and its change."""
    exact = cell.loc[EXACT]
    lines = [f"{exact['value']:.3f}", f"[{exact['low']:.3f} … {exact['high']:.3f}]"]
    lines.append(f"±1: {cell.loc[WITHIN_ONE, 'value']:.3f}")
    if CHANGE in cell.index:
        lines.append(f"{cell.loc[CHANGE, 'value']:+.3f}".replace("-", "−"))
    return "\n".join(lines)


def _facts(native: pd.DataFrame, plain: pd.DataFrame, tuned: pd.DataFrame) -> str:
    """λ, how much was measured, and how long trainings took."""
    doses = " and ".join(f"{dose:g}" for dose in sorted(native["dose_lambda"].unique()))
    counts = [_range(native[name], "g") for name in ("images", "structures")]
    text = f"λ = {doses}; {counts[0]} images of {counts[1]} structures in each data set"
    times = [
        f"{word} {_range(rows['training_seconds'] / 60, '.2g')} min"
        for word, rows in (("trained for", plain), ("tuned for", tuned))
        if len(rows) and rows["training_seconds"].notna().all()
    ]
    return "\n".join([text, ", ".join(times)]) if times else text


def _range(values: pd.Series, form: str) -> str:
    return " to ".join(dict.fromkeys(f"{end:{form}}" for end in (values.min(), values.max())))
