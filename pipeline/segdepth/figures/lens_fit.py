"""The picture of a fit of the lens: average unit cells, the model's and their difference by bin; the thickness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from segdepth.crystals import Crystal
from segdepth.figures import style
from segdepth.fitting.result import LensFit

POINTS = 96, 68
"""Points of a drawn cell along x and y."""


@style.styled
def draw(fit: LensFit, cells: Mapping[str, Any]) -> Figure:
    """A fit and its average unit cells (``orders``, ``data``, ``model``)."""
    crystal = Crystal.from_dict(fit.crystal)
    bins = len(fit.bins)
    orders = np.asarray(cells["orders"])
    pictures = [np.stack([_cell(np.asarray(v), orders) for v in cells[name]]) for name in ("data", "model")]
    pictures.append(pictures[0] - pictures[1])
    fig = style.new_figure(max(1.35 * bins, 6.0) + 3.4, 4.4, maps=False)
    grid = fig.add_gridspec(3, bins + 1, width_ratios=[*[1.0] * bins, 2.6])
    limits = float(pictures[0].min()), float(pictures[0].max())
    most = float(np.abs(pictures[2]).max())
    side_x, side_y = (side / 1000 for side in crystal.periods_pm[:2])
    for row, (name, shown) in enumerate(zip(("data", "model", f"difference\n(±{most:.2f})"), pictures)):
        low, high, colours = (*limits, style.IMAGE_COLOURS) if row < 2 else (-most, most, "RdBu_r")
        for n in range(bins):
            ax = fig.add_subplot(grid[row, n])
            extent = (0, 2 * side_x, 0, 2 * side_y)
            ax.imshow(np.tile(shown[n], (2, 2)), origin="lower", extent=extent, vmin=low, vmax=high, cmap=colours)
            ax.set_xticks([])
            ax.set_yticks([])
            if n == 0:
                ax.set_ylabel(name)
            if row == 0:
                ax.set_title(f"{fit.bins[n].distance_pm / 1000:.2g} nm\nχ² {fit.bins[n].chi2 / fit.bins[n].dof:.2g}")
    ax = fig.add_subplot(grid[:, -1])
    x = [each.distance_pm / 1000 for each in fit.bins]
    n = [each.thickness_atoms for each in fit.bins]
    ax.errorbar(x, n, [each.thickness_error for each in fit.bins], fmt="o-", color=style.NEUTRAL, label="best")
    for number, rival in enumerate(fit.rivals):
        ax.plot(x, rival.thickness_atoms, "--", color=style.OTHER, label="rivals" if number == 0 else None)
    ax.set_xlim(0, None)
    ax.set_ylim(0, None)
    ax.set_xlabel("distance from the edge (nm)")
    ax.set_ylabel("thickness (periods along the beam)")
    if fit.rivals:
        ax.legend(loc="lower right")
    fig.suptitle(_heading(fit, crystal))
    return fig


def _cell(values: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Intensity (y, x) of a cell from its orders (mean, real parts, imaginary parts)."""
    count = len(orders)
    phase = (
        2
        * np.pi
        * (
            orders[:, 0, None, None] * (np.arange(POINTS[0]) / POINTS[0])[None, None, :]
            + orders[:, 1, None, None] * (np.arange(POINTS[1]) / POINTS[1])[None, :, None]
        )
    )
    wave = np.exp(1j * phase)
    parts = values[1:count] + 1j * values[count:]
    return values[0] + 2 * (parts[:, None, None] * wave[1:]).real.sum(0)


def _heading(fit: LensFit, crystal: Crystal) -> str:
    v, e = fit.values, fit.errors

    def shown(name: str, digits: int) -> str:
        return f"{v[name]:.{digits}f}" + ("" if e[name] is None else f" ± {e[name]:.{digits}f}")

    first = f"{crystal.title}, {fit.energy_kev:g} kV, {fit.dose_e_per_a2:.3g} e⁻/Å² a frame, {fit.frames} frame(s); χ²"
    state = "explained" if fit.explained else "NOT EXPLAINED: no value is a fact"
    return (
        f"{first} {fit.chi2 / fit.dof:.2g} per degree of freedom: {state}\n"
        f"C1 {shown('defocus_nm', 1)} nm, C3 {shown('c3_um', 0)} µm, A1 {shown('a1_nm', 1)} nm, B2 {shown('b2_nm', 0)} "
        f"nm, A2 {shown('a2_nm', 0)} nm, lean ({shown('tilt_x_deg', 2)}, {shown('tilt_y_deg', 2)})°, vibration "
        f"{shown('image_spread_pm', 0)} pm"
    )
