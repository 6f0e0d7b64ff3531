"""Frozen phonons: snapshots of vibrating atoms (Einstein model, each atom and axis on its own)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms


def displace_atoms(atoms: Atoms, widths_pm: Mapping[str, float], rng: np.random.Generator) -> Atoms:
    """A copy whose atoms are moved by Gaussian displacements of rms ``widths_pm[element]`` along each axis.

    The average over many potentials of such copies is the potential with the Debye-Waller factor exp(-2π²u²q²).
    """
    widths = np.array([widths_pm[symbol] for symbol in atoms.get_chemical_symbols()]) / 100  # Å
    moved = atoms.copy()
    moved.positions += rng.normal(size=(len(atoms), 3)) * widths[:, None]
    return moved
