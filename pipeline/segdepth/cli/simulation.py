"""Exit waves, images, simulated recordings, and the convergence study."""

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
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz, or any extxyz with a rectangular cell, beam along z")],
    beam: BlockText,
    out: Out,
    device: Device = "auto",
) -> None:
    """Simulate the exit waves of a shard of atoms by multislice, as Fourier coefficients (Zarr)."""
    from segdepth.steps.simulate_waves import simulate_waves as step

    step(read_block(Beam, beam), atoms, out, code=code_hash("simulate-waves"), device=device)


@app.command("form-images")
def form_images(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves")],
    imaging: BlockText,
    out: Out,
    device: Device = "auto",
) -> None:
    """Form noise-free images of a shard of exit waves at every defocus of an imaging block (Zarr)."""
    from segdepth.steps.form_images import form_images as step

    step(read_block(Imaging, imaging), waves, out, code=code_hash("form-images"), device=device)


@app.command("record-micrograph")
def record_micrograph(
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr that holds the structure")],
    micrograph: BlockText,
    imaging: BlockText,
    dataset: BlockText,
    structure: Annotated[
        int, typer.Option(min=0, help="index of the structure in the plan (not its number among the test structures)")
    ],
    out: Out,
) -> None:
    """Simulate a micrograph in electron counts with a camera's pixel (npz)."""
    from segdepth.steps.record_micrograph import record_micrograph as step

    blocks = read_block(Micrograph, micrograph), read_block(Imaging, imaging), read_block(Dataset, dataset)
    step(*blocks, structure, waves, out, code=code_hash("record-micrograph"))


@app.command("study-convergence")
def study_convergence(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz, or any extxyz")],
    beam: BlockText,
    imaging: BlockText,
    out: Out,
    structure: Annotated[
        list[int] | None,
        typer.Option(min=0, help="index in the plan; repeat for more; by default the thickest and the median one"),
    ] = None,
    phonons: Annotated[int, typer.Option(min=0, max=200, help="snapshots to compare with; 0: no comparison")] = 16,
    checkpoints: Annotated[
        Path | None, typer.Option(help="folder of finished waves, from which a stopped study resumes")
    ] = None,
) -> None:
    """Measure image error and time of each choice of the simulation (CSV).

    Grids, slices, potentials, apertures and focal averages around a beam and an imaging block, compared with 2048²
    points, 16.7 pm slabs, float64 and explicit averaging. About twenty minutes on one core. Lens and beam need fixed
    values, the beam no tilt.
    """
    from segdepth.steps.study_convergence import study_convergence as step

    step(
        read_block(Beam, beam),
        read_block(Imaging, imaging),
        atoms,
        structure or [],
        out,
        code=code_hash("study-convergence"),
        phonons=phonons,
        checkpoints=checkpoints,
    )
