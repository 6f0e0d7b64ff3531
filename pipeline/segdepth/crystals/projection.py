"""A structure seen along an axis: from a unit cell to projected columns, periods and reflections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from segdepth.crystals.crystal import Column, Crystal, Reflection, direction
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError

SAME = 1e-6
"""Fractional coordinates that differ by less are equal."""

DIGITS = 10
"""Decimals of a place in the projected cell, so that 0.25 is 0.25 whatever the rotation's rounding."""

LARGEST_INDEX = 24
"""Largest index of a lattice direction."""

LEAST_STRENGTH = 0.25
WANTED_REFLECTIONS = 4
MOST_ATOMS = 500
"""Largest number of atoms in a unit cell; the search of its translations grows with the number's cube."""

NEAREST_PM = 50.0
"""Columns that are nearer to each other in projection cannot be labelled."""


@dataclass(frozen=True)
class Structure:
    """A unit cell: ``cell`` has the lattice vectors as rows, pm; ``atoms`` the element and the fractional place."""

    formula: str
    cell: np.ndarray
    atoms: Sequence[tuple[str, tuple[float, float, float]]]
    debye_waller_pm: Mapping[str, float]


def project(structure: Structure, zone_axis: Sequence[int], x_axis: Sequence[int], name: str) -> Crystal:
    """The crystal along ``zone_axis`` with ``x_axis`` along the image's x.

    Raises
    ------
    ConfigError
        The unit cell is too large, the axes are not perpendicular, no lattice direction is perpendicular to both, the
        atoms of a column are spaced unevenly along the beam, or two columns are too near to each other.
    """
    key = f"crystals.{name}"
    if len(structure.atoms) > MOST_ATOMS:
        raise ConfigError(f"{key}.structure: its unit cell has {len(structure.atoms)} atoms; at most {MOST_ATOMS}")
    zone_axis, x_axis = ([i // math.gcd(*axis) for i in axis] for axis in (zone_axis, x_axis))
    beam, along_x = (np.asarray(axis) @ structure.cell for axis in (zone_axis, x_axis))
    if abs(beam @ along_x) > 1e-6 * np.linalg.norm(beam) * np.linalg.norm(along_x):
        raise ConfigError(
            f"{key}.x_axis: got {direction(tuple(x_axis))}, which is not perpendicular to the zone axis "
            f"{direction(tuple(zone_axis))}"
        )
    y_axis = _indices_along(np.cross(beam, along_x), structure.cell)
    if y_axis is None:
        raise ConfigError(
            f"{key}.zone_axis: got {direction(tuple(zone_axis))}; no lattice direction with indices up to "
            f"{LARGEST_INDEX} is perpendicular to it and to x_axis {direction(tuple(x_axis))}, so that the projected "
            "cell is no rectangle; choose other axes"
        )
    axes = [tuple(int(i) for i in x_axis), y_axis, tuple(int(i) for i in zone_axis)]
    centring = _centring(structure)
    vectors = [_period(axis, centring) @ structure.cell for axis in axes]
    periods = tuple(math.sqrt(float(vector @ vector)) for vector in vectors)
    places = _in_cell(structure, vectors, periods)
    columns = tuple(_columns(places, key))
    crystal = Crystal(
        name=name,
        formula=structure.formula,
        zone_axis=axes[2],
        x_axis=axes[0],
        y_axis=axes[1],
        periods_pm=periods,
        columns=columns,
        reflections=tuple(_reflections(columns, vectors, periods, structure.cell, key)),
        debye_waller_pm=dict(structure.debye_waller_pm),
    )
    first, second = np.unravel_index(crystal.distances_pm.argmin(), crystal.distances_pm.shape)
    if crystal.nearest_column_pm < NEAREST_PM:
        raise ConfigError(
            f"{key}.zone_axis: columns of {columns[first].label} and {columns[second].label} are "
            f"{crystal.nearest_column_pm:.0f} pm apart in projection, at least {NEAREST_PM:g} pm are needed; choose "
            "another zone axis"
        )
    return crystal


def _indices_along(vector: np.ndarray, cell: np.ndarray) -> tuple[int, int, int] | None:
    """Smallest whole lattice indices along a Cartesian vector; None if there are none below ``LARGEST_INDEX``."""
    fractions = vector @ np.linalg.inv(cell)
    fractions = fractions / np.abs(fractions).max()
    for factor in range(1, LARGEST_INDEX + 1):
        whole = np.rint(factor * fractions)
        if np.abs(factor * fractions - whole).max() < 1e-4:
            return tuple(int(i) for i in whole)
    return None


def _centring(structure: Structure) -> list[np.ndarray]:
    """Lattice translations within the unit cell, (0, 0, 0) among them, as fractions."""
    by_element: dict[str, np.ndarray] = {}
    for element in {symbol for symbol, _ in structure.atoms}:
        by_element[element] = np.array([place for symbol, place in structure.atoms if symbol == element])
    rarest = min(by_element.values(), key=len)
    return [shift for shift in rarest - rarest[0] if all(_maps(places, shift) for places in by_element.values())]


def _maps(places: np.ndarray, shift: np.ndarray) -> bool:
    """Whether a translation takes each place to one of them."""
    off = places[:, None, :] + shift - places[None, :, :]
    return bool((np.abs(off - np.rint(off)).max(axis=2) < 1e-4).any(axis=1).all())


def _period(axis: Sequence[int], centring: Sequence[np.ndarray]) -> np.ndarray:
    """The shortest lattice vector along an axis, as fractions of the unit cell."""
    whole = np.asarray(axis) / math.gcd(*axis)
    for share in sorted({Fraction(n, d) for d in range(1, 13) for n in range(1, d + 1)}):
        vector = float(share) * whole
        for shift in centring:
            off = vector - shift
            if np.abs(off - np.rint(off)).max() < 1e-4:
                return vector
    return whole


def _in_cell(
    structure: Structure, vectors: Sequence[np.ndarray], periods: Sequence[float]
) -> list[tuple[str, float, float, float]]:
    """Element and place, in fractions of the periods, of every atom in the projected cell."""
    axes = np.stack([vector / period for vector, period in zip(vectors, periods)])
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ np.stack(vectors)
    reach = corners @ np.linalg.inv(structure.cell)
    low, high = np.floor(reach.min(0)).astype(int) - 1, np.ceil(reach.max(0)).astype(int) + 1
    shifts = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high)), indexing="ij"), -1).reshape(-1, 3)
    found: dict[tuple, tuple[str, float, float, float]] = {}
    for element, place in structure.atoms:
        along = (np.asarray(place) + shifts) @ structure.cell @ axes.T / np.asarray(periods)
        along = along[((along > -SAME) & (along < 1 - SAME)).all(1)]
        for x, y, z in (np.round(along, DIGITS) + 0.0).tolist():
            found[element, round(x, 5), round(y, 5), round(z, 5)] = element, max(x, 0.0), max(y, 0.0), max(z, 0.0)
    return list(found.values())


