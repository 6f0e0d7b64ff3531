"""A block of the section ``crystals`` as a crystal: a known structure, or a file that ASE reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from segdepth.config.crystal import CrystalBlock
from segdepth.config.validation import validate
from segdepth.crystals.crystal import Crystal
from segdepth.crystals.projection import Structure, project
from segdepth.errors import ConfigError


def known_structures() -> tuple[str, ...]:
    """Names that ``structure`` may have besides a file's."""
    return tuple(sorted(p.name.removesuffix(".json") for p in files(__package__).joinpath("data").iterdir()))


def load_crystal(block: CrystalBlock, name: str = "crystal") -> Crystal:
    """The crystal of a block.

    Parameters
    ----------
    name : of the block, for messages and in the crystal.

    Raises
    ------
    ConfigError
        No such structure is known and no such file is there, it cannot be read, or its axes do not suit.
    """
    path = Path(block.structure)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _load(block.as_json(), name, stamp)


@lru_cache(maxsize=64)
def _load(block_json: str, name: str, stamp: int) -> Crystal:
    """``stamp`` is the time of the structure's file, so that an edited file is read anew."""
    block = CrystalBlock.model_validate_json(block_json)
    structure = _known(block) if block.structure in known_structures() else _read(block, f"crystals.{name}.structure")
    if block.debye_waller_pm is not None:
        present = {symbol: None for symbol, _ in structure.atoms}
        if unknown := [element for element in block.debye_waller_pm if element not in present]:
            raise ConfigError(
                f"crystals.{name}.debye_waller_pm: got a value for {unknown[0]}; {structure.formula} has "
                f"{', '.join(present)}"
            )
        structure = Structure(structure.formula, structure.cell, structure.atoms, block.debye_waller_pm)
    return project(structure, block.zone_axis, block.x_axis, name)


def make_crystal(
    structure: str,
    zone_axis: Sequence[int],
    x_axis: Sequence[int],
    *,
    lattice_pm: float | None = None,
    debye_waller_pm: Mapping[str, float] | None = None,
) -> Crystal:
    """A crystal as it is seen along its zone axis: columns, periods, reflections.

    Parameters
    ----------
    structure : a known structure's name, or a file that ASE reads.
    zone_axis : lattice direction along the beam.
    x_axis : lattice direction along the image's x, perpendicular to the zone axis.
    lattice_pm : lattice constant a, to which the structure is scaled.
    debye_waller_pm : rms vibration along an axis by element.

    Raises
    ------
    ConfigError
        The structure is not known or cannot be read, or the axes do not suit.
    """
    given = {"structure": str(structure), "zone_axis": list(zone_axis), "x_axis": list(x_axis)}
    given |= {"lattice_pm": lattice_pm, "debye_waller_pm": None if debye_waller_pm is None else dict(debye_waller_pm)}
    return load_crystal(validate(CrystalBlock, given, "crystal"))


def _known(block: CrystalBlock) -> Structure:
    text = files(__package__).joinpath("data", f"{block.structure}.json").read_text(encoding="utf-8")
    data = json.loads(text)
    scale = block.lattice_pm or data["lattice_pm"]
    atoms = [(str(symbol), (float(x), float(y), float(z))) for symbol, x, y, z in data["atoms"]]
    return Structure(data["formula"], scale * np.array(data["cell"], float), atoms, data["debye_waller_pm"])


def _read(block: CrystalBlock, key: str) -> Structure:
    path = Path(block.structure)
    if not path.is_file():
        raise ConfigError(
            f"{key}: got {block.structure!r}; known structures are {', '.join(known_structures())}, and there is no "
            "such file"
        )
    import ase.io  # slow, and not needed for known structures

    try:
        atoms = ase.io.read(path, index=0)
        cell, places, symbols = 100 * np.asarray(atoms.cell), atoms.get_scaled_positions(), atoms.get_chemical_symbols()
    except Exception as failure:  # ASE raises many kinds; the reader needs one line
        told = " ".join(f"{type(failure).__name__}: {failure}".split())
        raise ConfigError(
            f"{key}: got {block.structure!r}, which ASE cannot read as a structure ({told}); give a CIF, or another "
            "file that ASE reads"
        ) from None
    if not symbols or abs(np.linalg.det(cell)) < 1:
        raise ConfigError(f"{key}: {path} has no unit cell with atoms; give the structure of a crystal")
    if any(max(site.values()) < 1 - 1e-3 for site in atoms.info.get("occupancy", {}).values()):
        raise ConfigError(f"{key}: {path} has sites that are partly occupied; give an ordered structure")
    if "X" in symbols:
        raise ConfigError(f"{key}: {path} has an atom X; each atom must be of a chemical element")
    if block.lattice_pm is not None:
        cell = cell * (block.lattice_pm / np.linalg.norm(cell[0]))
    listed = [(symbol, tuple(map(float, p))) for symbol, p in zip(symbols, places)]
    return Structure(atoms.get_chemical_formula("metal", empirical=True), cell, listed, {})
