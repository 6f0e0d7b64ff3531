"""Planes of a crystal that are seen edge-on: the facets that a particle can have in projection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from segdepth.crystals.crystal import Crystal

SAME_PM = 1.0
"""Planes that are nearer to each other are one."""


@dataclass(frozen=True)
class Facet:
    """Planes parallel to the beam: the direction of their normal in the upright crystal, counter-clockwise from +x with
    y up, and the distance between neighbouring planes of columns of the heaviest element."""

    azimuth_deg: float
    spacing_pm: float


def facets_of(crystal: Crystal, family: str) -> tuple[Facet, ...]:
    """The planes of a family, ``{111}`` say, that contain the zone axis, each side by itself, by rising azimuth.

    The family are all permutations and signs of the indices, as in cubic crystals. A plane's normal is g/|g| with
    g · x = (hkl · x axis) / |x axis|, and likewise along y.
    """
    indices = [int(i) for i in family.strip("{}")]
    members = {
        tuple(sign * i for sign, i in zip(signs, order))
        for order in permutations(indices)
        for signs in product((1, -1), repeat=3)
    }
    lengths = _axis_lengths(crystal)
    found = set()
    for plane in members:
        if np.dot(plane, crystal.zone_axis) == 0:
            x, y = (np.dot(plane, axis) / length for axis, length in zip((crystal.x_axis, crystal.y_axis), lengths))
            found.add(round(float(np.degrees(np.arctan2(y, x))) % 360, 6))
    return tuple(Facet(azimuth, _spacing_pm(crystal, azimuth)) for azimuth in sorted(found))


def _axis_lengths(crystal: Crystal) -> tuple[float, float]:
    """Lengths of the lattice directions along x and y: a period is a share of it, which the reflections tell."""
    lengths = []
    for axis, vector in enumerate((crystal.x_axis, crystal.y_axis)):
        reflection = next(r for r in crystal.reflections if r.order[axis])
        waves = float(np.dot(_miller(reflection.name), vector))  # in the whole length
        lengths.append(crystal.periods_pm[axis] * waves / reflection.order[axis])
    return lengths[0], lengths[1]


def _miller(name: str) -> list[int]:
    return [int(i) for i in (name.split() if " " in name else re.findall(r"-?\d", name))]


def _spacing_pm(crystal: Crystal, azimuth_deg: float) -> float:
    """Least distance along a direction between columns of the heaviest element that are not on one plane."""
    angle = np.radians(azimuth_deg)
    shifts = np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4)])
    heaviest = np.array([(c.x, c.y) for c in crystal.columns if c.element == crystal.elements[0]])
    places = (heaviest[:, None] + shifts).reshape(-1, 2) * crystal.periods_pm[:2]
    gaps = np.diff(np.sort(places @ (np.cos(angle), np.sin(angle))))
    return float(gaps[gaps > SAME_PM].min())
