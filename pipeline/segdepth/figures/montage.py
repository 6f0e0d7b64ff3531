"""A montage of simulated structures: atomic models along and across the beam, depth map, image (SegDepth, Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from segdepth.config import Imaging
from segdepth.crystals import Crystal
from segdepth.crystals.crystal import direction
from segdepth.figures import style
from segdepth.figures.attributes import classes_of, crystal_of

WIDTH_IN, TEXT_IN, BAR_IN, GAP_IN = 10.2, 2.0, 0.5, 0.07
TOP_IN, BOTTOM_IN, LEAST_ROW_IN = 0.25, 0.6, 2.0
"""The page: text at the left, a bar beside each image, gaps, titles above, keys below; what the text needs of a row."""

HEAVIEST_RADIUS, OTHER_RADIUS = 0.458, 0.333
"""Drawn radii of the heaviest element's atoms and of the others', of the distance of the nearest columns: small enough
that neighbouring columns stay apart and a tilted column shows its length."""

PALEST = 0.72
"""How much white is mixed into the atoms that are farthest down the beam."""

LENS = (
    {"defocus_nm": "C1 {:+.3g} nm", "c3_um": "C3 {:.1f} µm"},
    {"c5_mm": "C5 {:.1f} mm", "mtf_nyquist": "MTF {:.2f}"},
    {"a1_nm": "A1 {:.1f} nm", "b2_nm": "B2 {:.0f} nm"},
    {"a2_nm": "A2 {:.0f} nm"},
    {"focal_spread_nm": "focal spread {:.1f} nm"},
    {"convergence_mrad": "convergence {:.2f} mrad"},
    {"image_spread_pm": "image spread {:.0f} pm"},
    {"image_spread_ratio": "its axes {:.2f}", "drift_pm": "drift {:.0f} pm"},
    {"contrast_factor": "contrast {:.2f}", "background": "background {:.2f}"},
)
"""Formats of the lens values of an image, line by line; defaults of the imaging block are left out."""

AZIMUTHS = {
    **{name: name.replace("_nm", "_azimuth_deg") for name in ("a1_nm", "b2_nm", "a2_nm")},
    "image_spread_ratio": "image_spread_azimuth_deg",
    "drift_pm": "drift_azimuth_deg",
}
"""Lens values that are shown with an azimuth."""


@dataclass(frozen=True)
class Shard:
    """The structures of one shard.

    Parameters
    ----------
    frames : by the index of the structure; ``info`` has ``field_pm``, ``margin_pm`` and ``crystal``.
    plan : their rows of the plan, by the same index.
    depth : ``depth`` (structure, y, x) and the attributes ``pixel_pm`` and ``labels``.
    images : ``intensity`` (structure, defocus, y, x), the lens values as coordinates, and the attribute ``pixel_pm``.
    """

    frames: dict[int, Atoms]
    plan: pd.DataFrame
    depth: xr.Dataset
    images: xr.Dataset

    @cached_property
    def crystal(self) -> Crystal:
        return crystal_of(next(iter(self.frames.values())).info)

    @cached_property
    def field_nm(self) -> float:
        return float(next(iter(self.frames.values())).info["field_pm"]) / 1000

    @cached_property
    def radii_pm(self) -> dict[str, float]:
        """Drawn radius of each element's atoms."""
        first, *others = self.crystal.all_elements
        near = self.crystal.nearest_column_pm
        return {first: HEAVIEST_RADIUS * near, **dict.fromkeys(others, OTHER_RADIUS * near)}


def thin_and_thick(plan: pd.DataFrame) -> list[int]:
    """The thinnest and the thickest structure of each surface kind, by index; the first of equals."""
    chosen: list[int] = []
    for _, rows in plan.groupby("surface", sort=False):
        ends = rows["bulk_atoms"].idxmin(), rows["bulk_atoms"].idxmax()
        chosen += [int(index) for index in dict.fromkeys(ends)]
    return chosen


