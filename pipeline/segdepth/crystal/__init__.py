"""What a crystal is: a structure, a zone axis and the direction along x, and all that follows from them.

The package's function ``segdepth.crystal(...)`` has the name of this room: the room can be called.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from segdepth.crystal.columns import Columns, lattice_columns
from segdepth.crystal.crystal import Column, Crystal, Reflection
from segdepth.crystal.reading import load_crystal, make_crystal

__all__ = ["Column", "Columns", "Crystal", "Reflection", "lattice_columns", "load_crystal", "make_crystal"]


class _Room(ModuleType):
    def __call__(
        self,
        structure: str,
        zone_axis: Sequence[int],
        x_axis: Sequence[int],
        *,
        lattice_pm: float | None = None,
        debye_waller_pm: Mapping[str, float] | None = None,
    ) -> Crystal:
        """``segdepth.crystal.reading.make_crystal``."""
        return make_crystal(structure, zone_axis, x_axis, lattice_pm=lattice_pm, debye_waller_pm=debye_waller_pm)


sys.modules[__name__].__class__ = _Room
