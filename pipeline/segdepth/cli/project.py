"""Commands on the whole project: trace, verify, clean-shards, check-config, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.config import json_schema, load_config

ConfigFile = Annotated[Path, typer.Argument(help="the configuration file")]


@app.command("trace")
def trace(
    file: Annotated[Path, typer.Argument(help="a figure, table or store, or a file inside one")],
    full: Annotated[bool, typer.Option("--full", help="print whole parameter blocks and all seeds")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="print it as JSON: layout, target, whole, artefacts (path, inputs, elsewhere, problems, manifest)",
        ),
    ] = False,
) -> None:
    """Print what a file was made from, back to plan, seeds, parameters, versions and commit; exit 1 if it is broken."""
    from segdepth.store.chain_record import chain_record
    from segdepth.store.trace import describe
    from segdepth.store.trace import trace as follow

    chain = follow(file)
    typer.echo(json.dumps(chain_record(chain), indent=1) if as_json else describe(chain, full=full))
    if chain.broken:
        raise typer.Exit(1)


@app.command("verify")
def verify(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="files, stores or folders; by default data and results")
    ] = None,
) -> None:
    """Check every file against its manifest; list what is damaged or out of date and how to remake it.

    Exit 1 if there is any.
    """
    from segdepth.store.verify import verify as step

    places = paths or [place for place in (Path("data"), Path("results")) if place.exists()]
    checked, found = step(places)
    for finding in found:
        typer.echo(finding)
    typer.echo(f"{checked} checked, {len(found)} damaged or stale" if found else f"{checked} checked, all whole")
    if found:
        raise typer.Exit(1)


@app.command("clean-shards")
def clean_shards(
    config: ConfigFile = Path("config.yaml"),
    data: Annotated[Path, typer.Option(help="folder of plans, waves, images and depth maps")] = Path("data"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list them")] = False,
) -> None:
    """Remove shards that the configuration no longer has, after their number or size was changed."""
    from segdepth.store.manifest import remove
    from segdepth.store.shards import stale_shards

    checked = load_config(config)
    stale = [path for name, block in checked.specimens.items() for path in stale_shards(data, name, block.shards)]
    for path in stale:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {path}")
        if not dry_run:
            remove(path)
    if not stale:
        typer.echo(f"{data}: no shards but those of {config}")


@app.command("check-config")
def check_config(config: ConfigFile = Path("config.yaml")) -> None:
    """Check a configuration file; report the first error in one line."""
    from segdepth.steps.check_config import check_config as check

    check(load_config(config))
    typer.echo(f"{config}: fine")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of config.yaml, with defaults and limits."""
    typer.echo(json_schema(), nl=False)
