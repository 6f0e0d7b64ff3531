"""Figures and tables from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import Out
from segdepth.store.code import code_hash

FIGURES = {
    "plot-fig1": ("fig1_depth", "Figure 1: depth, noisy image, estimate and confidence."),
    "plot-fig3": ("fig3_simulation", "Figure 3: depth maps and images with and without noise."),
    "plot-fig4": ("fig4_smoothing", "Figure 4: projected counts beside smoothed depth."),
    "plot-fig5": ("fig5_weights", "Figure 5: the weights of the training loss."),
    "plot-fig6": ("fig6_confusion", "Figure 6: the confusion matrix."),
    "plot-fig7": ("fig7_calibration", "Figure 7: confidence against accuracy."),
}


def _figure_verb(verb: str, module: str, text: str) -> None:
    def draw(evaluation: Annotated[Path, typer.Option(help="folder of an evaluation")], out: Out) -> None:
        from importlib import import_module

        name = f"segdepth.figures.{module}"
        import_module(name).plot(evaluation, out, code_hash(name))

    draw.__doc__ = f"{text} Writes PNG and PDF from a stored evaluation."
    app.command(verb)(draw)


for _verb, (_module, _text) in FIGURES.items():
    _figure_verb(_verb, _module, _text)


@app.command("plot-montage")
def plot_montage(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")],
    plan: Annotated[Path, typer.Option(help="plan.csv that the atoms were built from")],
    depth: Annotated[Path, typer.Option(help="shard-NNN.zarr of depth maps of the same atoms")],
    images: Annotated[Path, typer.Option(help="shard-NNN.zarr of images of the same atoms")],
    out: Out,
) -> None:
    """Atomic models, thickness maps and images of a shard's structures side by side. Writes PNG and PDF."""
    from segdepth.figures.montage import plot

    plot(atoms, plan, depth, images, out, code_hash("segdepth.figures.montage"))


@app.command("plot-training")
def plot_training(model: Annotated[Path, typer.Option(help="folder of the trained network")], out: Out) -> None:
    """The training curve: losses, centre accuracy, learning rate. Writes PNG and PDF."""
    from segdepth.figures.training_curve import plot

    plot(model, out, code_hash("segdepth.figures.training_curve"))


@app.command("plot-benchmark")
def plot_benchmark(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for up to four")],
    out: Out,
    limit: Annotated[Path | None, typer.Option(help="folder of estimate-ideal-observer")] = None,
) -> None:
    """Columns counted exactly, by true count and by defocus, beside the best that is possible. Writes PNG and PDF."""
    from segdepth.figures.benchmark import plot

    plot(evaluation, limit, out, code_hash("segdepth.figures.benchmark"))


@app.command("plot-convergence")
def plot_convergence(table: Annotated[Path, typer.Option(help="the CSV of study-convergence")], out: Out) -> None:
    """The convergence study as a picture. Writes PNG and PDF."""
    from segdepth.figures.convergence import plot

    plot(table, out, code_hash("segdepth.figures.convergence"))
