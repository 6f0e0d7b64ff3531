"""Figure 8: the gradient of the class probabilities with respect to the image (SegDepth, Fig. 8), and how far it
reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from segdepth.evaluation.gradient_reach import HALF, MOST, PLACES, SHARES, mean_radii
from segdepth.figures import style

MARKERS = {"column": "#d55e00", "boundary": "#d55e00", "vacuum": "#009e73"}
"""Colours of both places, the paper's red and green."""

SHOWN_CLASSES, SHOWN_DOSES = 4, 4
LINES = {MOST: "-", HALF: "--"}
"""Of the radii."""

COLOURS = "magma"
BRIGHTEST = 0.999
"""Quantile of the magnitudes at which a colour scale ends: a few pixels hold most of the energy."""


@style.styled
def draw(found: Sequence[tuple[xr.Dataset, pd.DataFrame]]) -> Figure:
    """What ``measure-gradients`` stored for one or several networks: maps (``segdepth.evaluation.gradients``) and radii
    (``segdepth.evaluation.gradient_reach``). Maps are the first network's, by the square root; those of a row of (a)
    have one scale, those of (b) each their own."""
    store = found[0][0]
    fig = style.new_figure(10.4, 10.6, maps=False)
    maps, curves = fig.subfigures(2, 1, height_ratios=(2.35, 1))
    axes = maps.subplots(3, 1 + max(SHOWN_CLASSES, SHOWN_DOSES))
    dose = _nearest(store["lambda"].values, 2.5)
    draw_estimate(axes[0, 0], store, dose)
    style.scale_bar(axes[0, 0])
    style.show_image(
        axes[1, 0],
        store["noisy"][dose].values,
        store.attrs["pixel_pm"],
        style.image_limits(store["noisy"][dose].values),
    )
    axes[1, 0].set_title(f"noisy image, λ = {float(store['lambda'][dose]):g}")
    axes[2, 0].set_axis_off()
    for row, place in enumerate(store.attrs["places"]):
        draw_classes(axes[row, 1:], store, row, dose, place, "true", "(a) ")
    _draw_doses(axes[2, 1:], store)
    panels = np.atleast_1d(curves.subplots(1, 2 * len(found), sharey=True))
    for number, (one, radii) in enumerate(found):
        by_dose, by_atoms = panels[number], panels[len(found) + number]
        _draw_radii(by_dose, mean_radii(radii), "lambda", "λ of the image")
        style.dose_axis(by_dose, store["lambda"].values)
        shown = float(store["lambda"][dose])
        by_count = mean_radii(radii[np.isclose(radii["lambda"], shown, rtol=1e-4)], by_count=True)
        _draw_radii(by_atoms, by_count, "atoms", f"true count at λ = {shown:g} (atoms)")
        by_atoms.xaxis.set_major_locator(MaxNLocator(integer=True))
        trained = style.trained_text(one.attrs["trained_lambda"])
        for letter, ax in (("c", by_dose), ("d", by_atoms)):
            ax.set_title(f"({letter}) {one.attrs['model']},\n{trained}")
    panels[0].set_ylabel("radius of the gradient (nm), mean")
    panels[0].set_ylim(bottom=0)
    curves.legend(handles=_legend(found), loc="outside lower center", ncols=5, frameon=False)
    network = f"c = {store.attrs['base_channels']}, {store.attrs['variant']}"
    where = f"structure {store.attrs['structure']} of {store.attrs['dataset']}, C1 = {store.attrs['defocus_nm']:g} nm"
    images = found[0][1]["structure"].nunique()
    fig.suptitle(f"(a, b) {store.attrs['model']} ({network}), {where}: 1 image\n(c, d) {images} images at each λ")
    return fig


def _nearest(values: np.ndarray, wanted: float) -> int:
    return int(np.abs(np.log(values / wanted)).argmin())


def mark(ax: Axes, store: xr.Dataset, place: int, size: float = 7, width: float = 1.3) -> None:
    """A ring about one of the store's places; ``size`` and ``width`` in points."""
    colour = MARKERS[store.attrs["places"][place]]
    x, y = (float(store[f"place_{axis}_pm"][place]) / 1000 for axis in "xy")
    ax.plot(x, y, "o", ms=size, mfc="none", mec="white", mew=1.85 * width)
    ax.plot(x, y, "o", ms=size, mfc="none", mec=colour, mew=width)


