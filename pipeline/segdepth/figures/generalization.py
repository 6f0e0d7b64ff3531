"""Networks under each other's conditions, and what a short training there regains: two matrices."""

from __future__ import annotations

from collections.abc import Callable

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
    """Left: every network on every data set; right: the tuned networks, and on the diagonal those of the left panel.

    Parameters
    ----------
    table : of ``tabulate-generalization``.

    Raises
    ------
    StoreError
        The table is empty.
    """
    of_all = table[table["element"] == ALL]
    plain = of_all[of_all["began_with"].isna()]
    own = plain[plain["own_data"] == "yes"]
    diagonal = own[own["metric"] == EXACT]
    if diagonal.empty:
        raise StoreError("the matrix of networks and data sets is empty")
    datasets, networks = diagonal["dataset"].tolist(), diagonal["network"].tolist()
    tuned = of_all[of_all["began_with"].notna()]
    panels = [("(a) as trained", plain, "network")]
    if len(tuned):
        own = own.assign(began_with=own["network"])
        panels.append(("(b) tuned to what is measured", pd.concat([tuned, own]), "began_with"))
    side = CELL_IN * len(datasets)
    fig = style.new_figure((side + 0.8) * len(panels) + 1.4, side + 1.6)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    lowest = max(0.0, plain.loc[plain["metric"] == EXACT, "value"].min() - 0.02)
    for ax, (title, rows, by) in zip(axes, panels):
        image = _matrix(ax, rows, by, networks, datasets, lowest)
        ax.set_title(title)
        ax.set_xlabel("measured on")
    names = [data if data == name else f"{data}\n({name})" for data, name in zip(datasets, networks)]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("trained on")
    fig.colorbar(image, ax=axes, label="share of columns counted exactly", shrink=0.8)
    fig.suptitle(_facts(diagonal, plain, tuned))
    return fig


def _matrix(
    ax: Axes, rows: pd.DataFrame, by: str, networks: list[str], datasets: list[str], lowest: float
) -> AxesImage:
    """One matrix with its numbers; frames on the diagonal: what each network was trained on."""
    found = {key: part.set_index("metric") for key, part in rows.groupby([by, "dataset"])}
    values = [[_number(found, (name, dataset), EXACT, "value") for dataset in datasets] for name in networks]
    image = ax.imshow(values, vmin=lowest, vmax=1, cmap="viridis")
    for y, name in enumerate(networks):
        for x, dataset in enumerate(datasets):
            if (cell := found.get((name, dataset))) is None:
                continue
            bright = (values[y][x] - lowest) / (1 - lowest) > DARK
            ax.text(x, y, _words(cell), ha="center", va="center", fontsize=7.5, color="black" if bright else "white")
            if x == y:
                ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="red", linewidth=1.6))
    slanted = len(datasets) > 2
    ax.set_xticks(range(len(datasets)), datasets, rotation=20 if slanted else 0, ha="right" if slanted else "center")
    return image


def _number(found: dict[tuple[str, str], pd.DataFrame], key: tuple[str, str], metric: str, column: str) -> float:
    return float(found[key].loc[metric, column]) if key in found else float("nan")


def _words(cell: pd.DataFrame) -> str:
    """The share with its interval, which a single structure has not, that within one atom, and its change."""
    exact = cell.loc[EXACT]
    lines = [f"{exact['value']:.3f}"]
    if pd.notna(exact["low"]):
        lines.append(f"[{exact['low']:.3f} … {exact['high']:.3f}]")
    lines.append(f"±1: {cell.loc[WITHIN_ONE, 'value']:.3f}")
    if CHANGE in cell.index:
        lines.append(f"{cell.loc[CHANGE, 'value']:+.3f}".replace("-", "−"))
    return "\n".join(lines)


def _facts(diagonal: pd.DataFrame, plain: pd.DataFrame, tuned: pd.DataFrame) -> str:
    """λ, how much was measured, and how long trainings took."""
    doses = " and ".join(f"{dose:g}" for dose in sorted(diagonal["dose_lambda"].unique()))
    counts = [_range(diagonal[name], "{:g}".format) for name in ("images", "structures")]
    text = f"λ = {doses}; {counts[0]} images of {counts[1]} structures in each data set"
    times = [
        f"{word} {_range(rows['training_seconds'] / 60, _minutes)} min"
        for word, rows in (("trained for", plain), ("tuned for", tuned))
        if len(rows) and rows["training_seconds"].notna().all()
    ]
    return "\n".join([text, ", ".join(times)]) if times else text


def _minutes(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _range(values: pd.Series, written: Callable[[float], str]) -> str:
    return " to ".join(dict.fromkeys(written(end) for end in (values.min(), values.max())))
