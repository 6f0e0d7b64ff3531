"""Sets with a promised coverage, and the limits of what can be counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, BlockTexts, Device, Out, Paths, TrainedNetwork, read_block
from segdepth.config import Beam, Dataset, Imaging, LimitMap, PredictionSets, Specimen
from segdepth.errors import ConfigError
from segdepth.store.code_hash import code_hash


@app.command("measure-sets")
def measure_sets(
    model: TrainedNetwork,
    prediction_sets: BlockText,
    dataset: BlockTexts,
    specimen: BlockTexts,
    images: Paths,
    depth: Paths,
    name: Annotated[str, typer.Option("--name", help="name of the prediction_sets block")],
    out: Out,
    device: Device = "auto",
) -> None:
    """Measure sets of counts that hold the truth with a given probability (conformal prediction).

    Give the data sets in the order of the block, that of the calibration first, and the shards of one data set after
    the other.
    """
    from segdepth.steps.measure_sets import measure_sets as step

    block = read_block(PredictionSets, prediction_sets)
    if len(dataset) != len(specimen):
        raise ConfigError(
            f"got {len(dataset)} --dataset, {len(specimen)} --specimen; each is needed once for every data set"
        )
    datasets = [(read_block(Dataset, one), read_block(Specimen, two)) for one, two in zip(dataset, specimen)]
    step(block, datasets, model, images, depth, out, name=name, code=code_hash("measure-sets"), device=device)


@app.command("tabulate-limits")
def tabulate_limits(
    observer: Annotated[Path, typer.Option(help="folder of estimate-ideal-observer")],
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for more doses")],
    atoms: Paths,
    out: Out,
) -> None:
    """Tabulate what an ideal observer and a network count, by dose, defocus, count and place (CSV)."""
    from segdepth.steps.tabulate_limits import tabulate_limits as step

    step(observer, evaluation, atoms, out, code=code_hash("tabulate-limits"))


@app.command("map-limits")
def map_limits(
    limit_map: BlockText,
    dataset: BlockText,
    specimen: BlockText,
    beam: BlockText,
    imaging: BlockText,
    most_atoms: Annotated[int, typer.Option(min=3, help="largest count with a class of its own")],
    atoms: Paths,
    name: Annotated[str, typer.Option("--name", help="name of the limit_maps block")],
    out: Out,
    device: Device = "auto",
) -> None:
    """Map what an ideal observer counts over defocus, C3, dose and vibration: where to record."""
    from segdepth.devices import one_thread
    from segdepth.steps.map_limits import map_limits as step

    kinds, texts = (LimitMap, Dataset, Specimen, Beam, Imaging), (limit_map, dataset, specimen, beam, imaging)
    blocks = [read_block(*each) for each in zip(kinds, texts)]
    with one_thread():
        step(*blocks, most_atoms, atoms, out, name=name, code=code_hash("map-limits"), device=device)


@app.command("plot-limits")
def plot_limits(
    table: Annotated[Path, typer.Option(help="the CSV of tabulate-limits, or the folder of map-limits")], out: Out
) -> None:
    """Plot the limits of what can be counted, or a map of where to record. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_limits import plot_limits as step

    step(table, out, code=code_hash("plot-limits"))
