"""The paper's tables and figures that compare several networks: denoisers, gradients, and ours beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, DatasetName, Device, Out, Paths, TrainedNetwork, read_block
from segdepth.config import PAPER_ITEMS, Dataset, Paper, Specimen
from segdepth.errors import ConfigError
from segdepth.store.code_hash import code_hash

PaperText = Annotated[str, typer.Option(help="the configuration's block paper, as JSON")]


@app.command("measure-denoiser")
def measure_denoiser(
    model: TrainedNetwork,
    dataset: BlockText,
    specimen: BlockText,
    name: DatasetName,
    images: Paths,
    depth: Paths,
    out: Out,
    device: Device = "auto",
) -> None:
    """Measure a denoiser on the test structures of a data set: PSNR and SSIM of every image."""
    from segdepth.steps.measure_denoiser import measure_denoiser as step

    blocks = read_block(Dataset, dataset), read_block(Specimen, specimen)
    step(*blocks, model, images, depth, out, name=name, code=code_hash("measure-denoiser"), device=device)


@app.command("measure-gradients")
def measure_gradients(
    model: TrainedNetwork,
    dataset: BlockText,
    specimen: BlockText,
    name: DatasetName,
    images: Paths,
    depth: Paths,
    structure: Annotated[
        list[int],
        typer.Option(min=0, help="index of a test structure in the plan; maps are of the first; repeat for more radii"),
    ],
    dose: Annotated[
        list[float], typer.Option(min=0.001, help="λ, electrons per 5.28 pm pixel in vacuum; repeat for more")
    ],
    out: Out,
    atoms: Annotated[int, typer.Option(min=1, help="number of atoms of the column that is shown, or the nearest")] = 6,
    device: Device = "auto",
) -> None:
    """Compute gradients of the class probabilities with respect to the image, at a column and in the vacuum."""
    from segdepth.steps.measure_gradients import measure_gradients as step

    blocks = read_block(Dataset, dataset), read_block(Specimen, specimen)
    given = {"name": name, "structures": structure, "doses": dose, "atoms": atoms, "device": device}
    step(*blocks, model, images, depth, out, code=code_hash("measure-gradients"), **given)


@app.command("tabulate-paper")
def tabulate_paper(
    item: Annotated[str, typer.Argument(help=f"paper (all items) or one of {', '.join(PAPER_ITEMS)}")],
    paper: PaperText,
    out: Out,
    prediction: Annotated[
        list[str] | None, typer.Option(help="name of a prediction of Figs. 10 and 11; repeat for more")
    ] = None,
    depth: Annotated[
        list[Path] | None,
        typer.Option(help="shard of depth maps that holds the truth of a simulated micrograph; repeat for more"),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="folder that holds evaluation, models, denoising, predictions and the others")
    ] = Path("results"),
) -> None:
    """Tabulate our numbers beside the paper's, for one of its tables and figures or for all. Writes a CSV."""
    from segdepth.steps.tabulate_paper import tabulate_paper as step

    if item not in ("paper", *PAPER_ITEMS):
        raise ConfigError(f"ITEM: got {item!r}; allowed: paper, {', '.join(PAPER_ITEMS)}")
    if not paper.lstrip().startswith("{"):
        raise ConfigError(f"--paper: got {paper!r}; give the block as JSON")
    block = read_block(Paper, paper)
    items = PAPER_ITEMS if item == "paper" else (item,)
    shown = {"predictions": prediction or (), "depth": depth or ()}
    step(items, block, results, out, code=code_hash("tabulate-paper"), **shown)


@app.command("plot-gradients")
def plot_gradients(
    gradients: Annotated[list[Path], typer.Option(help="folder of measure-gradients; repeat for further networks")],
    out: Out,
) -> None:
    """Plot gradients of the class probabilities (the paper's Fig. 8). Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_paper import plot_gradients as step

    step(gradients, out, code=code_hash("plot-gradients"))


@app.command("plot-doses")
def plot_doses(
    widths: Annotated[Path, typer.Option(help="CSV of the table fig9a")],
    trained: Annotated[Path, typer.Option(help="CSV of the table fig9b")],
    bound: Annotated[Path, typer.Option(help="CSV of the table bound")],
    out: Out,
) -> None:
    """Plot metrics against the dose of the test images (the paper's Fig. 9). Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_paper import plot_doses as step

    step(widths, trained, bound, out, code=code_hash("plot-doses"))


@app.command("measure-boundary")
def measure_boundary(
    prediction: Annotated[Path, typer.Option(help="folder that segdepth predict wrote")],
    model: Annotated[Path, typer.Option(help="folder of the network that predicted it")],
    out: Out,
    frame: Annotated[int, typer.Option(min=0, help="which of the predicted frames, counted from 0")] = 0,
    device: Device = "auto",
) -> None:
    """Compute gradients of the class probabilities for a micrograph, at the crystal's boundary and in the vacuum."""
    from segdepth.steps.measure_boundary import measure_boundary as step

    step(prediction, model, out, frame=frame, code=code_hash("measure-boundary"), device=device)


@app.command("plot-boundary")
def plot_boundary(
    gradients: Annotated[Path, typer.Option(help="folder of measure-boundary")],
    out: Out,
) -> None:
    """Plot gradients at the boundary and in the vacuum (the paper's Fig. 11). Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_paper import plot_boundary as step

    step(gradients, out, code=code_hash("plot-boundary"))
