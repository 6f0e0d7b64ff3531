"""Films: simulated ones, tracks of columns and events in them, and how well these are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Device, Out, read_block
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
    """Record a simulated film whose surface columns gain and lose atoms: a TIFF a dose, and the truth (Zarr)."""
    from segdepth.devices import one_thread
    from segdepth.steps.record_film import record_film as step

    texts = ((Film, film), (Imaging, imaging), (Specimen, specimen), (Beam, beam))
    blocks = [read_block(kind, text) for kind, text in texts]
    with one_thread():
        step(*blocks, structure, most_atoms, atoms, out, code=code_hash("record-film"), device=device)
