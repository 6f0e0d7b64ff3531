"""Micrographs: prediction and comparison with the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Device, Out, Seed, SpecimenName, read_block
from segdepth.config import Imaging
from segdepth.store.code import code_hash


@app.command("predict")
def predict(
    input: Annotated[Path, typer.Argument(help="micrograph: .npy, .npz or .tif, counts of one frame or of a movie")],
    out: Out,
    model: Annotated[
        Path | None, typer.Option(help="folder of a trained network; without it, the one that comes with the package")
    ] = None,
    pixel_pm: Annotated[float | None, typer.Option(help="side of the micrograph's pixel in pm")] = None,
    key: Annotated[str | None, typer.Option(help="array name inside an .npz file")] = None,
    invalid: Annotated[float | None, typer.Option(help="value of masked pixels")] = None,
    rotation_deg: Annotated[
        float,
        typer.Option(
            help="turn counter-clockwise (row 0 at the bottom), so that [001] runs along x and the vacuum is at +y"
        ),
    ] = 0.0,
    flip: Annotated[bool, typer.Option(help="mirror the frame along x before it is turned")] = False,
    dose: Annotated[float | None, typer.Option(help="vacuum level, counts per pixel, where no vacuum is found")] = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32 or bfloat16; auto is bfloat16 where the machine multiplies it fast")
    ] = "auto",
    once: Annotated[
        bool, typer.Option("--once", help="look at each frame once: half the time of a network that is mirrored")
    ] = False,
) -> None:
    """Atom counts behind every pixel of a micrograph: prediction.zarr, columns.csv, prediction.png."""
    from segdepth.figures.prediction import draw_prediction
    from segdepth.micrograph.predict import predict_micrograph as job
    from segdepth.networks.bundled import bundled_network

    warnings = job(
        input,
        out,
        pixel_pm=pixel_pm,
        model=model or bundled_network(),
        key=key,
        invalid=invalid,
        rotation_deg=rotation_deg,
        flip=flip,
        dose=dose,
        device=device,
        precision=precision,
        once=once,
        code=code_hash("predict"),
        draw=draw_prediction,
    )
    for line in warnings:
        typer.echo(f"warning: {line}", err=True)


@app.command("compare-micrograph")
def compare_micrograph(
    input: Annotated[Path, typer.Argument(help="micrograph: .npy, .npz or .tif, counts of one frame or of a movie")],
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves; all its structures make the range")],
    imaging: BlockText,
    specimen_name: SpecimenName,
    structure: Annotated[int, typer.Option(min=0, help="index in the plan of the structure that is shown")],
    out: Out,
    pixel_pm: Annotated[float | None, typer.Option(help="side of the micrograph's pixel in pm")] = None,
    key: Annotated[str | None, typer.Option(help="array name inside an .npz file")] = None,
    frame: Annotated[int, typer.Option(min=0, help="which frame of a movie, from 0")] = 0,
    invalid: Annotated[float | None, typer.Option(help="value of masked pixels")] = None,
    rotation_deg: Annotated[
        float,
        typer.Option(
            help="turn counter-clockwise (row 0 at the bottom), so that [001] runs along x and the vacuum is at +y"
        ),
    ] = 0.0,
    flip: Annotated[bool, typer.Option(help="mirror the frame along x before it is turned")] = False,
    dose: Annotated[float | None, typer.Option(help="vacuum level, counts per pixel, where no vacuum is found")] = None,
    defocus_nm: Annotated[
        float | None,
        typer.Option(help="which of the imaging block's defoci is shown; without it, the one whose cells are nearest"),
    ] = None,
    lattice_pm: Annotated[float, typer.Option(min=500, max=600, help="lattice constant to hold peaks against")] = 541.1,
    root_seed: Seed = 0,
) -> None:
    """Hold a micrograph against the simulation at its pixel and dose: Fourier peaks, vacuum, column contrast.

    Both are measured in the same way, the simulation at every defocus of the imaging block. Writes comparison.json,
    simulated.csv, comparison.zarr, comparison.png and .pdf.
    """
    import torch

    from segdepth.figures.comparison import draw_comparison
    from segdepth.micrograph.comparison import compare_micrograph as job

    torch.set_num_threads(1)
    warnings = job(
        input,
        out,
        waves=waves,
        imaging=read_block(Imaging, imaging),
        specimen_name=specimen_name,
        structure=structure,
        pixel_pm=pixel_pm,
        lattice_pm=lattice_pm,
        key=key,
        frame=frame,
        invalid=invalid,
        rotation_deg=rotation_deg,
        flip=flip,
        dose=dose,
        defocus_nm=defocus_nm,
        root_seed=root_seed,
        code=code_hash("compare-micrograph"),
        draw=draw_comparison,
    )
    for line in warnings:
        typer.echo(f"warning: {line}", err=True)
