"""The picture of a comparison: a micrograph beside the simulation at its pixel, dose and grey scale; their Fourier
transforms; their average cells; and what was measured on both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from segdepth.crystals import Crystal
from segdepth.crystals.crystal import direction
from segdepth.figures import style
from segdepth.figures.attributes import crystal_of

SIDES = ("micrograph", "simulation")
DARKEST = "darkest"
"""The quantity of contrast that is drawn beside those of the elements' columns."""

SPECTRUM_COLOURS = "gray"
PEAK_COLOUR = style.ELEMENT_COLOURS[1]
CLAIM = 0.01
"""Deviation of a peak that is drawn as a band."""


@style.styled
def draw(facts: Mapping[str, Any], table: pd.DataFrame, pictures: xr.Dataset) -> Figure:
    """What ``compare-micrograph`` stored; its parts are described in ``segdepth.micrograph.comparison``.

    Parameters
    ----------
    facts, table, pictures : ``comparison.json``, ``simulated.csv`` and ``comparison.zarr``.

    Raises
    ------
    StoreError
        The pictures have no attribute ``crystal``.
    """
    crystal = crystal_of(pictures.attrs)
    fig = style.new_figure(10.2, 9.6, maps=False)
    left, right = fig.subfigures(1, 2, width_ratios=(1.95, 1))
    axes = left.subplots(3, 2)
    pixel = pictures.attrs["pixel_pm"]
    for row, kind in enumerate(("counts", "smooth")):
        images = [pictures[f"{side}_{kind}"].values for side in SIDES]
        limits = style.image_limits(*images)
        for ax, image in zip(axes[row], images):
            shown = style.show_image(ax, image, pixel, limits)
            style.scale_bar(ax)
        style.intensity_bar(left, shown, axes[row], shrink=0.9)
    drawn = [_show_spectrum(ax, pictures, facts, side) for ax, side in zip(axes[2], SIDES)]
    for ax in axes[2]:
        ax.set_xlabel(f"along {style.miller(direction(crystal.x_axis))} (1/nm)")
    axes[2, 0].set_ylabel(f"along {style.miller(direction(crystal.y_axis))} (1/nm)")
    axes[2, 1].set_yticklabels([])
    top = max(float(np.nanmax(image.get_array())) for image in drawn)
    for image in drawn:
        image.set_clim(0, top)
    left.colorbar(drawn[0], ax=axes[2], shrink=0.9).set_label("log₁₀ (modulus / shot noise)")
    simulated, dose = facts["simulation"], facts["micrograph"]["electrons_per_pixel"]
    titles = (
        f"(a) micrograph, {dose:.3g} e⁻ / ({pixel:.4g} pm)²",
        f"(b) structure {simulated['structure']} at C1 = {simulated['defocus_nm']:g} nm",
        "(c) micrograph, smoothed by 25 pm",
        "(d) simulation, smoothed by 25 pm",
        "(e) micrograph, Fourier transform",
        "(f) simulation: ○ lattice, + found",
    )
    for ax, title in zip(axes.flat, titles):
        ax.set_title(title)
    cells, contrast, peaks = right.subfigures(3, 1, height_ratios=(0.8, 1.15, 1))
    _show_cells(cells.subplots(), pictures, crystal)
    _draw_contrast(contrast.subplots(), facts, table, crystal)
    _draw_peaks(peaks.subplots(), facts, crystal)
    return fig


def _show_spectrum(ax: Axes, pictures: xr.Dataset, facts: Mapping[str, Any], side: str) -> AxesImage:
    """Fourier transform with a ring at each of the lattice's peaks and a cross where the peak was found."""
    u, v = (pictures[f"{side}_{axis}"].values for axis in "uv")
    extent = (u[0], u[-1], v[0], v[-1])
    image = ax.imshow(
        pictures[f"{side}_spectrum"].values, origin="lower", extent=extent, cmap=SPECTRUM_COLOURS, interpolation="none"
    )
    for name, peak in facts[side]["lattice"]["peaks"].items():
        places = {key: np.array(peak[key]) for key in ("lattice_frequency_per_nm", "frequency_per_nm")}
        for sign in (1, -1):
            x, y = sign * places["lattice_frequency_per_nm"]
            ax.plot(x, y, "o", ms=11, mfc="none", mec=PEAK_COLOUR, mew=0.9)
            if peak["seen"]:
                x, y = sign * places["frequency_per_nm"]
                ax.plot(x, y, "+", ms=4, color=PEAK_COLOUR, mew=0.9)
        x, y = places["lattice_frequency_per_nm"]
        ax.annotate(
            style.miller(name), (x, y), (7, 5), textcoords="offset points", fontsize=7.5, color="white",
            annotation_clip=True,
        )  # fmt: skip
    ax.set(xticks=(-5, 0, 5), yticks=(-5, 0, 5))
    return image


