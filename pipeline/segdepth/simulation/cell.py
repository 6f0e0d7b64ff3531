"""The simulated cell: a rectangle seen along the beam.

Sizes (of the cell, orders, points) are one number for a square, or (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from segdepth.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms

Size = TypeVar("Size", int, float)

SAME_SIDE = 1e-6
"""Å: sides that differ by less are those of a square."""


def as_xy(size: Size | Sequence[Size]) -> tuple[Size, Size]:
    """(x, y) of one number for both, or of two numbers."""
    if isinstance(size, int | float):
        return size, size
    x, y = size
    return x, y


def collapse_square(size: Size | Sequence[Size]) -> Size | list[Size]:
    """One number if x and y are equal, else [x, y]; as in stores."""
    x, y = as_xy(size)
    return x if x == y else [x, y]


def sides_pm(atoms: Atoms) -> tuple[float, float]:
    """Sides of the atoms' cell along x and y, pm; see ``sides_angstrom``."""
    x, y = sides_angstrom(atoms)
    return 100 * x, 100 * y


def sides_angstrom(atoms: Atoms) -> tuple[float, float]:
    """Sides of the atoms' cell along x and y, Å.

    Raises
    ------
    ConfigError
        The cell is no box with sides along x, y and z.
    """
    cell = [[float(value) for value in row] for row in atoms.cell]
    x, y, height = (cell[i][i] for i in range(3))
    skew = max(abs(cell[i][j]) for i in range(3) for j in range(3) if i != j)
    finite = all(math.isfinite(value) for row in cell for value in row)
    if not finite or min(x, y) <= 0 or height < 0 or skew > SAME_SIDE:
        rows = ", ".join("[" + ", ".join(f"{value:g}" for value in row) + "]" for row in cell)
        raise ConfigError(f"atoms: the cell must be a box with sides along x, y and z, got {rows} (in Å)")
    return x, x if abs(x - y) < SAME_SIDE else y