def draw_estimate(ax: Axes, store: xr.Dataset, dose: int) -> None:
    """The estimated depth with both places."""
    pixel = store.attrs["label_pixel_pm"]
    image = style.show_depth(ax, store["estimate"][dose].values, pixel, store.attrs["classes"])
    for place in range(store.sizes["place"]):
        mark(ax, store, place)
    ax.set_title("estimated depth")
    style.depth_bar(ax.figure, image, ax, shrink=0.8)


def _show(ax: Axes, store: xr.Dataset, magnitude: np.ndarray, of_scale: np.ndarray, place: int, title: str) -> None:
    """One map; its colours end where those of ``of_scale`` do."""
    ax.set_title(title)
    top = float(np.quantile(of_scale, BRIGHTEST)) or float(of_scale.max())
    style.show_map(ax, magnitude, store.attrs["pixel_pm"], cmap=COLOURS, norm=PowerNorm(0.5, 0, max(top, 1e-30)))
    mark(ax, store, place, 18, 0.8)  # what lies at the place itself is not hidden


def draw_classes(
    axes: Sequence[Axes], store: xr.Dataset, place: int, dose: int, name: str, kind: str, letter: str = ""
) -> None:
    """The classes whose gradient has the largest energy, in their order; ``kind`` of depth: true or estimated."""
    magnitude = np.abs(store["gradient"][place, dose].values)
    energy = np.square(magnitude).sum((1, 2))
    classes = np.sort(np.argsort(energy)[::-1][: len(axes)])
    depth = int(store["place_depth"][place])
    for number, ax in zip(classes, axes):
        _show(ax, store, magnitude[number], magnitude[classes], place, f"{letter}{name}, depth {number}")
    axes[0].set_ylabel(f"{name}, {kind} depth {depth}")


def _draw_doses(axes: Sequence[Axes], store: xr.Dataset) -> None:
    """The gradient of the true depth at the column, at several doses."""
    doses = np.unique(np.linspace(0, store.sizes["dose"] - 1, len(axes)).round().astype(int))
    depth = int(store["place_depth"][0])
    for ax in axes[len(doses) :]:
        ax.set_axis_off()
    for number, ax in zip(doses, axes):
        magnitude = np.abs(store["gradient"][0, number, depth].values)
        title = f"(b) depth {depth}, λ = {float(store['lambda'][number]):g}"
        _show(ax, store, magnitude, magnitude, 0, title)


def _draw_radii(ax: Axes, means: pd.DataFrame, axis: str, label: str) -> None:
    """Both radii of each element's columns and of the vacuum, whose count is 0."""
    colours = _curve_colours(means)
    for (place, element), group in means.groupby(["place", "element"]):
        colour = colours.get(place, colours.get(element))
        for metric, one in group.groupby("metric") if colour else ():
            ends = [(one["value"] - one["low"]).fillna(0) / 1000, (one["high"] - one["value"]).fillna(0) / 1000]
            fmt, inside = f"o{LINES[metric]}", colour if metric == MOST else "white"
            ax.errorbar(one[axis], one["value"] / 1000, ends, fmt=fmt, ms=3.5, mfc=inside, lw=1.2, color=colour)
    ax.set(xlabel=label)


def _curve_colours(table: pd.DataFrame) -> dict[str, str]:
    """By element, and by place of the vacuum."""
    elements = style.heaviest_first(table["element"])
    colours = style.element_colours(elements)
    return {e: colours[e] for e in elements} | {PLACES[1]: MARKERS[PLACES[1]]}


def _legend(found: Sequence[tuple[xr.Dataset, pd.DataFrame]]) -> list[Line2D]:
    colours = _curve_colours(pd.concat([radii for _, radii in found]))
    handles = [
        Line2D([], [], color=c, label=name if name == PLACES[1] else f"{name} columns") for name, c in colours.items()
    ]
    handles += [
        Line2D([], [], color=style.NEUTRAL, ls=line, label=f"holds {100 * SHARES[metric]:.0f} % of its energy")
        for metric, line in LINES.items()
    ]
    return handles
