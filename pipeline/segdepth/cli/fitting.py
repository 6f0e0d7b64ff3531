"""Lens, tilt and thickness fitted to a micrograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segdepth.cli.app import app, registered
from segdepth.cli.micrographs import Dose, Flip, Gain, Image, Input, Invalid, Offset, Picture, Pixel, Rotation
from segdepth.cli.options import BLOCK_HELP, Out, read_block, read_options, show_lines
from segdepth.config import CrystalBlock, LensFitOptions
from segdepth.errors import SegDepthError
from segdepth.store.code_hash import code_hash


def _held(field: str, name: str) -> Any:
    return typer.Option(name, help=str(LensFitOptions.model_fields[field].description))


@app.command("fit-lens")
def fit_lens(
    input: Input,
    out: Out,
    energy_kev: Annotated[float | None, _held("energy_kev", "--energy-kev")] = None,
    crystal: Annotated[
        str | None, typer.Option(help=f"crystals {BLOCK_HELP}; by default the bundled network's crystal")
    ] = None,
    lens_fit: Annotated[
        str | None, typer.Option(help="block with the options below: FILE:NAME (config.yaml:NAME) or JSON")
    ] = None,
    image: Image = None,
    pixel_pm: Pixel = None,
    rotation_deg: Rotation = None,
    flip: Flip = None,
    invalid: Invalid = None,
    gain: Gain = None,
    offset: Offset = None,
    dose: Dose = None,
    c3_um: Annotated[float | None, _held("c3_um", "--c3-um")] = None,
    c5_mm: Annotated[float | None, _held("c5_mm", "--c5-mm")] = None,
    focal_spread_nm: Annotated[float | None, _held("focal_spread_nm", "--focal-spread-nm")] = None,
    convergence_mrad: Annotated[float | None, _held("convergence_mrad", "--convergence-mrad")] = None,
    image_spread_pm: Annotated[float | None, _held("image_spread_pm", "--image-spread-pm")] = None,
    contrast_factor: Annotated[float | None, _held("contrast_factor", "--contrast-factor")] = None,
    background: Annotated[float | None, _held("background", "--background")] = None,
    tables: Annotated[Path | None, typer.Option(help="folder for tables of waves; by default the user's cache")] = None,
    picture: Picture = True,
) -> None:
    """Fit lens, tilt and thickness of a micrograph or film, with errors, or say that the model does not explain it.

    The fit uses average unit cells by distance from the crystal's edge; all frames of a film are fitted together. The
    voltage must be known, and a part of the field must be vacuum. OUT is a JSON file; a picture is written beside it.
    """
    given = {name: value for name, value in locals().items() if name in LensFitOptions.model_fields}
    given |= {"dose_e_per_a2": dose}
    options = read_options(LensFitOptions, lens_fit, given)
    block = None if crystal is None else read_block(CrystalBlock, crystal)

    from segdepth.micrograph.predict import crystal_of
    from segdepth.networks.bundled import bundled_network
    from segdepth.networks.card import read_card
    from segdepth.steps.fit_lens import fit_lens as step
    from segdepth.store.manifest import check_target

    stem = out.name.removesuffix(".json")  # film.v2 has its picture in film.v2.png
    for suffix in (".png", ".pdf") if picture else ():
        check_target(out.with_name(stem + suffix), "plot-lens-fit", [out])
    told: list[str] = []
    known = block or crystal_of(read_card(bundled_network()))
    try:
        found = step(options, known, input, out, tables=tables, code=code_hash("fit-lens"), tell=told.append)
    except SegDepthError:
        show_lines(told)  # what is known of a file helps to see why it is refused
        raise
    show_lines(found.lines)
    if picture:
        registered("plot-lens-fit")(out, out.with_name(f"{stem}.png"))
    typer.echo(f"{out}")


@app.command("plot-lens-fit")
def plot_lens_fit(fit: Annotated[Path, typer.Option(help="JSON file that segdepth fit-lens wrote")], out: Out) -> None:
    """Plot average unit cells, the fitted model's, and their difference. Writes the PNG and a PDF beside it."""
    from segdepth.steps.plot_lens_fit import plot_lens_fit as step

    step(fit, out, code=code_hash("plot-lens-fit"))
