"""Commands on clusters: check-cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.config import load_config

SLURM = Path("workflow/profiles/slurm")


@app.command("check-cluster")
def check_cluster(
    profiles: Annotated[
        list[Path] | None,
        typer.Argument(help="the profile, or several in the order in which Snakemake is given them"),
    ] = None,
    config: Annotated[Path, typer.Option(help="the configuration file")] = Path("config.yaml"),
) -> None:
    """Ask SLURM whether a profile's account, partitions and limits are right for a configuration; submit nothing.

    An error is one line and exit status 2.
    """
    from segdepth.cluster.check import check_cluster as check
    from segdepth.cluster.profile import Profile

    for line in check(Profile(profiles or [SLURM]), load_config(config), Path.cwd()):
        typer.echo(line)
