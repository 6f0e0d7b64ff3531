"""Training networks, and measuring what they have learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, BlockTexts, Device, Out, Paths, Seed, TrainedNetwork, read_block
from segdepth.config import Dataset, Imaging, Labels, Model, Specimen, join_blocks
from segdepth.store.code_hash import code_hash


@app.command("train-model")
def train_model(
    name: Annotated[str, typer.Option(help="name of the models block")],
    model: BlockText,
    dataset: BlockTexts,
    specimen: BlockTexts,
    imaging: BlockTexts,
    labels: BlockTexts,
    waves: Paths,
    depth: Paths,
    out: Out,
    checkpoints: Annotated[Path, typer.Option(help="folder for checkpoints, from which a stopped training resumes")],
    root_seed: Seed = 0,
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads")] = None,
) -> None:
    """Train a network on simulated images; a stopped training resumes.

    For several data sets, give their blocks in the same order, and their shards one data set after another.
    """
    from segdepth.steps.train_model import train_model as step

    kinds = ((Dataset, dataset), (Specimen, specimen), (Imaging, imaging), (Labels, labels))
    step(
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


@app.command("measure-familiarity")
def measure_familiarity(
    model: TrainedNetwork,
    images: Paths,
    out: Out,
    device: Device = "auto",
) -> None:
    """Measure what the training images of a network look like, so that `segdepth predict` can flag unfamiliar frames.

    The images are simulated over the ranges that the network was trained on, of structures that it has not seen.
    """
    from segdepth.steps.measure_familiarity import measure_familiarity as step

    rates = step(model, images, out, code=code_hash("measure-familiarity"), device=device)
    typer.echo(", ".join(f"{name} {value:.3g}" for name, value in rates.items()))
