"""Evaluations, ideal observers, tables of networks, and the export of a network into the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import (
    EVALUATIONS,
    MODELS,
    BlockText,
    DatasetName,
    Device,
    EvaluationsRoot,
    ModelsRoot,
    Out,
    Paths,
    TrainedNetwork,
    read_block,
)
from segdepth.config import Beam, Dataset, Imaging, Labels, Specimen, Table, Yardstick
from segdepth.store.code_hash import code_hash

YardstickName = Annotated[str, typer.Option("--name", help="name of the yardstick")]


@app.command("evaluate-model")
def evaluate_model(
    model: TrainedNetwork,
    dataset: BlockText,
    specimen: BlockText,
    name: DatasetName,
    images: Paths,
    depth: Paths,
    out: Out,
    device: Device = "auto",
) -> None:
    """Measure a network on the test structures of a data set: metrics, confusion, calibration, columns."""
    from segdepth.steps.evaluate_model import evaluate_model as step

    blocks = read_block(Dataset, dataset), read_block(Specimen, specimen)
    step(*blocks, model, images, depth, out, name=name, code=code_hash("evaluate-model"), device=device)


@app.command("estimate-ideal-observer")
def estimate_ideal_observer(
    dataset: BlockText,
    specimen: BlockText,
    beam: BlockText,
    imaging: BlockText,
    labels: BlockText,
    name: DatasetName,
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    atoms: Paths,
    out: Out,
    columns: Annotated[int, typer.Option(min=1, help="columns of each element in each test structure")] = 2,
    device: Device = "auto",
) -> None:
    """Estimate how well single columns of a data set can be counted at best.

    For the test structures: from the image, from the prior (the planned smooth wedge), and from both.
    """
    from segdepth.devices import one_thread
    from segdepth.steps.estimate_ideal_observer import estimate_ideal_observer as step

    texts = ((Dataset, dataset), (Specimen, specimen), (Beam, beam), (Imaging, imaging), (Labels, labels))
    blocks = [read_block(kind, text) for kind, text in texts]
    code = code_hash("estimate-ideal-observer")
    with one_thread():
        step(*blocks, plan, atoms, out, name=name, code=code, device=device, columns=columns)


@app.command("measure-yardstick")
def measure_yardstick(
    model: TrainedNetwork,
    yardstick: BlockText,
    dataset: BlockText,
    specimen: BlockText,
    imaging: BlockText,
    name: YardstickName,
    waves: Paths,
    depth: Paths,
    out: Out,
    familiarity: Annotated[
        Path | None, typer.Option(help="JSON file of measure-familiarity; not needed for the bundled networks")
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(help="folder for tables of waves, used if lenses are fitted; by default the user's cache"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure a network on simulated recordings, which are read, calibrated and predicted like a user's file."""
    from segdepth.steps.measure_yardstick import measure_yardstick as step

    texts = ((Yardstick, yardstick), (Dataset, dataset), (Specimen, specimen), (Imaging, imaging))
    blocks = [read_block(kind, text) for kind, text in texts]
    code = code_hash("measure-yardstick")
    given = {"name": name, "code": code, "device": device, "familiarity": familiarity, "tables": tables}
    step(*blocks, model, waves, depth, out, **given)


@app.command("estimate-yardstick-observer")
def estimate_yardstick_observer(
    yardstick: BlockText,
    dataset: BlockText,
    specimen: BlockText,
    beam: BlockText,
    imaging: BlockText,
    labels: BlockText,
    name: YardstickName,
    atoms: Paths,
    out: Out,
    device: Device = "auto",
) -> None:
    """Estimate how well single columns can be counted at best in each recording of a yardstick."""
    from segdepth.devices import one_thread
    from segdepth.steps.estimate_yardstick_observer import estimate_yardstick_observer as step

    kinds = (Yardstick, Dataset, Specimen, Beam, Imaging, Labels)
    texts = (yardstick, dataset, specimen, beam, imaging, labels)
    blocks = [read_block(*each) for each in zip(kinds, texts)]
    code = code_hash("estimate-yardstick-observer")
    with one_thread():
        step(*blocks, atoms, out, name=name, code=code, device=device)


@app.command("tabulate-yardsticks")
def tabulate_yardsticks(
    yardstick: Annotated[list[Path], typer.Option(help="folder of measure-yardstick; repeat for more")],
    out: Out,
    observer: Annotated[
        list[Path] | None, typer.Option(help="folder of estimate-yardstick-observer; repeat for more")
    ] = None,
) -> None:
    """Tabulate the results of measure-yardstick with their aims. Writes CSV and Markdown."""
    from segdepth.steps.tabulate_yardsticks import tabulate_yardsticks as step

    step(yardstick, observer or (), out, code=code_hash("tabulate-yardsticks"))


@app.command("export-model")
def export_model(
    model: TrainedNetwork,
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation for its card; repeat for more")],
    out: Out,
) -> None:
    """Export a network in the form in which the package holds it: float16 weights, card, MODEL_CARD.md."""
    from segdepth.steps.export_model import export_model as step

    step(model, evaluation, out, code=code_hash("export-model"))


@app.command("tabulate-networks")
def tabulate_networks(
    table: BlockText,
    out: Out,
    evaluations_root: EvaluationsRoot = EVALUATIONS,
    models_root: ModelsRoot = MODELS,
    ideal_observer_root: Annotated[Path, typer.Option(help="holds <dataset>")] = Path("results/ideal_observer"),
) -> None:
    """Tabulate networks side by side, with their aims. Writes CSV and Markdown."""
    from segdepth.steps.tabulate_networks import Folders
    from segdepth.steps.tabulate_networks import tabulate_networks as step

    folders = Folders(evaluations_root, models_root, ideal_observer_root)
    step(read_block(Table, table), folders, out, code=code_hash("tabulate-networks"))


@app.command("tabulate-table1")
def tabulate_table1(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for more rows")], out: Out
) -> None:
    """Tabulate our networks beside the paper's Table I. Writes CSV and LaTeX."""
    from segdepth.steps.tabulate_table1 import tabulate_table1 as step

    step(evaluation, out, code=code_hash("tabulate-table1"))
