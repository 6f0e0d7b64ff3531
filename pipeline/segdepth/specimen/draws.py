"""Random numbers of one structure's geometry: a stream for each purpose, so that one kind of draw does not affect
another.

The stream "geometry" itself draws the surface line and the missing atoms of the upright cell. All else has a stream
beside it, and columns outside the upright cell draw after those inside: a structure keeps its terraces and its defects
when it is turned or tilted, or when another kind of defect is switched on.
"""

from __future__ import annotations

import numpy as np

from segdepth.seeds import structure_rng

PURPOSES = {
    "terraces left": 1,
    "terraces right": 2,
    "missing outside": 3,
    "added": 4,
    "shift": 5,
    "vacancies": 6,
    "companion vacancies": 7,
    "outline": 8,
    "face roughness": 9,
    "carbon": 10,
}


class GeometryDraws:
    """The streams of one structure.

    Parameters
    ----------
    root_seed, name, index : the config's seed, the specimen block's name, the structure's index.
    core : for each column, whether it stands in the cell of the upright crystal.
    """

    def __init__(self, root_seed: int, name: str, index: int, core: np.ndarray) -> None:
        self._key = (root_seed, name, index, "geometry")
        self._core = core
        self.main = structure_rng(*self._key)

    def stream(self, purpose: str) -> np.random.Generator:
        """A fresh generator for one of ``PURPOSES``."""
        return structure_rng(*self._key, PURPOSES[purpose])

    def by_column(self, inside: np.random.Generator, outside: np.random.Generator, *shape: int) -> np.ndarray:
        """Uniform numbers in [0, 1), of ``shape`` for each column: those of the upright cell first."""
        values = np.empty((self._core.size, *shape))
        values[self._core] = inside.random((int(self._core.sum()), *shape))
        values[~self._core] = outside.random((int((~self._core).sum()), *shape))
        return values

    def for_purpose(self, purpose: str, *shape: int) -> np.ndarray:
        """``by_column`` from the stream of one purpose."""
        rng = self.stream(purpose)
        return self.by_column(rng, rng, *shape)
