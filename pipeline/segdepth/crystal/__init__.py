"""What a crystal is: a structure, a zone axis and the direction along x, and all that follows from them."""

from segdepth.crystal.columns import Columns, lattice_columns
from segdepth.crystal.crystal import Column, Crystal, Reflection
from segdepth.crystal.reading import load_crystal

__all__ = ["Column", "Columns", "Crystal", "Reflection", "lattice_columns", "load_crystal"]
