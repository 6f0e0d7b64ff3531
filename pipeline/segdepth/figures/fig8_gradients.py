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

from segdepth.figures import style

MARKERS = {"column": "#d55e00", "boundary": "#d55e00", "vacuum": "#009e73"}
"""Colours of both places, the paper's red and green."""

SHOWN_CLASSES, SHOWN_DOSES = 4, 4
LINES = ("-", "--", ":", "-.")
"""One for each network."""

COLOURS = "magma"
BRIGHTEST = 0.999
"""Quantile of the magnitudes at which a colour scale ends: a few pixels hold most of the energy."""


@style.styled
def draw(found: Sequence[tuple[xr.Dataset, pd.DataFrame]]) -> Figure:
    """What ``measure-gradients`` stored for one or several networks (``segdepth.evaluation.gradients``); maps are the
    first one's, by the square root. Maps of a row of (a) have one scale, those of (b) each their own."""
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
    by_dose, by_atoms = curves.subplots(1, 2, sharey=True)
    _draw_radii(by_dose, found, "lambda", "λ of the image", "(c) radius that holds half of the gradient's energy")
    style.dose_axis(by_dose, store["lambda"].values)
    by_dose.set_ylabel("radius (nm), median")
    _draw_radii(by_atoms, found, "atoms", "true count (atoms)", "(d) the same against the count, all λ")
    by_atoms.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_dose.set_ylim(bottom=0)
    network = f"c = {store.attrs['base_channels']}, {store.attrs['variant']}"
    where = f"structure {store.attrs['structure']} of {store.attrs['dataset']}, C1 = {store.attrs['defocus_nm']:g} nm"
    fig.suptitle(f"{store.attrs['model']} ({network}), {where}: 1 image")
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


def _draw_radii(ax: Axes, found: Sequence[tuple[xr.Dataset, pd.DataFrame]], axis: str, label: str, title: str) -> None:
    elements = style.heaviest_first(element for _, table in found for element in table["element"])
    colours = style.element_colours(elements)
    handles = [Line2D([], [], color=colours[e], label=e) for e in elements]
    for (store, table), line in zip(found, LINES):
        name = f"{store.attrs['model']}, {style.trained_text(store.attrs['trained_lambda'])}"
        handles.append(Line2D([], [], color=style.NEUTRAL, ls=line, label=name))
        for element in elements:
            known = table[table["element"] == element].dropna()
            median = known.groupby(axis)["half_energy_radius_pm"].median() / 1000
            ax.plot(median.index, median, "." + line, color=colours[element], lw=1.2)
    ax.set(xlabel=label)
    ax.set_title(title)
    ax.legend(handles=handles, frameon=False)
