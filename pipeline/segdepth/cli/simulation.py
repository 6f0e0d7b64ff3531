"""Exit waves, images, simulated recordings, and how exact they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Device, Out, read_block
from segdepth.config import Beam, Dataset, Imaging, Micrograph
from segdepth.store.code_hash import code_hash


@app.command("simulate-waves")
def simulate_waves(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz, or any extxyz of boxes with the beam along z")],
    beam: BlockText,
    out: Out,
    device: Device = "auto",
) -> None:
    """Multislice: the exit waves of a shard of atoms, as Fourier coefficients (Zarr)."""
    from segdepth.steps.simulate_waves import simulate_waves as job

    job(read_block(Beam, beam), atoms, out, code=code_hash("simulate-waves"), device=device)


@app.command("form-images")
def form_images(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves")],
    imaging: BlockText,
    out: Out,
    device: Device = "auto",
) -> None:
    """Images of a shard of exit waves at every defocus of an imaging block, without noise (Zarr)."""
    from segdepth.steps.form_images import form_images as job

    job(read_block(Imaging, imaging), waves, out, code=code_hash("form-images"), device=device)


@app.command("record-micrograph")
def record_micrograph(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr that holds the structure")],
    micrograph: BlockText,
    imaging: BlockText,
    dataset: BlockText,
    structure: Annotated[int, typer.Option(min=0, help="index of the structure in the plan")],
    out: Out,
) -> None:
    """Record a simulated micrograph in electron counts with a camera pixel of its own (npz)."""
    from segdepth.steps.record_micrograph import record_micrograph as job

    blocks = read_block(Micrograph, micrograph), read_block(Imaging, imaging), read_block(Dataset, dataset)
    job(*blocks, structure, waves, out, code=code_hash("record-micrograph"))


@app.command("study-convergence")
def study_convergence(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz, or any extxyz")],
    beam: BlockText,
    imaging: BlockText,
    out: Out,
    structure: Annotated[
        list[int] | None,
        typer.Option(min=0, help="index in the plan; repeat for more; without it the thickest and the middle one"),
    ] = None,
    phonons: Annotated[int, typer.Option(min=0, max=200, help="snapshots to compare with; 0 leaves that out")] = 16,
    checkpoints: Annotated[Path | None, typer.Option(help="folder of finished waves; a stopped study goes on")] = None,
) -> None:
    """Image error and time of grids, slices, potentials, apertures and focal averages, around a beam and an imaging
    block, against 2048², 16.7 pm slabs, float64 and explicit averaging (CSV). One core, half an hour. Lens and beam
    need fixed values, the beam no tilt."""
    from segdepth.steps.study_convergence import study_convergence as job

    job(
        read_block(Beam, beam),
        read_block(Imaging, imaging),
        atoms,
        structure or [],
        out,
        code=code_hash("study-convergence"),
        phonons=phonons,
        checkpoints=checkpoints,
    )