@style.styled
def draw(shard: Shard, structures: Sequence[int], defoci: Sequence[int]) -> Figure:
    """A row for each of ``structures`` with the image at one of ``defoci`` (positions among the stored ones).

    Panels are placed by hand: all have one scale, and a row's share their heights.
    """
    field = shard.field_nm
    deep = max(float(shard.frames[index].cell[2, 2]) / 10 for index in structures)
    side = (WIDTH_IN - TEXT_IN - BAR_IN - 4 * GAP_IN) / (3 + deep / field)
    row_height = max(side, LEAST_ROW_IN) + GAP_IN
    height = TOP_IN + len(structures) * row_height + BOTTOM_IN
    fig = style.new_figure(WIDTH_IN, height, maps=False)
    fig.set_layout_engine("none")

    def place(left: float, row: float, width: float, title: str = "", tall: float = side) -> Axes:
        bottom = height - TOP_IN - row * row_height - tall
        ax = fig.add_axes((left / WIDTH_IN, bottom / height, width / WIDTH_IN, tall / height))
        ax.set_title(title if row == 0 else "")
        return ax

    classes = classes_of(shard.depth.attrs)
    lefts = TEXT_IN + np.cumsum([0, side, side * deep / field, side]) + GAP_IN * np.arange(4)
    for row, (index, defocus) in enumerate(zip(structures, defoci)):
        frame, image = shard.frames[index], shard.images.sel(structure=index).isel(defocus=defocus)
        text = place(GAP_IN, row, TEXT_IN - 2 * GAP_IN, tall=row_height - GAP_IN)
        _write_text(text, index, shard.plan.loc[index], image, shard.crystal)
        along = place(lefts[0], row, side, "atoms along the beam")
        across = place(lefts[1], row, side * deep / field, "across the beam")
        _show_along(along, frame, shard, shard.plan.loc[index, "rotation_deg"])
        _show_across(across, frame, shard, deep)
        depth = place(lefts[2], row, side, "depth")
        values = shard.depth["depth"].sel(structure=index).values
        map_ = style.show_depth(depth, values, shard.depth.attrs["pixel_pm"], classes)
        seen = place(lefts[3], row, side, "image (vacuum = 1)")
        values = image["intensity"].values
        picture = style.show_image(seen, values, shard.images.attrs["pixel_pm"], style.image_limits(values))
        bar = place(lefts[3] + side + GAP_IN, row + 0.05 * side / row_height, 0.09, tall=0.9 * side)
        fig.colorbar(picture, cax=bar, ticks=MaxNLocator(5))
        for ax in (along, across, depth, seen):
            style.scale_bar(ax, in_vacuum=True)
    bar = fig.add_axes((lefts[2] / WIDTH_IN, 0.42 / height, side / WIDTH_IN, 0.09 / height))
    style.depth_bar(fig, map_, None, cax=bar, orientation="horizontal")
    _draw_colour_key(fig, shard.crystal, lefts[0] / WIDTH_IN, (BOTTOM_IN - GAP_IN) / height)
    return fig


def _draw_colour_key(fig: Figure, crystal: Crystal, left: float, top: float) -> None:
    colours = style.element_colours(crystal.all_elements)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=colours[element], label=element)
        for element in crystal.all_elements
    ]
    legend = fig.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(left, top), ncols=len(handles), frameon=False,
        borderaxespad=0, borderpad=0, handletextpad=0, columnspacing=0.8,
    )  # fmt: skip
    text = "paler further down the beam;\ngrey: the strip that is shown across the beam"
    width = legend.get_window_extent().width / fig.bbox.width
    fig.text(left + width + 0.012, top, text, fontsize=8, va="top")


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _write_text(ax: Axes, index: int, row: pd.Series, image: xr.Dataset, crystal: Crystal) -> None:
    """What the structure is and how the image was taken, beside the row."""
    tilt = np.hypot(row["tilt_x_deg"], row["tilt_y_deg"])
    specimen = [
        "cut by the surface line" if row["termination"] == "cut" else f"ends with {row['termination']}",
        f"bulk {row['bulk_atoms']:d} atoms, surface {row['surface_atoms']:.1f}",
        f"tilt {tilt:.1f}°: x {row['tilt_x_deg']:+.1f}°, y {row['tilt_y_deg']:+.1f}°",
        f"rotation {row['rotation_deg']:+.1f}°",
        f"strain {row['strain_x_percent']:+.1f} % {direction(crystal.x_axis)}, {row['strain_y_percent']:+.1f} % ⊥",
        f"vacancies {100 * row['vacancy_fraction']:.1f} %",
    ]
    ax.set_axis_off()
    options = {"va": "top", "textcoords": "offset points", "fontsize": 8}
    ax.annotate(f"{row['surface']}, structure {index}", (0, 1), (0, 0), weight="bold", **options)
    ax.annotate(_signed("\n".join(specimen)), (0, 1), (0, -12), **options)
    ax.annotate(_signed("\n".join(lens_lines(image))), (0, 1), (0, -75), color="0.35", **options)


