"""What the figures have in common: fonts, colours of depth, panels in nm with the vacuum up, scale bar, saving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from segdepth.config import CLASSES
from segdepth.errors import ConfigError
from segdepth.store.manifest import check_target, writing

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
COLOURS = {"all": "#333333", "Ce": "#0072b2", "O": "#d55e00", "other": "#009e73"}
"""Okabe and Ito's colours, which colour-blind readers tell apart."""

DEPTH_COLOURS = ListedColormap(["#e4e4e4", *(colormaps["viridis"](np.linspace(0, 1, CLASSES - 1)))], name="depth")
DEPTH_NORM = BoundaryNorm(np.arange(CLASSES + 1) - 0.5, CLASSES)
PROBABILITY_COLOURS = "cividis"
IMAGE_COLOURS = "gray"


def new_figure(width_in: float, height_in: float, maps: bool = True) -> Figure:
    """An empty figure; make and fill it within ``styled()``.

    Constrained layout, for ``maps`` (panels with a fixed aspect) in its compressed kind, which leaves no gaps and
    gives colour bars the height of their panels.
    """
    return Figure(figsize=(width_in, height_in), layout="compressed" if maps else "constrained")


def styled() -> Any:
    """Context in which every figure is drawn and saved."""
    return rc_context(STYLE)


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


def show_depth(ax: Axes, values: np.ndarray, pixel_pm: float) -> AxesImage:
    return show_map(ax, values, pixel_pm, cmap=DEPTH_COLOURS, norm=DEPTH_NORM)


def show_image(ax: Axes, values: np.ndarray, pixel_pm: float, limits: tuple[float, float]) -> AxesImage:
    limited = {"vmin": limits[0], "vmax": limits[1]}
    return show_map(ax, values, pixel_pm, cmap=IMAGE_COLOURS, interpolation="antialiased", **limited)


def show_probability(ax: Axes, values: np.ndarray, pixel_pm: float) -> AxesImage:
    return show_map(ax, values, pixel_pm, cmap=PROBABILITY_COLOURS, vmin=0, vmax=1)


def depth_bar(fig: Figure, image: AxesImage, axes: Any, **options: Any) -> None:
    """Colour bar of the eleven depths."""
    bar = fig.colorbar(image, ax=axes, ticks=range(CLASSES), **options)
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
    """The dose of an evaluation, from its ``metrics.json``."""
    return f"λ = {facts['dose_lambda']:g} ({facts['electrons_per_square_angstrom']:.0f} e⁻/Å²)"


def evaluation_text(facts: Mapping[str, Any]) -> str:
    """Network, data set and dose of an evaluation in two or three lines, for titles; names may be 64 letters long."""
    network = f"{facts['variant']}, c = {facts['base_channels']}"
    if len(facts["model"]) + len(facts["dataset"]) <= 32:
        return f"{facts['model']} ({network}) on {facts['dataset']}\n{dose_text(facts)}"
    return f"{facts['model']}\non {facts['dataset']}\n{network}, {dose_text(facts)}"


def example_text(examples: Any, example: int) -> str:
    """Structure and defocus of one example, for titles."""
    one = examples.isel(example=example)
    return f"structure {int(one['structure'])}, defocus {float(one['defocus_nm']):g} nm"


def middle_example(examples: Any, example: int | None) -> int:
    """The example that was asked for, or the middle defocus of the middle structure."""
    count = examples.sizes["example"]
    if example is None:
        structures = examples["structure"].values
        mine = np.flatnonzero(structures == np.unique(structures)[len(np.unique(structures)) // 2])
        return int(mine[len(mine) // 2])
    if not 0 <= example < count:
        raise ConfigError(f"example: got {example}; the evaluation stores {count}, numbered from 0")
    return example


def write_picture(fig: Figure, path: Path) -> None:
    """PNG or PDF by the suffix, without times or program names: the same figure gives the same bytes."""
    blank: dict[str, dict[str, Any]] = {
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    if path.suffix not in blank:
        raise ConfigError(f"{path}: a figure is written as .png or .pdf")
    fig.savefig(path, metadata=blank[path.suffix])


def save(
    fig: Figure,
    out: Path,
    *,
    command: str,
    code: str,
    inputs: Iterable[Path],
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Write ``out`` (.png) and the PDF beside it, each with its manifest."""
    out, inputs = Path(out), list(inputs)
    if out.suffix != ".png":
        raise ConfigError(f"out: got {out}; a figure's path ends in .png, its .pdf is written beside it")
    pair = (out, out.with_suffix(".pdf"))
    for path in pair:
        check_target(path, command, inputs)  # both, before either is written
    for path in pair:
        with writing(path, command=command, code=code, inputs=inputs, parameters=parameters or {}) as partial:
            write_picture(fig, partial)