def _columns(places: Sequence[tuple[str, float, float, float]], key: str) -> list[Column]:
    """Atoms above each other as columns; the heaviest element first, then by y and x."""
    groups: dict[tuple[float, float], list[tuple[str, float]]] = {}
    for element, x, y, z in places:
        near = next((p for p in groups if abs(p[0] - x) < 1e-4 and abs(p[1] - y) < 1e-4), (x, y))
        groups.setdefault(near, []).append((element, z))
    columns = []
    for (x, y), atoms in groups.items():
        counted = max((symbol for symbol, _ in atoms), key=ATOMIC_NUMBER.__getitem__)
        heights = sorted(z for symbol, z in atoms if symbol == counted)
        step = 1 / len(heights)
        if max(abs(z - heights[0] - n * step) for n, z in enumerate(heights)) > 1e-4:
            raise ConfigError(
                f"{key}.zone_axis: the {counted} atoms of a column are spaced unevenly along the beam, which is not "
                "supported; choose another zone axis"
            )
        above = [(symbol, round((z - heights[0]) % step, DIGITS)) for symbol, z in atoms if symbol != counted]
        lighter = sorted(set(above), key=lambda atom: (atom[1], atom[0]))
        if len(above) != len(lighter) * len(heights):
            raise ConfigError(
                f"{key}.zone_axis: the lighter atoms of a {counted} column do not repeat with its {counted} atoms, "
                "which is not supported; choose another zone axis"
            )
        columns.append(Column(counted, x, y, heights[0], len(heights), tuple(lighter)))
    return sorted(columns, key=lambda c: (-ATOMIC_NUMBER[c.element], c.y, c.x))


def _weight(column: Column) -> float:
    """Atomic numbers of a column's atoms in a period."""
    each = ATOMIC_NUMBER[column.element] + sum(ATOMIC_NUMBER[symbol] for symbol, _ in column.companions)
    return column.per_period * each


def _reflections(
    columns: Sequence[Column], vectors: Sequence[np.ndarray], periods: Sequence[float], cell: np.ndarray, key: str
) -> list[Reflection]:
    """Those of at least ``LEAST_STRENGTH``, by falling spacing: ``WANTED_REFLECTIONS`` and what is spaced alike."""
    total = sum(map(_weight, columns))
    candidates = []
    for h in range(5):
        for k in range(-4, 5):
            if h > 0 or k > 0:
                waves = [_weight(c) * np.exp(2j * np.pi * (h * c.x + k * c.y)) for c in columns]
                candidates.append((h, k, float(abs(sum(waves)) / total), np.hypot(h / periods[0], k / periods[1])))
    strong = sorted((c for c in candidates if c[2] >= LEAST_STRENGTH), key=lambda c: (round(c[3], 9), -c[0], -c[1]))
    chosen: list[Reflection] = []
    last = 0.0
    for h, k, strength, length in strong:
        flat = all(r.order[0] * k == r.order[1] * h for r in chosen)
        if len(chosen) >= WANTED_REFLECTIONS and length > 1.01 * last and not flat:
            break
        g = h * vectors[0] / periods[0] ** 2 + k * vectors[1] / periods[1] ** 2
        chosen.append(Reflection(_miller(cell @ g), (h, k), round(strength, 6)))
        last = length
    if len({r.order[0] * chosen[0].order[1] == r.order[1] * chosen[0].order[0] for r in chosen}) < 2:
        raise ConfigError(f"{key}.zone_axis: shows strong reflections in one direction only; choose another zone axis")
    return chosen


def _miller(indices: np.ndarray) -> str:
    whole = [int(i) for i in np.rint(indices)]
    return ("" if all(abs(i) < 10 for i in whole) else " ").join(str(i) for i in whole)
