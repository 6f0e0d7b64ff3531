"""What the figures share: fonts, colours of elements and depths, panels in nm with the vacuum up, scale bar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from segdepth.config import ALL
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "savefig.dpi": 180,
}
ELEMENT_COLOURS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
"""Of elements, the heaviest first: Okabe and Ito's colours, which colour-blind readers tell apart."""

ELEMENT_MARKERS = ("o", "^", "s", "D", "v", "P")
MARKER_SIGNS = dict(zip(ELEMENT_MARKERS, "○△□◇▽✚"))
NEUTRAL = "#333333"
"""Of what belongs to no element, or to all."""

OTHER = "#009e73"
"""Of a second quantity that belongs to no element."""

BACKGROUND = "#e4e4e4"
MOST_TICKS = 12
PROBABILITY_COLOURS = "cividis"
IMAGE_COLOURS = "gray"


styled = rc_context(STYLE)
"""Decorator of what draws a figure."""


@dataclass(frozen=True)
class DepthColours:
    """Colours of the depths 0 … ``classes`` - 1: grey for none, then from dark to bright, one step an atom."""

    classes: int

    @property
    def colours(self) -> ListedColormap:
        return ListedColormap([BACKGROUND, *(colormaps["viridis"](np.linspace(0, 1, self.classes - 1)))], name="depth")

    @property
    def norm(self) -> BoundaryNorm:
        return BoundaryNorm(np.arange(self.classes + 1) - 0.5, self.classes)


def class_ticks(classes: int) -> list[int]:
    """Every class where there is room for its number, else every second, fifth, tenth, ... one."""
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (classes - 1) / s < MOST_TICKS)
    return list(range(0, classes, step))


def ticks_with_last(classes: int, last_class: str | None) -> tuple[list[int], list[str]]:
    """``class_ticks`` and their words; the last class has a tick where it is called by a word of its own."""
    ticks = class_ticks(classes)
    if last_class is None:
        return ticks, [str(n) for n in ticks]
    ticks = [n for n in ticks if n + (ticks[1] - ticks[0]) / 2 < classes - 1]
    return [*ticks, classes - 1], [*map(str, ticks), last_class]


def heaviest_first(elements: Iterable[str]) -> list[str]:
    """Chemical symbols, each once, in the order in which they get their colours; what is no element is left out."""
    return sorted({e for e in elements if e in ATOMIC_NUMBER}, key=ATOMIC_NUMBER.__getitem__, reverse=True)


def element_colours(elements: Sequence[str]) -> dict[str, str]:
    """The colour of each element, and of all together; ``elements`` are the crystal's, the heaviest first."""
    colours = {e: ELEMENT_COLOURS[i % len(ELEMENT_COLOURS)] for i, e in enumerate(elements)}
    return {ALL: NEUTRAL, **colours}


def element_markers(elements: Sequence[str]) -> dict[str, str]:
    """The marker of each element; ``elements`` are the crystal's, the heaviest first."""
    return {e: ELEMENT_MARKERS[i % len(ELEMENT_MARKERS)] for i, e in enumerate(elements)}


def miller(indices: str) -> str:
    """Indices as crystallographers write them, bars for minus signs: ``[1-10]``, ``-111``."""
    index = r"-(\d+)" if " " in indices else r"-(\d)"
    return "$" + re.sub(index, r"\\bar{\1}", indices).replace(" ", r"\,") + "$"


def new_figure(width_in: float, height_in: float, maps: bool = True) -> Figure:
    """An empty figure; make and fill it in a function that is ``styled``.

    Constrained layout, for ``maps`` (panels with a fixed aspect) in its compressed kind, which leaves no gaps and
    gives colour bars the height of their panels.
    """
    return Figure(figsize=(width_in, height_in), layout="compressed" if maps else "constrained")


def show_map(ax: Axes, values: np.ndarray, pixel_pm: float, **options: Any) -> AxesImage:
    """A map [y, x] in nm, row 0 at the bottom, so that the vacuum (large y) is up; without ticks.

    Pixels are drawn as they are, since depths must not be mixed; intensities alone are averaged when they are shrunk.
    """
    height, width = (n * pixel_pm / 1000 for n in values.shape[:2])
    image = ax.imshow(values, origin="lower", extent=(0, width, 0, height), **options)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_linewidth(0.6)
    return image


def show_depth(ax: Axes, values: np.ndarray, pixel_pm: float, classes: int) -> AxesImage:
    scale = DepthColours(classes)
    return show_map(ax, values, pixel_pm, cmap=scale.colours, norm=scale.norm)


def show_image(ax: Axes, values: np.ndarray, pixel_pm: float, limits: tuple[float, float]) -> AxesImage:
    limited = {"vmin": limits[0], "vmax": limits[1]}
    return show_map(ax, values, pixel_pm, cmap=IMAGE_COLOURS, interpolation="antialiased", **limited)


def show_probability(ax: Axes, values: np.ndarray, pixel_pm: float) -> AxesImage:
    return show_map(ax, values, pixel_pm, cmap=PROBABILITY_COLOURS, vmin=0, vmax=1)


def dose_axis(ax: Axes, doses: Iterable[float]) -> None:
    """A logarithmic axis of λ with a tick at each of ``doses``."""
    ticks = sorted(float(dose) for dose in doses)
    ax.set_xscale("log")
    ax.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.25)
    ax.set_xticks(ticks, [f"{dose:g}" for dose in ticks])
    ax.minorticks_off()


