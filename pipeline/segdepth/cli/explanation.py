"""Predictions explained by the lens that was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import Device, Out, show_lines
from segdepth.store.code_hash import code_hash


@app.command("explain")
def explain(
    prediction: Annotated[Path, typer.Argument(help="folder that segdepth predict wrote", show_default=False)],
    lens: Annotated[Path, typer.Option(help="JSON file that segdepth fit-lens wrote for this film")],
    out: Out,
    force: Annotated[
        bool, typer.Option("--force", help="accept a fit that does not explain the film; every result then says so")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Compare predicted columns with the recorded electrons, and refine their counts.

    The image of the predicted columns is simulated with the fitted lens; residuals show where it differs.

    \b
    OUT/explanation.html        a page to look at: the prediction, refined depth, expected, residual
    OUT/explanation.png         the first frame: counted, expected, residual, refined counts
    OUT/columns_refined.csv     one row per column and frame (.parquet: the same)
    OUT/explanation.zarr        expected electrons and standardized residuals on the network's pixels
    OUT/explanation.ome.tif     all of these on the file's pixels (.hspy: one file per map)
    OUT/crystal.extxyz          the refined crystal
    OUT/explanation.json        chi2 of each frame, and what was found
    """
    from segdepth.steps.explain_prediction import explain_prediction as step

    show_lines(step(prediction, lens, out, code=code_hash("explain"), force=force, device=device))
    typer.echo(f"{out / 'explanation.html'}")
