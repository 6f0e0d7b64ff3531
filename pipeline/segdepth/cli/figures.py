"""Figures of evaluations, networks, micrographs and studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import Out, TrainedNetwork
from segdepth.errors import ConfigError
from segdepth.figures.registry import FIGURES, figures_from
from segdepth.store.code_hash import code_hash

EVALUATED = figures_from("evaluation")
LIST = "\n".join(f"{name}: {FIGURES[name].title}" for name in EVALUATED)
WRITES = "Writes the PNG and a PDF beside it."


@app.command("plot-figure", help=f"Plot a figure of an evaluation. {WRITES}\n\nNAME is one of\n\n\b\n{LIST}")
def plot_figure(
    name: Annotated[str, typer.Argument(help="which figure", show_default=False)],
    evaluation: Annotated[Path, typer.Option(help="folder of an evaluation")],
    out: Out,
) -> None:
    if name not in EVALUATED:
        raise ConfigError(f"NAME: got {name!r}; figures of an evaluation are {', '.join(EVALUATED)}")
    from segdepth.steps.plot_figure import plot_figure as step

    module = FIGURES[name].module
    step(module, evaluation, out, code=code_hash("plot-figure", module))


@app.command("plot-montage")
def plot_montage(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")],
    plan: Annotated[Path, typer.Option(help="plan.csv that the atoms were built from")],
    depth: Annotated[Path, typer.Option(help="shard-NNN.zarr of depth maps of the same atoms")],
    images: Annotated[Path, typer.Option(help="shard-NNN.zarr of images of the same atoms")],
    out: Out,
) -> None:
    """Plot atomic models, depth maps and images of a shard side by side. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_montage import plot_montage as step

    step(atoms, plan, depth, images, out, code=code_hash("plot-montage"))


@app.command("plot-training")
def plot_training(model: TrainedNetwork, out: Out) -> None:
    """Plot a training: losses, centre accuracy, learning rate. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_training import plot_training as step

    step(model, out, code=code_hash("plot-training"))


@app.command("plot-benchmark")
def plot_benchmark(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for up to four")],
    out: Out,
    ideal_observer: Annotated[Path | None, typer.Option(help="folder of estimate-ideal-observer")] = None,
) -> None:
    """Plot the columns counted exactly, by true count and by defocus, beside the ideal observer.

    Writes the PNG and a PDF beside it.
    """
    from segdepth.steps.plot_benchmark import plot_benchmark as step

    step(evaluation, ideal_observer, out, code=code_hash("plot-benchmark"))


@app.command("plot-prediction")
def plot_prediction(
    prediction: Annotated[Path, typer.Option(help="folder that segdepth predict wrote")], out: Out
) -> None:
    """Plot a micrograph, its depth, confidence and columns. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_prediction import plot_prediction as step

    step(prediction, out, code=code_hash("plot-prediction"))


@app.command("plot-comparison")
def plot_comparison(
    comparison: Annotated[Path, typer.Option(help="folder that compare-micrograph wrote")], out: Out
) -> None:
    """Plot a micrograph beside the simulation, and what was measured on both. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_comparison import plot_comparison as step

    step(comparison, out, code=code_hash("plot-comparison"))


@app.command("plot-convergence")
def plot_convergence(table: Annotated[Path, typer.Option(help="the CSV of study-convergence")], out: Out) -> None:
    """Plot the convergence study. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_convergence import plot_convergence as step

    step(table, out, code=code_hash("plot-convergence"))
