"""How good networks are: evaluations, ideal observers, tables, and the network that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Device, Out, Paths, read_block
from segdepth.config import Beam, Dataset, Imaging, Labels, Specimen, Table
from segdepth.store.code_hash import code_hash

DatasetName = Annotated[str, typer.Option("--name", help="name of the dataset block")]


@app.command("evaluate-model")
def evaluate_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    dataset: BlockText,
    specimen: BlockText,
    name: DatasetName,
    images: Paths,
    depth: Paths,
    out: Out,
    device: Device = "auto",
) -> None:
    """Measure a network on the test structures of a data set: metrics, confusion, calibration, columns."""
    from segdepth.steps.evaluate_model import evaluate_model as job

    blocks = read_block(Dataset, dataset), read_block(Specimen, specimen)
    job(*blocks, model, images, depth, out, name=name, code=code_hash("evaluate-model"), device=device)


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
    """How well single columns of a data set's test structures can be counted at all: with the image, with the prior,
    with both."""
    from segdepth.devices import one_thread
    from segdepth.steps.estimate_ideal_observer import estimate_ideal_observer as job

    texts = ((Dataset, dataset), (Specimen, specimen), (Beam, beam), (Imaging, imaging), (Labels, labels))
    blocks = [read_block(kind, text) for kind, text in texts]
    code = code_hash("estimate-ideal-observer")
    with one_thread():
        job(*blocks, plan, atoms, out, name=name, code=code, device=device, columns=columns)


@app.command("export-model")
def export_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation for its card; repeat for more")],
    out: Out,
) -> None:
    """Make the network that comes with the package: float16 weights, its card, and MODEL_CARD.md."""
    from segdepth.steps.export_model import export_model as job

    job(model, evaluation, out, code=code_hash("export-model"))


@app.command("tabulate-networks")
def tabulate_networks(
    table: BlockText,
    out: Out,
    evaluations_root: Annotated[Path, typer.Option(help="holds <model>/<dataset>")] = Path("results/evaluation"),
    models_root: Annotated[Path, typer.Option(help="holds <model>")] = Path("results/models"),
    ideal_observer_root: Annotated[Path, typer.Option(help="holds <dataset>")] = Path("results/ideal_observer"),
) -> None:
    """Networks side by side, with what was aimed for, as a block of `tables` asks. Writes CSV and Markdown."""
    from segdepth.steps.tabulate_networks import Folders
    from segdepth.steps.tabulate_networks import tabulate_networks as job

    folders = Folders(evaluations_root, models_root, ideal_observer_root)
    job(read_block(Table, table), folders, out, code=code_hash("tabulate-networks"))


@app.command("tabulate-table1")
def tabulate_table1(
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation; repeat for more rows")], out: Out
) -> None:
    """Our networks beside the paper's Table I. Writes CSV and LaTeX."""
    from segdepth.steps.tabulate_table1 import tabulate_table1 as job

    job(evaluation, out, code=code_hash("tabulate-table1"))
