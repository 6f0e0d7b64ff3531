"""The lattice sites of a frame: their cells, places and neighbours, from the lattice's local phases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segdepth.crystals import Crystal
from segdepth.micrograph.columns.local_phases import Nodes
from segdepth.micrograph.columns.reflection_pair import ReflectionPair

STEPS = 3
"""Of the search for a place. Each leaves a share of the error as large as strain and turn: of 4 %, one of 16,000."""

NEIGHBOUR_SPACINGS = 1.7
"""Neighbours stand at most so many times the mean spacing of columns apart."""


@dataclass(frozen=True)
class Lattice:
    """A pair of reflections with the crystal's origin: waves to cells and back.

    pair : the reflections. origin : phases of their components at the cell's origin, in periods. shift : where the
    crystal's origin is, fractions of the periods, of the pair's candidates. corner : whole cells (u, v) = (0, 0).
    """

    pair: ReflectionPair
    origin: tuple[float, float]
    shift: tuple[float, float] = (0.0, 0.0)
    corner: tuple[int, int] = (0, 0)

    @property
    def crystal(self) -> Crystal:
        return self.pair.crystal

    def waves(self, x: np.ndarray, y: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Waves (2, ...) from the cell's origin at places with these phases (2, ...)."""
        ideal = np.tensordot(self.pair.vectors, np.stack(np.broadcast_arrays(x, y)), axes=1)
        return ideal + phase - np.reshape(self.origin, (2, *[1] * (phase.ndim - 1)))

    def cells(self, waves: np.ndarray) -> np.ndarray:
        """Cells (2, ...) along x and y, whole at the crystal's origins."""
        return np.tensordot(np.linalg.inv(self.pair.orders), waves, axes=1) + self._away(waves.ndim)

    def waves_of(self, cells: np.ndarray) -> np.ndarray:
        """Inverse of ``cells``."""
        return np.tensordot(self.pair.orders, cells - self._away(cells.ndim), axes=1)

    def _away(self, dimensions: int) -> np.ndarray:
        return np.subtract(self.shift, self.corner).reshape(2, *[1] * (dimensions - 1))

    @cached_property
    def place_names(self) -> list[str]:
        """Element and number among the cell's places of that element, of each of ``Crystal.columns``."""
        symbols = [c.element for c in self.crystal.columns]
        return [f"{symbol}{symbols[: i + 1].count(symbol)}" for i, symbol in enumerate(symbols)]

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Steps to the neighbours of each type of column, (type, neighbour, 3): cells along x and y, the type there.

        Neighbours are at most ``NEIGHBOUR_SPACINGS`` mean spacings away; rows that are not needed lead to the column.
        """
        periods = np.array(self.crystal.periods_pm[:2])
        places = np.array([(c.x, c.y) for c in self.crystal.columns])
        reach = NEIGHBOUR_SPACINGS * math.sqrt(float(np.prod(periods)) / len(places))
        most = np.ceil(reach / periods).astype(int) + 1
        steps = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 2)
        rows = []
        for place in places:
            off = (places + steps[:, None] - place) * periods
            distance = np.hypot(off[..., 0], off[..., 1])
            step, other = np.nonzero((distance <= reach) & (distance > 0))
            rows.append([(*steps[s], o) for s, o in zip(step, other)])
        longest = max(len(row) for row in rows)
        return np.array([row + [(0, 0, n)] * (longest - len(row)) for n, row in enumerate(rows)])


def find_places(nodes: Nodes, lattice: Lattice, phase: np.ndarray, waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places x and y in pm where the phases (2, node row, node column) make the waves (2, site) what they are."""
    inverse = np.linalg.inv(lattice.pair.vectors)
    wanted = waves + np.reshape(lattice.origin, (2, 1))
    x, y = inverse @ (wanted - phase.mean(axis=(1, 2))[:, None])
    for _ in range(STEPS):
        x, y = inverse @ (wanted - nodes.at(phase, x, y))
    return x, y


@dataclass(frozen=True)
class Sites:
    """Sites that fall on a frame or near it, of all cells in a box: the first cells' columns first, u slowest.

    first : (u, v) of the box's first cell. count : cells along u and v. at : places in cells, (2, site). x, y : places
    in pm, (site,).
    """

    lattice: Lattice
    first: tuple[int, int]
    count: tuple[int, int]
    at: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def on(cls, nodes: Nodes, lattice: Lattice, phase: np.ndarray) -> Sites:
        """Those of a frame with these phases (2, node row, node column) without jumps."""
        cells = lattice.cells(lattice.waves(nodes.x, nodes.y[:, None], phase)).reshape(2, -1)
        first, last = (np.floor(cells.min(axis=1)) - 1).astype(int), np.ceil(cells.max(axis=1)).astype(int)
        count = last - first + 1
        places = np.array([(c.x, c.y) for c in lattice.crystal.columns])
        u, v = (start + np.arange(number) for start, number in zip(first, count))
        along = u[:, None, None] + places[:, 0], v[:, None] + places[:, 1]
        at = np.stack(np.broadcast_arrays(*along)).reshape(2, -1)
        x, y = find_places(nodes, lattice, phase, lattice.waves_of(at))
        return cls(lattice, (int(first[0]), int(first[1])), (int(count[0]), int(count[1])), at, x, y)

    @cached_property
    def column_type(self) -> np.ndarray:
        """Position among ``Crystal.columns`` of each."""
        return np.tile(np.arange(len(self.lattice.crystal.columns)), self.count[0] * self.count[1])

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """u and v of each."""
        places = len(self.lattice.crystal.columns)
        u, v = (start + np.arange(number) for start, number in zip(self.first, self.count))
        return np.repeat(u, self.count[1] * places), np.tile(np.repeat(v, places), self.count[0])

    def names(self, rows: np.ndarray) -> list[str]:
        """``u,v,place`` of the sites in these rows."""
        u, v = self.cells
        places, kind = self.lattice.place_names, self.column_type
        return [f"{u[i]},{v[i]},{places[kind[i]]}" for i in rows.tolist()]

    def neighbours(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the neighbours (row, neighbour) of the sites in these rows; -1 beyond the box."""
        u, v = self.cells
        kind = self.column_type[rows]
        steps = self.lattice.neighbours[kind]
        i, j = (at[rows, None] + steps[..., axis] - self.first[axis] for axis, at in enumerate((u, v)))
        there = (i * self.count[1] + j) * len(self.lattice.crystal.columns) + steps[..., 2]
        itself = (steps[..., :2] == 0).all(axis=-1) & (steps[..., 2] == kind[:, None])
        outside = (i < 0) | (i >= self.count[0]) | (j < 0) | (j >= self.count[1])
        return np.where(outside | itself, -1, there)
