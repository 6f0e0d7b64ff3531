"""Atomic models and their depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdepth.cli.app import app
from segdepth.cli.options import BlockText, Name, Out, Seed, read_block
from segdepth.config import Labels, Specimen
from segdepth.store.code import code_hash


@app.command("plan-specimens")
def plan_specimens(specimen: BlockText, name: Name, out: Out, root_seed: Seed = 0) -> None:
    """Draw what each structure is to be: one row of plan.csv a structure. Removes shards of another shard size."""
    from segdepth.specimen.plan import plan_specimens as job

    removed = job(read_block(Specimen, specimen), name, root_seed, out, code_hash("segdepth.specimen.plan"))
    if removed:
        typer.echo(f"removed {len(removed)} files and folders of another shard size, the first is {removed[0]}")


@app.command("build-specimens")
def build_specimens(
    specimen: BlockText,
    name: Name,
    plan: Annotated[Path, typer.Option(help="plan.csv")],
    shard: Annotated[int, typer.Option(min=0, help="number of the shard")],
    out: Out,
    root_seed: Seed = 0,
) -> None:
    """Build the atoms of one shard of a plan (extxyz, Å)."""
    from segdepth.steps.build_specimens import build_specimens as job

    block = read_block(Specimen, specimen)
    job(block, name, root_seed, shard, plan, out, code_hash("segdepth.steps.build_specimens"))


@app.command("project-depth")
def project_depth(atoms: Annotated[Path, typer.Option(help="shard-NNN.extxyz")], labels: BlockText, out: Out) -> None:
    """Depth maps, loss weights and the column table of a shard of atoms (Zarr)."""
    from segdepth.labels.depth import project_depth as job

    job(read_block(Labels, labels), atoms, out, code_hash("segdepth.labels.depth"))
