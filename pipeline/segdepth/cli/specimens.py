"""Atomic models and their depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Name, Out, Seed, read_block
from segdepth.config import CrystalBlock, Labels, Specimen
from segdepth.store.code_hash import code_hash


@app.command("plan-specimens")
def plan_specimens(specimen: BlockText, crystal: BlockText, name: Name, out: Out, root_seed: Seed = 0) -> None:
    """Draw the parameters of each structure: plan.csv, one row per structure."""
    from segdepth.steps.plan_specimens import plan_specimens as step

    blocks = read_block(Specimen, specimen), read_block(CrystalBlock, crystal)
    stale = step(*blocks, name, root_seed, out, code=code_hash("plan-specimens"))
    if stale:
        typer.echo(
            f"{len(stale)} files and folders of another shard size are left, the first is {stale[0]}; "
            "segdepth clean-shards removes them"
        )


@app.command("build-specimens")
def build_specimens(
    specimen: BlockText,
    crystal: BlockText,
    name: Name,
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    shard: Annotated[int, typer.Option(min=0, help="number of the shard")],
    out: Out,
    root_seed: Seed = 0,
) -> None:
    """Build the atoms of one shard of a plan (extxyz, Å)."""
    from segdepth.steps.build_specimens import build_specimens as step

    blocks = read_block(Specimen, specimen), read_block(CrystalBlock, crystal)
    step(*blocks, name, root_seed, shard, plan, out, code=code_hash("build-specimens"))


@app.command("project-depth")
def project_depth(
    atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz, or any extxyz")], labels: BlockText, out: Out
) -> None:
    """Make depth maps, loss weights and the table of columns of a shard of atoms (Zarr)."""
    from segdepth.steps.project_depth import project_depth as step

    step(read_block(Labels, labels), atoms, out, code=code_hash("project-depth"))
