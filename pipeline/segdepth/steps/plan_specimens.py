"""The plan of a specimen block: ``plan.csv``, one row a structure."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

from segdepth.config import NAME_PATTERN, CrystalBlock, Specimen
from segdepth.crystals import Crystal, load_crystal
from segdepth.crystals.reading import known_structures
from segdepth.errors import ConfigError
from segdepth.specimen.checks import check_specimen
from segdepth.specimen.frame_facts import crystal_text
from segdepth.specimen.plan import plan_table
from segdepth.steps.atoms_files import PLAN_COMMAND
from segdepth.store.manifest import write_artefact
from segdepth.store.shards import stale_shards


def plan_specimens(
    specimen: Specimen, crystal: CrystalBlock, name: str, root_seed: int, out: Path, *, code: str
) -> list[Path]:
    """Write ``plan.csv``; returns the shards that another shard size left over, without removing them.

    They are looked for only if ``out`` is ``<data>/specimens/<name>/plan.csv``.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"--name: got {name!r}; a name has letters, digits, _ and -, and begins with one of the first two"
        )
    loaded = load_crystal(crystal, specimen.crystal)
    check_specimen(f"specimens.{name}", specimen, loaded)
    text = StringIO()
    plan_table(specimen, loaded, name, root_seed).to_csv(text, index=False, lineterminator="\n")
    with write_artefact(
        out,
        command=PLAN_COMMAND,
        code=code,
        inputs=structure_files(crystal),
        parameters=plan_parameters(specimen, loaded, name),
        seeds={"root_seed": root_seed},
    ) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    if out.parent.parent.name == "specimens" and out.parent.name == name:
        return stale_shards(out.parent.parent.parent, name, specimen.shards)
    return []


def plan_parameters(specimen: Specimen, crystal: Crystal, name: str) -> dict[str, Any]:
    """Parameters in the manifest of a plan, and of a shard that is built from it."""
    return {
        "specimen": specimen.model_dump(mode="json"),
        "crystal": json.loads(crystal_text(crystal)),
        "name": name,
    }


def structure_files(crystal: CrystalBlock) -> list[Path]:
    """The file that a crystals block names, if it is no known structure."""
    return [] if crystal.structure in known_structures() else [Path(crystal.structure)]
