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
    moved = atoms.copy()
    moved.positions += rng.normal(size=(len(atoms), 3)) * _widths_angstrom(atoms, widths_pm)[:, None]
    return moved


def displace_in_plane(atoms: Atoms, widths_pm: Mapping[str, float], rng: np.random.Generator) -> Atoms:
    """The same along x and y only, so that every plane of an upright crystal stays one.

    What is left out shifts a plane's wave by a few pm along the beam: it changes the image of coherent wave and
    differences by 0.2 to 0.5 % of the contrast for 12 atoms a column that vibrate by 7 to 9 pm, by 0.5 to 1.2 % at 25
    to 30 pm (the snapshots' own noise is ten times that).
    """
    moved = atoms.copy()
    moved.positions[:, :2] += rng.normal(size=(len(atoms), 2)) * _widths_angstrom(atoms, widths_pm)[:, None]
    return moved


def _widths_angstrom(atoms: Atoms, widths_pm: Mapping[str, float]) -> np.ndarray:
    return np.array([widths_pm[symbol] for symbol in atoms.get_chemical_symbols()]) / 100
