"""A crystal as it is seen along its zone axis: projected columns, periods, reflections.

The image's x lies along ``x_axis``, its y along ``y_axis`` (zone axis × x axis), the beam along the zone axis. Places
are fractions of the periods along these three, which are perpendicular to each other; the projected cell may hold more
than one lattice point.

A column with atoms of several elements is called by its heaviest element, and its count is the number of that element's
atoms; the lighter ones are built and simulated with them (``companions``), but not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from segdepth.crystals.elements import ATOMIC_NUMBER

BOND_MARGIN = 1.05
"""Neighbours up to so many times the least distance are bonded."""


@dataclass(frozen=True)
class Column:
    """One column of the projected cell.

    Parameters
    ----------
    element : the heaviest one, which is counted.
    x, y : place, fractions of the periods along x and y, in [0, 1).
    z : height of the first counted atom, fraction of the period along the beam, in [0, 1).
    per_period : counted atoms in a period, evenly spaced.
    companions : lighter atoms that each counted atom brings along: element and height above it, in periods.
    """

    element: str
    x: float
    y: float
    z: float
    per_period: int = 1
    companions: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str:
        """``O``, or ``Ti-O`` for a mixed column."""
        lighter = dict.fromkeys(symbol for symbol, _ in self.companions)
        return "-".join([self.element, *lighter])


@dataclass(frozen=True)
class Reflection:
    """A reflection of the zone.

    Parameters
    ----------
    name : Miller indices, ``1-11``.
    order : (h, k), waves per projected period along x and y.
    strength : modulus of the projected structure factor over that of the forward beam, with atomic numbers for
        scattering factors.
    """

    name: str
    order: tuple[int, int]
    strength: float


@dataclass(frozen=True)
class Crystal:
    """A crystal in projection along its zone axis.

    ``periods_pm`` are along the image's x, its y and the beam. ``debye_waller_pm`` is the rms vibration along an axis
    by element (empty if not known).
    """

    name: str
    formula: str
    zone_axis: tuple[int, int, int]
    x_axis: tuple[int, int, int]
    y_axis: tuple[int, int, int]
    periods_pm: tuple[float, float, float]
    columns: tuple[Column, ...]
    reflections: tuple[Reflection, ...]
    debye_waller_pm: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Counted elements, the heaviest first."""
        return tuple(sorted({c.element for c in self.columns}, key=ATOMIC_NUMBER.__getitem__, reverse=True))

    @cached_property
    def four_fold(self) -> bool:
        """Whether a quarter turn about the beam takes every column to one of the same element."""
        x, y, _ = self.periods_pm
        if abs(x / y - 1) > 1e-6:
            return False
        places = {(c.label, round(c.x, 4) % 1, round(c.y, 4) % 1) for c in self.columns}
        first = self.columns[0]
        for other in self.columns:  # the axis may go through any column of the first one's kind, or between
            turned = {
                (label, round((other.x - (y - first.y)) % 1, 4) % 1, round((other.y + (x - first.x)) % 1, 4) % 1)
                for label, x, y in places
            }
            if turned == places:
                return True
        return False

    @cached_property
    def all_elements(self) -> tuple[str, ...]:
        """Those of companions too, the heaviest first."""
        every = {*self.elements, *(symbol for c in self.columns for symbol, _ in c.companions)}
        return tuple(sorted(every, key=ATOMIC_NUMBER.__getitem__, reverse=True))

    @property
    def title(self) -> str:
        """``CeO2 [110]``."""
        return f"{self.formula} {direction(self.zone_axis)}"

    @property
    def row_pm(self) -> float:
        """Least distance between rows of columns along y: the height of a step of the surface."""
        places = sorted({column.y for column in self.columns})
        gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + 1])]
        return min(gaps) * self.periods_pm[1]

    @cached_property
    def distances_pm(self) -> np.ndarray:
        """Least distance in projection between columns of each two types, also of a type and itself; (type, type)."""
        shifts = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        off = (self._places[:, None, None] - self._places[None, :, None] + shifts) * self.periods_pm[:2]
        distances = np.hypot(off[..., 0], off[..., 1])
        return np.where(distances > 0, distances, np.inf).min(axis=2)

    @property
    def nearest_column_pm(self) -> float:
        """Least distance between two columns in projection."""
        return float(self.distances_pm.min())

    @cached_property
    def bonds(self) -> dict[int, np.ndarray]:
        """For each type of column whose element is not the heaviest, by its position among ``columns``: the columns of
        the heaviest element that hold its nearest neighbours in space, as (x, y) from it in pm."""
        heaviest = [n for n, c in enumerate(self.columns) if c.element == self.elements[0]]
        shifts = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3)])
        found = {}
        for n in set(range(len(self.columns))) - set(heaviest):
            flat = ((self._places[heaviest, None] + shifts - self._places[n]) * self.periods_pm[:2]).reshape(-1, 2)
            rise = np.empty(len(heaviest))
            for row, other in enumerate(self.columns[m] for m in heaviest):
                steps = other.z - self.columns[n].z + np.arange(-2, 3, 1 / other.per_period)
                rise[row] = np.abs(steps).min() * self.periods_pm[2]
            distance = np.hypot(np.hypot(*flat.T), np.repeat(rise, len(shifts)))
            found[n] = flat[distance <= BOND_MARGIN * distance.min()]
        return found

    @property
    def border_pm(self) -> float:
        """Half the longest projected period, or more: as far as any column that a column is bonded to, 1 % to spare."""
        return max([0.5 * max(self.periods_pm[:2]), *(1.01 * float(np.hypot(*b.T).max()) for b in self.bonds.values())])

    @cached_property
    def _places(self) -> np.ndarray:
        return np.array([(c.x, c.y) for c in self.columns])

    @cached_property
    def by_name(self) -> dict[str, Reflection]:
        return {reflection.name: reflection for reflection in self.reflections}

    def frequency(self, reflection: str) -> tuple[float, float]:
        """(x, y) in 1/pm of a reflection in the upright crystal."""
        h, k = self.by_name[reflection].order
        return h / self.periods_pm[0], k / self.periods_pm[1]

    def spacing_pm(self, reflection: str) -> float:
        """d of a reflection."""
        return float(1 / np.hypot(*self.frequency(reflection)))

    @property
    def reflection_pair(self) -> tuple[str, str]:
        """The two widest-spaced reflections that are not parallel, for the search of the lattice."""
        first = self.reflections[0]
        for other in self.reflections[1:]:
            if first.order[0] * other.order[1] != first.order[1] * other.order[0]:
                return first.name, other.name
        raise AssertionError(
            "a projected crystal has reflections in two directions"
        )  # ensured by ``projection.project``

    def facet_slope(self, reflection: str | None = None) -> float:
        """Slope, against the image's x, of the planes of a reflection; without a name, of the first inclined one."""
        inclined = [r for r in self.reflections if all(r.order)] or [Reflection("", (1, 1), 0.0)]
        h, k = (self.by_name[reflection] if reflection else inclined[0]).order
        return abs(h) * (self.periods_pm[1] / self.periods_pm[0]) / abs(k) if k else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """The crystal as plain data, for stores and networks."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The crystal of ``to_dict``'s data, also after a conversion to JSON and back.

        Raises
        ------
        KeyError, TypeError, ValueError
            The data are not those of a crystal.
        """
        columns = tuple(
            Column(
                str(c["element"]),
                float(c["x"]),
                float(c["y"]),
                float(c["z"]),
                int(c["per_period"]),
                tuple((str(symbol), float(height)) for symbol, height in c["companions"]),
            )
            for c in data["columns"]
        )
        reflections = tuple(
            Reflection(str(r["name"]), tuple(int(o) for o in r["order"]), float(r["strength"]))
            for r in data["reflections"]
        )
        axes = {name: tuple(int(i) for i in data[name]) for name in ("zone_axis", "x_axis", "y_axis")}
        return cls(
            name=str(data["name"]),
            formula=str(data["formula"]),
            **axes,
            periods_pm=tuple(float(p) for p in data["periods_pm"]),
            columns=columns,
            reflections=reflections,
            debye_waller_pm={str(e): float(u) for e, u in data["debye_waller_pm"].items()},
        )


def direction(axis: tuple[int, int, int]) -> str:
    """``[1-10]``."""
    return "[" + ("" if all(abs(i) < 10 for i in axis) else " ").join(str(i) for i in axis) + "]"