def depth_bar(fig: Figure, image: AxesImage, axes: Any, last_class: str | None = None, **options: Any) -> None:
    """Colour bar of the depths; ``last_class``: what the last one is called, if it is no plain count."""
    ticks, words = ticks_with_last(image.norm.N - 1, last_class)
    bar = fig.colorbar(image, ax=axes, ticks=ticks, **options)
    if last_class:
        bar.ax.set_yticklabels(words)
    bar.ax.minorticks_off()
    bar.set_label("depth (atoms)")


def intensity_bar(fig: Figure, image: AxesImage, axes: Any, **options: Any) -> None:
    fig.colorbar(image, ax=axes, **options).set_label("intensity (vacuum = 1)")


def image_limits(*images: np.ndarray) -> tuple[float, float]:
    """Grey levels that leave out the brightest and darkest thousandth."""
    low, high = np.nanquantile(np.concatenate([i[np.isfinite(i)].ravel() for i in images]), [0.001, 0.999])
    return float(low), float(max(high, low + 1e-6))


def scale_bar(ax: Axes, in_vacuum: bool = False) -> None:
    """A bar of 1 nm (shorter in a narrow view) with its length, on a white plate in the lower left corner, or in the
    upper right one."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    width, height = right - left, top - bottom
    length = next((n for n in (1.0, 0.5, 0.2, 0.1) if n <= 0.42 * width), 0.05)
    unit = min(width, height)
    plate = (length + 0.06 * unit, 0.13 * unit)
    corner = (left + 0.03 * unit, bottom + 0.03 * unit)
    if in_vacuum:
        corner = (right - plate[0] - 0.03 * unit, top - plate[1] - 0.03 * unit)
    ax.add_patch(Rectangle(corner, *plate, facecolor="white", alpha=0.85, linewidth=0, zorder=5))
    ax.add_patch(
        Rectangle(
            (corner[0] + 0.03 * unit, corner[1] + 0.02 * unit), length, 0.02 * unit, color="black", lw=0, zorder=6
        )
    )
    ax.text(
        corner[0] + plate[0] / 2,
        corner[1] + 0.08 * unit,
        f"{length:g} nm",
        ha="center",
        va="center",
        fontsize=7.5,
        zorder=6,
    )


def zoom(ax: Axes, depth: np.ndarray, pixel_pm: float, side_nm: float = 1.6) -> None:
    """Limit a panel to a square at the surface, a third of it vacuum where there is enough."""
    field = depth.shape[1] * pixel_pm / 1000
    side = min(side_nm, field)
    left = (field - side) / 2
    middle = depth[:, round(1000 * left / pixel_pm) : round(1000 * (left + side) / pixel_pm)]
    filled = np.flatnonzero((middle > 0).any(axis=1))
    top = (filled[-1] + 1) * pixel_pm / 1000 if len(filled) else field
    bottom = min(max(top - 0.7 * side, 0), field - side)
    ax.set(xlim=(left, left + side), ylim=(bottom, bottom + side))


def dose_text(facts: Mapping[str, Any]) -> str:
    """The dose of an evaluation, from its facts."""
    return f"λ = {facts['dose_lambda']:g} ({facts['electrons_per_square_angstrom']:.0f} e⁻/Å²)"


def trained_text(trained_lambda: Iterable[float]) -> str:
    """The dose of a network's training, or its range, from the lowest and the highest λ."""
    return "trained at λ = " + " … ".join(f"{dose:g}" for dose in dict.fromkeys(trained_lambda))


def network_text(facts: Mapping[str, Any]) -> str:
    """What the network of an evaluation is, without its name; its training's λ where the facts have it."""
    trained = [trained_text(facts["trained_lambda"])] if "trained_lambda" in facts else []
    return ", ".join([facts["variant"], f"c = {facts['base_channels']}", *trained])


def evaluation_text(facts: Mapping[str, Any]) -> str:
    """Network, data set and dose of an evaluation in two or three lines, for titles; names may be 64 letters long."""
    network = network_text(facts)
    if len(facts["model"]) + len(facts["dataset"]) <= 32:
        return f"{facts['model']} ({network}) on {facts['dataset']}\n{dose_text(facts)}"
    return f"{facts['model']}\non {facts['dataset']}\n{network}, {dose_text(facts)}"


def example_text(examples: xr.Dataset, example: int) -> str:
    """Structure and defocus of one example, for titles."""
    one = examples.isel(example=example)
    return f"structure {int(one['structure'])}, defocus {float(one['defocus_nm']):g} nm"


def middle_example(examples: xr.Dataset, example: int | None) -> int:
    """The example, or by default the middle defocus of the middle structure."""
    count = examples.sizes["example"]
    if example is None:
        structures = examples["structure"].values
        mine = np.flatnonzero(structures == np.unique(structures)[len(np.unique(structures)) // 2])
        return int(mine[len(mine) // 2])
    if not 0 <= example < count:
        raise ConfigError(f"example: got {example}; the evaluation stores {count}, numbered from 0")
    return example


def write_picture(fig: Figure, path: Path) -> None:
    """A finished figure as PNG or PDF by the suffix; without times or program names, so that the bytes repeat."""
    blank: dict[str, dict[str, Any]] = {
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    if path.suffix not in blank:
        raise ConfigError(f"{path}: a figure is written as .png or .pdf")
    with rc_context(STYLE):
        fig.savefig(path, metadata=blank[path.suffix])
