"""A network tuned to one film: its plan, and all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segdepth.cli.app import app
from segdepth.cli.micrographs import Input
from segdepth.cli.options import Device, Out, read_block, read_options, show_lines
from segdepth.config import RESERVED, CrystalBlock, PredictionOptions
from segdepth.store.code_hash import code_hash

Lens = Annotated[Path, typer.Option(help="JSON file that segdepth fit-lens wrote for this film")]
Model = Annotated[
    str | None,
    typer.Option(
        help=f"network to adapt: a folder, or {' or '.join(RESERVED)}, which come with the package; by default "
        f"{RESERVED[0]}"
    ),
]
Minutes = Annotated[
    float,
    typer.Option(min=0.1, max=1440, help="time for structures, waves and training together, without the prediction"),
]
Cores = Annotated[int | None, typer.Option(min=1, help="number of processes and threads; by default all cores")]
Force = Annotated[
    bool, typer.Option("--force", help="accept a fit that does not explain the film; every result then says so")
]
PredictionText = Annotated[
    str | None,
    typer.Option(help="options of segdepth predict for the film, as a block: FILE:NAME (config.yaml:NAME) or JSON"),
]
CrystalText = Annotated[
    str | None,
    typer.Option(
        help="the crystal as a block: FILE:NAME or JSON; only if its structure does not come with the package"
    ),
]


@app.command("plan-adaptation")
def plan_adaptation(
    input: Input,
    lens: Lens,
    out: Out,
    model: Model = None,
    minutes: Minutes = 20.0,
    cores: Cores = None,
    force: Force = False,
    prediction: PredictionText = None,
    crystal: CrystalText = None,
) -> None:
    """Write the plan of an adaptation, OUT/config.yaml, and stop; segdepth adapt or Snakemake carries it out.

    Values and errors of the lens fit become narrow ranges; comments say where each comes from.
    """
    typer.echo(_planned(input, lens, out, model, minutes, cores, force, prediction, crystal))


@app.command("adapt")
def adapt(
    input: Input,
    lens: Lens,
    out: Out,
    model: Model = None,
    minutes: Minutes = 20.0,
    cores: Cores = None,
    force: Force = False,
    prediction: PredictionText = None,
    crystal: CrystalText = None,
    device: Device = "auto",
) -> None:
    """Tune a network to a film: simulate crystals in its fitted lens, train the network on them, predict the film.

    If it is stopped, the same command resumes it.

    \b
    OUT/config.yaml                  the plan: what is simulated, and why
    OUT/data                         atoms, waves, depth maps
    OUT/results/models/adapted       the network
    OUT/results/predictions/film     the film, as segdepth predict writes it
    """
    from segdepth.steps.adapt_network import adapt_network as step
    from segdepth.steps.adapt_network import check_device

    check_device(device)
    _planned(input, lens, out, model, minutes, cores, force, prediction, crystal)
    show_lines(step(out, cores=cores, device=device, tell=lambda line: typer.echo(line, err=True)))
    typer.echo(out / "results" / "predictions" / "film" / "prediction.html")


def _planned(
    input: Path,
    lens: Path,
    out: Path,
    model: str | None,
    minutes: float,
    cores: int | None,
    force: bool,
    prediction: str | None,
    crystal: str | None,
) -> Any:
    """The path of the plan."""
    options = read_options(PredictionOptions, prediction, {})
    block = None if crystal is None else read_block(CrystalBlock, crystal)

    from segdepth.networks.bundled import network_folders
    from segdepth.steps.plan_adaptation import plan_adaptation as step

    return step(
        input,
        lens,
        network_folders(model)[0],
        out,
        prediction=options,
        minutes=minutes,
        cores=cores,
        force=force,
        crystal=block,
        code=code_hash("plan-adaptation"),
        tell=lambda line: typer.echo(line, err=True),
    )
