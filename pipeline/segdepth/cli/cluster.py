"""Commands on clusters: check-cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.config import Config, read_yaml, validate

SLURM = Path("workflow/profiles/slurm")


@app.command("check-cluster")
def check_cluster(
    profiles: Annotated[
        list[Path] | None,
        typer.Argument(help="folder of the profile, or several in the order in which Snakemake gets them"),
    ] = None,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="file that is merged over config.yaml; may be repeated")
    ] = None,
) -> None:
    """Ask SLURM whether a profile's account, partitions and limits are right for a configuration; submit nothing.

    An error is one line and exit status 2.
    """
    from segdepth.cluster.check import check_cluster as check
    from segdepth.cluster.profile import Profile, laid_over

    config = read_yaml("config.yaml")
    for path in configfile or []:
        config = laid_over(config, read_yaml(path))
    checked = validate(Config, config, " with ".join(map(str, ["config.yaml", *(configfile or [])])))
    for line in check(Profile(profiles or [SLURM]), checked, Path.cwd()):
        typer.echo(line)