def _show_cells(ax: Axes, pictures: xr.Dataset, crystal: Crystal) -> None:
    """Average unit cells side by side, two of each above each other, with dots at the columns of the lower one
    (those on its lower edge are drawn on the upper one)."""
    cells = [pictures[f"{side}_cell"].values for side in SIDES]
    low, high = min(c.min() for c in cells), max(c.max() for c in cells)
    side_x, side_y = (period / 1000 for period in crystal.periods_pm[:2])
    colours = style.element_colours(crystal.elements)
    for place, cell in enumerate(cells):
        rows, columns = (n // 2 for n in cell.shape)
        tile = np.tile(np.roll(cell, (rows, columns), axis=(0, 1)), (2, 1))
        start = place * 1.12 * side_x
        extent = (start, start + side_x, 0, 2 * side_y)
        image = ax.imshow(tile, origin="lower", extent=extent, cmap=style.IMAGE_COLOURS, vmin=low, vmax=high)
        ax.text(start + side_x / 2, 2 * side_y + 0.02, SIDES[place], ha="center", va="bottom", fontsize=8)
        for column in crystal.columns:
            x, y = (column.x + 0.5) % 1, (column.y + 0.5) % 1 or 1.0
            for here in (x,) if x else (0.0, 1.0):  # a column on the left edge is on the right one, too
                ax.plot(start + here * side_x, y * side_y, ".", ms=4, color=colours[column.element], clip_on=False)
    ax.set(xlim=(0, 2.12 * side_x), ylim=(0, 2 * side_y), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title("(g) average unit cells", pad=16)
    ax.figure.colorbar(image, ax=ax, shrink=0.8).set_label("intensity (vacuum = 1)")


def _draw_contrast(ax: Axes, facts: Mapping[str, Any], table: pd.DataFrame, crystal: Crystal) -> None:
    groups = table.groupby("defocus_nm")
    colours = style.element_colours(crystal.elements) | {DARKEST: style.NEUTRAL}
    for name in (*crystal.elements, DARKEST):
        colour, label = colours[name], "darkest place" if name == DARKEST else f"{name} column"
        low, high = groups[name].min(), groups[name].max()
        ax.fill_between(low.index, low, high, color=colour, alpha=0.25, lw=0)
        ax.vlines(low.index, low, high, color=colour, lw=1.5, alpha=0.2)  # a defocus by itself shows as a line
        ax.plot(low.index, groups[name].median(), ".-", ms=4, color=colour, lw=1.2, label=label)
        ax.axhline(facts["micrograph"]["contrast"][name], color=colour, lw=1.2, ls="--")
    ax.axvline(facts["simulation"]["defocus_nm"], color="0.6", lw=0.8, ls=":")
    ax.set(xlabel="defocus C1 of the simulation (nm)", ylabel="intensity (vacuum = 1)")
    ax.set_title(f"(h) contrast: {facts['structures']} structures (bands),\nmicrograph (dashed)")
    _legend_above(ax, columns=min(len(crystal.elements) + 1, 3))


def _legend_above(ax: Axes, columns: int) -> None:
    """A legend over the data, which it moves down."""
    bottom, top = ax.get_ylim()
    rows = -(-len(ax.get_legend_handles_labels()[0]) // columns)
    ax.set_ylim(bottom - 0.03 * (top - bottom), top + (0.06 + 0.14 * rows) * (top - bottom))
    ax.legend(loc="upper center", ncols=columns, frameon=False, handlelength=1.2, columnspacing=1.0, borderaxespad=0)


def _draw_peaks(ax: Axes, facts: Mapping[str, Any], crystal: Crystal) -> None:
    peaks = facts["micrograph"]["lattice"]["peaks"]
    ax.axhspan(-100 * CLAIM, 100 * CLAIM, color="0.92", lw=0)
    ax.axhline(0, color="0.6", lw=0.8)
    for place, (name, peak) in enumerate(peaks.items()):
        span = facts["ranges"][f"deviation_{name}"]
        if span["shown_low"] is not None:
            ends = 100 * span["shown_low"], 100 * span["shown_high"]
            label = "simulated structures" if place == 0 else None
            ax.plot([place + 0.15] * 2, ends, color=style.OTHER, lw=5, alpha=0.5, label=label)
        if not peak["seen"]:
            continue
        spread = peak["scatter"] if peak["scatter"] is not None else peak["noise"]
        ax.errorbar(
            place - 0.1,
            100 * peak["deviation"],
            100 * spread,
            fmt="o",
            ms=4,
            capsize=3,
            color=style.NEUTRAL,
            label="micrograph" if place == 0 else None,
        )
    ax.set_xticks(range(len(peaks)), [style.miller(name) for name in peaks])
    ax.set(xlim=(-0.5, len(peaks) - 0.5), ylabel="spacing's deviation (%)")
    ax.set_title(f"(i) peaks against {crystal.title}; grey: ±1 %;\nerror bars: scatter of quadrants")
    _legend_above(ax, columns=2)
