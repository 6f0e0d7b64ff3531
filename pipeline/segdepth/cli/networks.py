"""Training, evaluation and export of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, BlockTexts, Device, Name, Out, Paths, Seed, read_block
from segdepth.config import Beam, Dataset, Imaging, Labels, Model, Specimen, Table, join_blocks
from segdepth.store.code import code_hash


@app.command("train-model")
def train_model(
    name: Name,
    model: BlockText,
    dataset: BlockTexts,
    specimen: BlockTexts,
    imaging: BlockTexts,
    labels: BlockTexts,
    waves: Paths,
    depth: Paths,
    out: Out,
    checkpoints: Annotated[Path, typer.Option(help="folder for checkpoints; a stopped training goes on from there")],
    root_seed: Seed = 0,
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads")] = None,
) -> None:
    """Train a network on freshly formed images; resumes where it was stopped. Several data sets are given one after
    the other: their blocks in the same order, and their shards behind each other."""
    from segdepth.steps.train_model import train_model as job

    kinds = ((Dataset, dataset), (Specimen, specimen), (Imaging, imaging), (Labels, labels))
    job(
        read_block(Model, model),
        join_blocks(*([read_block(kind, text) for text in texts] for kind, texts in kinds)),
        waves,
        depth,
        out,
        name=name,
        root_seed=root_seed,
        checkpoints=checkpoints,
        code=code_hash("train-model"),
        device=device,
        threads=threads,
    )


@app.command("evaluate-model")
def evaluate_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    dataset: BlockText,
    specimen: BlockText,
    dataset_name: Annotated[str, typer.Option(help="name of the dataset block")],
    images: Paths,
    depth: Paths,
    out: Out,
    root_seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure a network on the test structures of a data set: metrics, confusion, calibration, columns."""
    from segdepth.evaluation.evaluate import evaluate_model as job

    joined = read_block(Dataset, dataset)
    job(
        model=model,
        images=images,
        depth=depth,
        structures=joined.structures_of("test", read_block(Specimen, specimen)),
        dataset=joined,
        dataset_name=dataset_name,
        specimen_name=joined.specimen,
        root_seed=root_seed,
        out=out,
        code=code_hash("segdepth.evaluation.evaluate"),
        device=device,
    )


@app.command("estimate-ideal-observer")
def estimate_ideal_observer(
    dataset: BlockText,
    specimen: BlockText,
    beam: BlockText,
    imaging: BlockText,
    dataset_name: Annotated[str, typer.Option(help="name of the dataset block")],
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    atoms: Paths,
    out: Out,
    root_seed: Seed = 0,
    columns: Annotated[int, typer.Option(min=1, help="columns of each element in each test structure")] = 2,
    device: Device = "auto",
) -> None:
    """The physical limit of counting single columns in a data set's test structures, and what neighbours alone tell."""
    import torch

    from segdepth.steps.estimate_ideal_observer import estimate_ideal_observer as job

    torch.set_num_threads(1)
    job(
        dataset=read_block(Dataset, dataset),
        dataset_name=dataset_name,
        specimen=read_block(Specimen, specimen),
        beam=read_block(Beam, beam),
        imaging=read_block(Imaging, imaging),
        plan=plan,
        atoms=atoms,
        root_seed=root_seed,
        out=out,
        code=code_hash("segdepth.steps.estimate_ideal_observer"),
        device=device,
        columns=columns,
    )


@app.command("export-model")
def export_model(
    model: Annotated[Path, typer.Option(help="folder of the trained network")],
    evaluation: Annotated[list[Path], typer.Option(help="folder of an evaluation for its card; repeat for more")],
    out: Out,
) -> None:
    """Make the network that comes with the package: float16 weights, its card, and MODEL_CARD.md."""
    from segdepth.steps.export_model import export_model as job

    job(model, evaluation, out, code_hash("segdepth.steps.export_model"))


@app.command("tabulate-networks")
def tabulate_networks(
    table: BlockText,
    out: Out,
    evaluations_root: Annotated[Path, typer.Option(help="holds <model>/<dataset>")] = Path("results/evaluation"),
    models_root: Annotated[Path, typer.Option(help="holds <model>")] = Path("results/models"),
    ideal_observer_root: Annotated[Path, typer.Option(help="holds <dataset>")] = Path("results/ideal_observer"),
) -> None:
    """Networks side by side, with what was aimed for, as a block of `tables` asks. Writes CSV and Markdown."""
    from segdepth.evaluation.network_tables import Folders
    from segdepth.figures.network_table import tabulate

    folders = Folders(evaluations_root, models_root, ideal_observer_root)
    tabulate(read_block(Table, table), folders, out, code_hash("segdepth.figures.network_table"))
