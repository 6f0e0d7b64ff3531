"""The project as a whole: where a file comes from, whether a configuration is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.config import check_files, json_schema, load_config


@app.command("trace")
def trace(
    file: Annotated[Path, typer.Argument(help="any figure, table, store or file inside one")],
    full: Annotated[bool, typer.Option("--full", help="print whole parameter blocks and all seeds")] = False,
) -> None:
    """Print the chain behind a file back to plan, seeds, parameters, versions and commit; exit 1 if it is broken."""
    from segdepth.store.trace import describe
    from segdepth.store.trace import trace as follow

    chain = follow(file)
    typer.echo(describe(chain, full=full))
    if chain.broken:
        raise typer.Exit(1)


@app.command("check-config")
def check_config(config: Annotated[Path, typer.Argument(help="the configuration file")] = Path("config.yaml")) -> None:
    """Check a configuration file; one line says what is wrong."""
    from segdepth.networks.bundled import check_bundled
    from segdepth.simulation.grid import check_grids

    checked = load_config(config)
    check_files(checked)
    check_grids(checked)
    check_bundled(checked)
    typer.echo(f"{config}: fine")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of config.yaml, with defaults and limits."""
    typer.echo(json_schema(), nl=False)
