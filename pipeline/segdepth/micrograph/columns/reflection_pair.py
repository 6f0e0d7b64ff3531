"""Two reflections as coordinates of the projected crystal.

The phases of two Fourier components, one for each reflection, determine a position up to the translations that leave
both waves unchanged. Where these are more than the crystal's own translations, several positions in the cell have the
same phases: in SrTiO3 along [001], (110) and (1-10) do not distinguish Sr from Ti-O columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import j1

from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER

DIGITS = 9
"""Decimals of a phase or a place, so that 0.25 is 0.25 whatever the rounding."""

LEAST_SHARE = 0.2
"""Amplitude of a component of the label template over its mean, for the component to be used."""


def _cycle(value: float | np.ndarray) -> np.ndarray:
    """In [0, 1), rounded."""
    return np.round(np.round(value, DIGITS) % 1.0, DIGITS) % 1.0  # 1.39 too gives exactly 0.39


@dataclass(frozen=True)
class PhaseClass:
    """Columns of the cell that have the same phases.

    phases : of both components, in periods. column_types : their positions among ``Crystal.columns``.
    """

    phases: tuple[float, float]
    column_types: tuple[int, ...]


@dataclass(frozen=True)
class ReflectionPair:
    """Two reflections that are not parallel.

    crystal : as seen along its zone axis. names : of the reflections.
    """

    crystal: Crystal
    names: tuple[str, str]

    @cached_property
    def orders(self) -> np.ndarray:
        """(h, k) of each as rows, in waves per projected period."""
        return np.array([self.crystal.by_name[name].order for name in self.names], dtype=float)

    @cached_property
    def vectors(self) -> np.ndarray:
        """(x, y) of each as rows, 1/pm, in the upright crystal."""
        return np.array([self.crystal.frequency(name) for name in self.names])

    def structure_phases(self, weights: list[np.ndarray]) -> tuple[float, float]:
        """Phase, in periods, of each component's structure factor Σ w exp(-2πi g·r).

        Parameters
        ----------
        weights : for each of the two, one value a column of the cell.
        """
        found = []
        for order, weight in zip(self.orders, weights):
            places = np.array([(c.x, c.y) for c in self.crystal.columns])
            total = np.sum(weight * np.exp(-2j * np.pi * places @ order))
            found.append(float(_cycle(np.angle(total) / (2 * np.pi))))
        return found[0], found[1]

    @cached_property
    def classes(self) -> tuple[PhaseClass, ...]:
        """Columns by their phases, in the order of ``Crystal.columns``."""
        groups: dict[tuple[float, float], list[int]] = {}
        for column_type, column in enumerate(self.crystal.columns):
            one, other = _cycle(self.orders @ (column.x, column.y))
            groups.setdefault((float(one), float(other)), []).append(column_type)
        return tuple(PhaseClass(phases, tuple(column_types)) for phases, column_types in groups.items())

    @cached_property
    def translations(self) -> tuple[tuple[float, float], ...]:
        """Fractions of the periods by which the cell can be moved with both waves as they are; (0, 0) first."""
        number = round(abs(float(np.linalg.det(self.orders))))
        inverse = np.linalg.inv(self.orders)
        steps = [(i, j) for i in range(number) for j in range(number)]
        return tuple(sorted({tuple(map(float, _cycle(inverse @ step))) for step in steps}))

    @cached_property
    def candidates(self) -> tuple[tuple[float, float], ...]:
        """The translations that differ by more than one of the crystal's own: places where its origin may be."""
        found: list[tuple[float, float]] = []
        for shift in self.translations:
            if not any(self._maps(np.subtract(shift, other)) for other in found):
                found.append(shift)
        return tuple(found)

    @cached_property
    def own_translations(self) -> tuple[tuple[float, float], ...]:
        """The translations that are the crystal's own."""
        return tuple(shift for shift in self.translations if self._maps(np.array(shift)))

    def _maps(self, shift: np.ndarray) -> bool:
        """Whether a translation takes every column to one of the same element."""
        return all(
            (column_type := self.column_type_at((c.x + shift[0], c.y + shift[1]))) is not None
            and self.crystal.columns[column_type].label == c.label
            for c in self.crystal.columns
        )

    def column_type_at(self, place: tuple[float, float]) -> int | None:
        """The column type at a position in fractions of the periods; None if there is no column."""
        for column_type, column in enumerate(self.crystal.columns):
            off = np.subtract(place, (column.x, column.y))
            if np.abs(off - np.rint(off)).max() < 1e-4:
                return column_type
        return None


def image_pair(crystal: Crystal) -> tuple[ReflectionPair, tuple[float, float]]:
    """The pair for micrographs, and the phases of its components at the cell's origin where columns are bright.

    Scattering strengths are atomic numbers.
    """
    pair = ReflectionPair(crystal, crystal.reflection_pair)
    strength = np.array(
        [
            c.per_period * (ATOMIC_NUMBER[c.element] + sum(ATOMIC_NUMBER[symbol] for symbol, _ in c.companions))
            for c in crystal.columns
        ],
        dtype=float,
    )
    return pair, pair.structure_phases([strength, strength])


def _disc(radius: np.ndarray, g: float) -> np.ndarray:
    """Fourier transform of discs at the frequency ``g``; 1/pm and pm."""
    return radius * j1(2 * np.pi * g * radius) / g


def template_pair(crystal: Crystal, radius_pm: Mapping[str, float]) -> tuple[ReflectionPair, tuple[float, float]]:
    """The pair for depth maps, and the phases of its components at the cell's origin.

    The label template is a disc at every column with the core radius of its element, as high as the column has atoms a
    period. Its two widest-spaced reflections that are not parallel and are strong enough are taken; they are the
    reflection pair of the images unless radii make these vanish.

    Parameters
    ----------
    radius_pm : core radius by element.
    """
    radius = np.array([radius_pm[c.element] for c in crystal.columns], dtype=float)
    height = np.array([c.per_period for c in crystal.columns], dtype=float)
    places = np.array([(c.x, c.y) for c in crystal.columns])
    mean = float(np.sum(height * np.pi * radius**2))
    weights, shares = {}, {}
    for reflection in crystal.reflections:
        weights[reflection.name] = height * _disc(radius, 1 / crystal.spacing_pm(reflection.name))
        total = np.sum(weights[reflection.name] * np.exp(-2j * np.pi * places @ np.array(reflection.order, float)))
        shares[reflection.name] = float(abs(total)) / mean
    strong = [r.name for r in crystal.reflections if shares[r.name] >= LEAST_SHARE]
    by_strength = sorted((r.name for r in crystal.reflections), key=lambda name: -shares[name])
    names = _first_pair(crystal, strong) or _first_pair(crystal, by_strength) or crystal.reflection_pair
    pair = ReflectionPair(crystal, names)
    return pair, pair.structure_phases([weights[name] for name in names])


def _first_pair(crystal: Crystal, names: list[str]) -> tuple[str, str] | None:
    """The first two that are not parallel."""
    for other in names[1:]:
        (a, b), (c, d) = crystal.by_name[names[0]].order, crystal.by_name[other].order
        if a * d != b * c:
            return names[0], other
    return None
