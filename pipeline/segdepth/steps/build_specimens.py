"""From the plan to atoms: one extxyz file a shard, ASE frames in Å; ``info`` as ``specimen.frame_facts`` reads it."""

from __future__ import annotations

from pathlib import Path

import ase.io
from tqdm import tqdm

from segdepth.config import CrystalBlock, Specimen
from segdepth.crystals import load_crystal
from segdepth.errors import StoreError
from segdepth.specimen.plan import shard_rows
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.atoms_files import ATOMS_COMMAND, read_plan
from segdepth.steps.plan_specimens import plan_parameters, structure_files
from segdepth.store.manifest import read_manifest, write_artefact


def build_specimens(
    specimen: Specimen,
    crystal: CrystalBlock,
    name: str,
    root_seed: int,
    shard: int,
    plan: Path,
    out: Path,
    *,
    code: str,
) -> None:
    """Build the structures of one shard of a plan and write them to ``out``.

    Raises
    ------
    StoreError
        The plan was made of other blocks, has no such shard, or is not whole.
    """
    rows = shard_rows(read_plan(plan), shard)
    loaded = load_crystal(crystal, specimen.crystal)
    parameters, planned = plan_parameters(specimen, loaded, name), read_manifest(plan)
    if planned["parameters"] != parameters or planned["seeds"] != {"root_seed": root_seed}:
        raise StoreError(f"{plan}: was made for another specimen block, crystal, name or root_seed than those given")
    frames = [
        build_wedge(row, specimen, loaded, name, root_seed)
        for row in tqdm(rows.to_dict("records"), desc=f"atoms of {name}, shard {shard}", unit="structure")
    ]
    with write_artefact(
        out,
        command=ATOMS_COMMAND,
        code=code,
        inputs=[plan, *structure_files(crystal)],
        parameters=parameters | {"shard": shard},
        seeds={"root_seed": root_seed, "structures": dict(zip(rows["id"], rows["seed"].tolist()))},
    ) as partial:
        ase.io.write(partial, frames, format="extxyz")
