"""Films: simulated ones, tracks of columns and events in them, and how well these are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Device, Out, TrainedNetwork, read_block, show_lines
from segdepth.config import Beam, Film, Imaging, Specimen
from segdepth.store.code_hash import code_hash


@app.command("record-film")
def record_film(
    film: BlockText,
    imaging: BlockText,
    specimen: BlockText,
    beam: BlockText,
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz that holds the structure")],
    structure: Annotated[int, typer.Option(min=0, help="index of the structure in the plan")],
    most_atoms: Annotated[int, typer.Option(min=2, help="largest count that a column may reach")],
    out: Out,
    device: Device = "auto",
) -> None:
    """Simulate a film whose surface columns gain and lose atoms: a TIFF for each dose, and the truth (Zarr)."""
    from segdepth.devices import one_thread
    from segdepth.steps.record_film import record_film as step

    texts = ((Film, film), (Imaging, imaging), (Specimen, specimen), (Beam, beam))
    blocks = [read_block(kind, text) for kind, text in texts]
    with one_thread():
        step(*blocks, structure, most_atoms, atoms, out, code=code_hash("record-film"), device=device)


@app.command("track-columns")
def track_columns(
    prediction: Annotated[Path, typer.Option(help="folder that segdepth predict wrote")],
    out: Out,
    frame_s: Annotated[
        float | None, typer.Option(min=1e-9, help="time from frame to frame in s; by default from the file")
    ] = None,
    false_discovery: Annotated[
        float, typer.Option(min=0, max=1, help="expected share of false events among those marked as listed")
    ] = 0.05,
) -> None:
    """Find when columns of a predicted film gain or lose atoms, with a hidden Markov model.

    Writes OUT/events.csv (one row per change), OUT/tracks.zarr and OUT/rates.csv.
    """
    from segdepth.devices import one_thread
    from segdepth.steps.track_columns import track_columns as step

    code = code_hash("track-columns")
    with one_thread():
        events, lines = step(prediction, out, frame_s=frame_s, false_discovery=false_discovery, code=code)
    show_lines(lines)
    typer.echo(f"{len(events)} events, of which {int(events['listed'].sum())} are listed: {out / 'events.csv'}")


@app.command("measure-film")
def measure_film(
    model: TrainedNetwork,
    film: BlockText,
    name: Annotated[str, typer.Option("--name", help="name of the film")],
    recorded: Annotated[Path, typer.Option(help="folder of record-film")],
    out: Out,
    familiarity: Annotated[
        Path | None, typer.Option(help="JSON file of measure-familiarity; not needed for the bundled networks")
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure how well the events of a simulated film are found: precision, recall, timing by dose and method."""
    from segdepth.steps.measure_film import measure_film as step

    block, code = read_block(Film, film), code_hash("measure-film")
    step(block, model, recorded, out, name=name, code=code, device=device, familiarity=familiarity)


@app.command("tabulate-film")
def tabulate_film(
    table: Annotated[str, typer.Argument(help="scores, dwell or detectability", show_default=False)],
    measured: Annotated[Path, typer.Option(help="folder of measure-film")],
    out: Out,
) -> None:
    """Copy a table of measure-film to a CSV file with its own manifest."""
    from segdepth.steps.tabulate_film import tabulate_film as step

    step(table, measured, out, code=code_hash("tabulate-film"))


@app.command("plot-film")
def plot_film(
    kind: Annotated[
        str, typer.Argument(help="fig12_film (probabilities over time) or film_scores", show_default=False)
    ],
    measured: Annotated[Path, typer.Option(help="folder of measure-film")],
    out: Out,
) -> None:
    """Plot a measured film: probabilities over time, or scores by dose. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_film import plot_film as step

    step(kind, measured, out, code=code_hash("plot-film"))
