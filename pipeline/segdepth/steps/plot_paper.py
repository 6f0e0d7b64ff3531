"""Figures 8, 9 and 11 of the paper, from ``measure-gradients``, ``measure-boundary`` and ``tabulate-paper``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from segdepth.figures import fig8_gradients, fig9_doses, fig11_boundary
from segdepth.steps.measure_gradients import GRADIENTS, RADII
from segdepth.steps.pictures import is_simulated, save_figure
from segdepth.steps.written_tables import read_table
from segdepth.store.manifest import check_whole
from segdepth.store.zarr_store import open_zarr


def plot_gradients(gradients: Sequence[Path], out: Path, *, code: str) -> None:
    """Draw the gradients of one or several networks, maps of the first, to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        A result is missing, unfinished or damaged, or something else is in the figure's place.
    """
    with ExitStack() as opened:
        found = [
            (opened.enter_context(open_zarr(path, "measure-gradients", part=GRADIENTS)), read_table(Path(path) / RADII))
            for path in gradients
        ]
        fig = fig8_gradients.draw(found)
    save_figure(fig, out, command="plot-gradients", code=code, inputs=gradients)


def plot_boundary(gradients: Path, out: Path, *, code: str) -> None:
    """Draw the gradients on a micrograph to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The result is missing, unfinished or damaged, or something else is in the figure's place.
    """
    with open_zarr(gradients, "measure-boundary", part=GRADIENTS) as store:
        fig = fig11_boundary.draw(store, is_simulated(gradients))
    save_figure(fig, out, command="plot-boundary", code=code, inputs=[gradients])


def plot_doses(widths: Path, trained: Path, bound: Path, out: Path, *, code: str) -> None:
    """Draw the tables of Figs. 9a and 9b, and of the bound, to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        A table is missing, unfinished or damaged, or something else is in the figure's place.
    """
    tables = [widths, trained, bound]
    for path in tables:
        check_whole(path, "tabulate-paper")
    fig = fig9_doses.draw(*map(read_table, tables))
    save_figure(fig, out, command="plot-doses", code=code, inputs=tables)