def lens_lines(image: xr.Dataset) -> list[str]:
    """Defocus, and every lens value that is not the imaging block's default, with the azimuths of what has one."""
    lines = []
    for line in LENS:
        shown = []
        for name, text in line.items():
            if name not in image.coords:
                continue
            value = float(image[name])
            if name == "defocus_nm" or not np.isclose(value, Imaging.model_fields[name].default):
                azimuth = AZIMUTHS.get(name)
                shown.append(text.format(value) + (f"/{float(image[azimuth]):.0f}°" if azimuth in image else ""))
        lines += [", ".join(shown)] if shown else []
    return lines


def _shades(colour: str, depth: np.ndarray) -> np.ndarray:
    """A colour, paler down the beam; ``depth`` runs from 0 (entrance) to 1."""
    return 1 - (1 - np.array(to_rgb(colour))) * (1 - PALEST * depth[:, None])


def _show_atoms(
    ax: Axes, frame: Atoms, places_nm: np.ndarray, order: np.ndarray, kept: np.ndarray, shard: Shard
) -> None:
    """Discs to scale, those late in ``order`` on top."""
    height = frame.positions[:, 2]
    depth = (height - height.min(initial=np.inf)) / max(np.ptp(height) if len(height) else 0, 1e-9)
    order = order[kept[order]]
    symbols = np.array(frame.get_chemical_symbols())[order]
    diameter = np.array([2 * shard.radii_pm[symbol] / 1000 for symbol in symbols])
    colours, shades = style.element_colours(shard.crystal.all_elements), np.ones((len(order), 3))
    for element in shard.radii_pm:
        mine = symbols == element
        shades[mine] = _shades(colours[element], depth[order][mine])
    ax.add_collection(
        EllipseCollection(
            diameter, diameter, np.zeros(len(order)), units="xy", offsets=places_nm[order], transOffset=ax.transData,
            facecolors=shades, linewidths=0,
        )
    )  # fmt: skip


def _in_field_nm(frame: Atoms) -> np.ndarray:
    """Positions (n, 3) in nm; x and y from the corner of the field."""
    margin = frame.info["margin_pm"]
    return (100 * frame.positions - [margin, margin, 0]) / 1000


def _frame_axes(ax: Axes, width_nm: float, height_nm: float, start_nm: float = 0.0) -> None:
    ax.set(xlim=(start_nm, start_nm + width_nm), ylim=(0, height_nm), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(True)
    ax.spines[:].set_linewidth(0.6)


def _show_along(ax: Axes, frame: Atoms, shard: Shard, rotation_deg: float) -> None:
    """As the image is seen; atoms at the entrance lie on top, and the strip of the side view is grey: one projected
    period in the middle of the field."""
    field, crystal = shard.field_nm, shard.crystal
    _frame_axes(ax, field, field)
    middle, half = field / 2, crystal.periods_pm[0] / 2000
    ax.axvspan(middle - half, middle + half, color="0.9", lw=0, zorder=0)
    places = _in_field_nm(frame)
    near = (np.abs(places[:, :2] - field / 2) < field / 2 + 0.1).all(axis=1)
    _show_atoms(ax, frame, places[:, :2], np.argsort(-places[:, 2], kind="stable"), near, shard)
    angle = np.radians(rotation_deg)
    _arrow(ax, (0.05, 0.93), (np.cos(angle), np.sin(angle)), style.miller(direction(crystal.x_axis)))


def _show_across(ax: Axes, frame: Atoms, shard: Shard, deep_nm: float) -> None:
    """The strip in the middle, seen along x: the beam comes from the left, heights are those of the other panels."""
    field, half = shard.field_nm, shard.crystal.periods_pm[0] / 2000
    start = float(frame.cell[2, 2]) / 20 - deep_nm / 2
    _frame_axes(ax, deep_nm, field, start)
    places = _in_field_nm(frame)
    within = (np.abs(places[:, 0] - field / 2) < half) & (np.abs(places[:, 1] - field / 2) < field / 2 + 0.1)
    _show_atoms(ax, frame, places[:, [2, 1]], np.argsort(places[:, 0], kind="stable"), within, shard)
    _arrow(ax, (0.05, 0.93), (1, 0), "e⁻")


def _arrow(ax: Axes, tail: tuple[float, float], direction: tuple[float, float], text: str) -> None:
    """From a place in the axes, with its name behind the head; readable on atoms."""
    halo = [withStroke(linewidth=2.5, foreground="white")]
    head = 26 * np.array(direction)
    arrow = {"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0, "path_effects": halo}
    options = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate("", tail, head, arrowprops=arrow | {"arrowstyle": "<-"}, annotation_clip=False, **options)
    ax.annotate(text, tail, head + [3, 0], fontsize=7.5, va="center", path_effects=halo, **options)
