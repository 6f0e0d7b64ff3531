"""Crystals: a structure, a zone axis, the direction along x, and what follows from them."""

from segdepth.crystals.columns import Columns, lattice_columns
from segdepth.crystals.crystal import Column, Crystal, Reflection
from segdepth.crystals.reading import known_structures, load_crystal, make_crystal

__all__ = [
    "Column",
    "Columns",
    "Crystal",
    "Reflection",
    "known_structures",
    "lattice_columns",
    "load_crystal",
    "make_crystal",
]
