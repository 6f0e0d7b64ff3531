"""Depth probabilities over time at a boundary column and at a vacuum site, with the true occupancy below (SegDepth,
Fig. 12)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import StoreError
from segdepth.evaluation.film_events import CHANGING
from segdepth.figures import style

SHOWN = 0.05
"""A depth whose probability never comes above this has no line, unless the site truly holds it at some time."""


@style.styled
def draw(tracks: xr.Dataset) -> Figure:
    """The column and the site of the vacuum of ``chosen_sites``: above the probabilities, below the atoms.

    Parameters
    ----------
    tracks : of ``measure-film``.

    Raises
    ------
    StoreError
        No column of the tracks changes, or no site lies in the vacuum.
    """
    boundary, vacuum = chosen_sites(tracks)
    fig = style.new_figure(7.2, 3.6, maps=False)
    axes = fig.subplots(2, 2, sharex=True, sharey="row", height_ratios=(2.2, 1))
    for column, (row, title) in enumerate(((boundary, "boundary"), (vacuum, "vacuum"))):
        _probabilities(axes[0, column], tracks, row)
        axes[0, column].set_title(f"{title}: {tracks['element'].values[row]} site {tracks['column'].values[row]}")
        _occupancy(axes[1, column], tracks, row)
        axes[1, column].set_xlabel("time (s)")
    axes[0, 0].set_ylabel("probability")
    axes[1, 0].set_ylabel("atoms")
    lines = {line.get_label(): line for ax in axes.flat for line in ax.get_lines() if line.get_label()[0] != "_"}
    order = sorted(lines, key=lambda label: (not label[0].isdigit(), label))
    fig.legend([lines[label] for label in order], order, loc="outside lower center", ncols=len(order), frameon=False)
    film = tracks.attrs
    changing = [f"{count} {key.removeprefix(CHANGING)}" for key, count in film.items() if key.startswith(CHANGING)]
    fig.suptitle(
        rf"film {film['film']}: {tracks.sizes['frame']} frames of {film['frame_s']:g} s, $\lambda$ = "
        rf"{film['dose_lambda']:g} a frame; network {film['network']}; "
        f"changing columns: {', '.join(changing)}",
        fontsize=9,
    )
    return fig


def chosen_sites(tracks: xr.Dataset) -> tuple[int, int]:
    """Rows of the two sites that are shown; how well their counts are found plays no part.

    Of the columns that change, those that are empty at some time, where there are any; of these those of the heaviest
    element; and of these the one whose number of true changes is the median (the lower one of two, the first one of
    equal ones). The nearest site of the vacuum.
    """
    atoms = tracks["true_atoms"].values
    times = (np.diff(atoms) != 0).sum(axis=1) * tracks["changes"].values
    places = tracks["place"].values
    vacuum = np.flatnonzero((places == "vacuum") & (np.isfinite(tracks["probability"].values[..., 0]).all(axis=1)))
    if not times.any() or not len(vacuum):
        raise StoreError("no column of the film changes, or no site lies in its vacuum")
    emptied = (times > 0) & (atoms <= 0).any(axis=1)
    able = emptied if emptied.any() else times > 0
    weight = np.array([ATOMIC_NUMBER[element] for element in tracks["element"].values.tolist()])
    heaviest = np.flatnonzero(able & (weight == weight[able].max()))
    median = np.sort(times[heaviest])[(len(heaviest) - 1) // 2]
    boundary = int(heaviest[times[heaviest] == median][0])
    x, y = (tracks[f"{axis}_pm"].mean("frame").values for axis in "xy")
    near = np.hypot(x[vacuum] - x[boundary], y[vacuum] - y[boundary])
    return boundary, int(vacuum[near.argmin()])


def _probabilities(ax: Axes, tracks: xr.Dataset, row: int) -> None:
    values, times = tracks["probability"].values[row], tracks["time_s"].values
    held = np.isin(np.arange(values.shape[1]), np.clip(tracks["true_atoms"].values[row], 0, values.shape[1] - 1))
    for depth in np.flatnonzero(held | (np.nanmax(values, axis=0) >= SHOWN)).tolist():
        label = "1 atom" if depth == 1 else f"{depth} atoms"
        ax.plot(times, values[:, depth], color=_colour(depth), linewidth=0.9, label=label)
    ax.set(ylim=(-0.02, 1.02), xlim=(times[0], times[-1]))


def _occupancy(ax: Axes, tracks: xr.Dataset, row: int) -> None:
    times, atoms = tracks["time_s"].values, tracks["true_atoms"].values[row]
    true = np.where(atoms < 0, 0, atoms)  # no column stands there
    ax.step(times, true, where="post", color="0.6", linewidth=2.6, label="true")
    ax.step(times, tracks["path"].values[row], where="post", color="black", linewidth=0.8, label="hidden Markov model")
    ax.yaxis.set_major_locator(MultipleLocator(1))


def _colour(depth: int) -> str:
    return f"C{depth % 10}"
