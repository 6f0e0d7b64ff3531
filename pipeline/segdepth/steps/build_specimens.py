"""From the plan to atoms: one extxyz file a shard, ASE frames in Å, ``info`` with id and seed."""

from __future__ import annotations

from pathlib import Path

import ase.io
from tqdm import tqdm

from segdepth.config import Specimen
from segdepth.errors import StoreError
from segdepth.specimen.plan import read_plan, shard_rows
from segdepth.specimen.wedge import build_wedge
from segdepth.store.manifest import read_manifest, writing


def build_specimens(block: Specimen, name: str, root_seed: int, shard: int, plan: Path, out: Path, code: str) -> None:
    """Build the structures of one shard of a plan and write them to ``out``."""
    rows = shard_rows(read_plan(plan), shard)
    planned, given = read_manifest(plan), {"specimen": block.model_dump(mode="json"), "name": name}
    if planned["parameters"] != given or planned["seeds"] != {"root_seed": root_seed}:
        raise StoreError(f"{plan}: was made for another specimen block, name or root_seed than those given here")
    frames = [
        build_wedge(row, block, name, root_seed)
        for row in tqdm(rows.to_dict("records"), desc=f"atoms of {name}, shard {shard}", unit="structure")
    ]
    with writing(
        out,
        command="build-specimens",
        code=code,
        inputs=[plan],
        parameters={"specimen": block.model_dump(mode="json"), "name": name, "shard": shard},
        seeds={"root_seed": root_seed, "structures": {row["id"]: int(row["seed"]) for _, row in rows.iterrows()}},
    ) as partial:
        ase.io.write(partial, frames, format="extxyz")
