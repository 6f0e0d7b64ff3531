"""What a crystal is: a structure, a zone axis and the direction along x, and all that follows from them.

The package's function ``segdepth.crystal(...)`` has the name of this room: the room can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from segdepth.crystal.columns import Columns, lattice_columns
from segdepth.crystal.crystal import Column, Crystal, Reflection
from segdepth.crystal.reading import load_crystal

__all__ = ["Column", "Columns", "Crystal", "Reflection", "lattice_columns", "load_crystal"]


class _Room(ModuleType):
    def __call__(self, *given: Any, **options: Any) -> Crystal:
        """``segdepth.public.crystal``."""
        from segdepth.public import crystal

        return crystal(*given, **options)


sys.modules[__name__].__class__ = _Room
