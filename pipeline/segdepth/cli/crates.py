"""Results with their provenance for other programs and archives: export-crate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.store.code_hash import code_hash


@app.command("export-crate")
def export_crate(
    targets: Annotated[list[Path], typer.Argument(help="figures, tables, networks or stores, or files inside them")],
    out: Annotated[Path, typer.Option("--out", help="a folder, or a ZIP file if it ends in .zip")],
    config: Annotated[
        list[Path] | None,
        typer.Option(help="configuration file to add; may be repeated; by default config.yaml, if it is there"),
    ] = None,
    largest_mb: Annotated[
        float,
        typer.Option(
            min=0,
            help="largest file or folder behind the targets that is copied, in MB; larger ones are only listed",
        ),
    ] = 10.0,
    license: Annotated[str | None, typer.Option(help="licence of the data: an address or a name")] = None,
) -> None:
    """Pack results with everything they were made from as an RO-Crate (profile Process Run Crate).

    It holds the targets, what they were made from, manifests, configuration and versions. Files larger than
    `--largest-mb` are only listed, with their content hash. A chain that is broken is refused.
    """
    from segdepth.steps.export_crate import export_crate as step

    default = Path("config.yaml")
    configs = config or ([default] if default.is_file() else [])
    hashed = code_hash("export-crate")
    named, copied = step(targets, out, code=hashed, configs=configs, largest_mb=largest_mb, license=license)
    typer.echo(f"{out}: {named} artefacts, {copied} of them copied, {named - copied} named by their content hash")
