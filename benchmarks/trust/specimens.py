"""Wedges of a crystal at any angle in the plane, with the vacuum where one likes: their atoms and their columns.

The specimens of the training have the crystal upright and the vacuum at large rows. Those here are built in the
camera's frame (x along columns, y along rows, pm from the corner of pixel [0, 0]), the crystal turned in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase import Atoms

from segdepth.crystals import Crystal, lattice_columns
from segdepth.crystals.elements import ATOMIC_NUMBER, SYMBOLS
from segdepth.specimen.faces import faces
from segdepth.specimen.frame_facts import crystal_text

PAD_PM = 200.0
MARGIN_PM = 676.0
"""Crystal that is simulated beyond each side of the frame: the cell is periodic, the turned crystal is not."""

VACUUM = ("left", "top", "right", "bottom", "corner", "two sides", "neighbouring sides", "none")
"""Where the vacuum lies in the frame; ``top`` is row 0."""

NORMALS = {"left": (-1, 0), "top": (0, -1), "right": (1, 0), "bottom": (0, 1)}
MORE = {"two sides": ("left", "right"), "neighbouring sides": ("bottom", "left")}


@dataclass(frozen=True)
class Wedge:
    """What a specimen is made of.

    field_pm : the frame's sides along x and y. rotation_deg : turns the frame so that the crystal is upright, as
    ``FrameTransform`` takes it. vacuum : one of ``VACUUM``. vacuum_share : of the frame's side. edge_deg : turns the
    edge. bulk, surface : thickness in periods, inside and at the edge. decay_pm : 1/e length between them. exit_share :
    of the thinning on the exit face. phase : height of the lattice, periods. origin : of the cell, periods.
    """

    field_pm: tuple[float, float]
    rotation_deg: float
    vacuum: str
    vacuum_share: float
    edge_deg: float
    bulk: float
    surface: float
    decay_pm: float
    exit_share: float
    phase: float
    origin: tuple[float, float]


def draw_wedge(rng: np.random.Generator, rotation_deg: float, vacuum: str, bulk: tuple[float, float]) -> Wedge:
    """A wedge with everything else drawn."""
    return Wedge(
        field_pm=tuple(rng.uniform(5450, 6600, 2)),
        rotation_deg=rotation_deg,
        vacuum=vacuum,
        vacuum_share=float(rng.uniform(0.14, 0.32)),
        edge_deg=float(rng.uniform(-12, 12)),
        bulk=float(rng.uniform(*bulk)),
        surface=float(rng.uniform(1, 3)),
        decay_pm=float(rng.uniform(500, 4000)),
        exit_share=float(rng.uniform(0, 1)),
        phase=float(rng.uniform(0, 1)),
        origin=tuple(rng.uniform(0, 1, 2)),
    )


def inward_pm(wedge: Wedge, x_pm: np.ndarray, y_pm: np.ndarray) -> np.ndarray:
    """Distance below the nearest edge, negative in vacuum. Without vacuum the edge lies 1.2 nm outside of the frame."""
    width, height = wedge.field_pm
    turn = math.radians(wedge.edge_deg)

    def half_plane(normal: tuple[float, float], inset_pm: float) -> np.ndarray:
        n = np.array(normal, float) / np.hypot(*normal)
        reach = (abs(n[0]) * width + abs(n[1]) * height) / 2 - inset_pm
        nx, ny = math.cos(turn) * n[0] - math.sin(turn) * n[1], math.sin(turn) * n[0] + math.cos(turn) * n[1]
        return reach - (x_pm - width / 2) * nx - (y_pm - height / 2) * ny

    share = wedge.vacuum_share
    if wedge.vacuum == "none":
        return half_plane((0, 1), -1200 - 0.25 * height)
    if wedge.vacuum == "corner":
        return half_plane((-1, -1), 2.2 * share * min(width, height))
    names = MORE.get(wedge.vacuum, (wedge.vacuum,))
    share *= 1 if len(names) == 1 else 0.7
    sides = [half_plane(NORMALS[n], share * (height if n in ("top", "bottom") else width)) for n in names]
    return np.minimum.reduce(sides)


def build(wedge: Wedge, crystal: Crystal) -> tuple[Atoms, pd.DataFrame]:
    """Atoms in Å for ``segdepth.simulate``, and the columns in the frame's coordinates: ``x_pm``, ``y_pm``,
    ``element``, ``depth``; those up to 100 pm outside of the frame too."""
    sides = np.array(wedge.field_pm) + 2 * MARGIN_PM
    reach = float(np.hypot(*sides))
    origin = tuple(o * p for o, p in zip(wedge.origin, crystal.periods_pm))
    columns = lattice_columns(crystal, reach, reach, origin)
    turn = math.radians(-wedge.rotation_deg)
    u, v = columns.x_pm - reach / 2, columns.y_pm - reach / 2
    x = math.cos(turn) * u - math.sin(turn) * v + sides[0] / 2
    y = math.sin(turn) * u + math.cos(turn) * v + sides[1] / 2
    inward = inward_pm(wedge, x - MARGIN_PM, y - MARGIN_PM)
    inside = (x >= 0) & (x < sides[0]) & (y >= 0) & (y < sides[1]) & (inward >= 0)
    below = np.maximum(inward, 0)
    entrance, exit_ = faces(below, wedge.bulk, wedge.surface, wedge.exit_share, wedge.decay_pm, wedge.decay_pm)
    per = np.array([c.per_period for c in crystal.columns])[columns.column_type]
    offset = columns.z_offset + wedge.phase
    first, last = (np.ceil((face - offset) * per).astype(int) for face in (entrance, exit_))
    count = np.where(inside, np.maximum(last - first, 0), 0)
    atoms = _atoms(wedge, crystal, sides, (x, y), (first, count, offset, per), columns)
    symbols = np.array([SYMBOLS[number] for number in columns.atomic_number])
    table = pd.DataFrame({"x_pm": x - MARGIN_PM, "y_pm": y - MARGIN_PM, "element": symbols, "depth": count})
    near = table["x_pm"].between(-100, wedge.field_pm[0] + 100) & table["y_pm"].between(-100, wedge.field_pm[1] + 100)
    return atoms, table[near & (table["depth"] > 0)].reset_index(drop=True)


def _atoms(wedge, crystal, sides, places, sites, columns) -> Atoms:
    """The atoms on the sites (first site, their number, height of site 0, sites a period) of each column."""
    first, count, offset, per = sites
    owner = np.repeat(np.arange(count.size), count)
    rank = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    z = ((first[owner] + rank) / per[owner] + offset[owner]) * crystal.periods_pm[2]
    parts = [(owner, columns.atomic_number[owner], z)]
    for kind, one in enumerate(crystal.columns):
        mine = columns.column_type[owner] == kind
        for symbol, above in one.companions:
            number = np.full(int(mine.sum()), ATOMIC_NUMBER[symbol])
            parts.append((owner[mine], number, z[mine] + above * crystal.periods_pm[2]))
    owner, number, z = (np.concatenate(values) for values in zip(*parts))
    lift = PAD_PM - z.min(initial=0)
    height = z.max(initial=0) + lift + PAD_PM
    positions = np.stack([places[0][owner], places[1][owner], z + lift], axis=1)
    atoms = Atoms(numbers=number, positions=positions / 100, cell=np.array([*sides, height]) / 100)
    atoms.pbc = (True, True, False)
    atoms.set_array("column", owner)
    atoms.info = {
        "exit_face_pm": float(wedge.bulk * crystal.periods_pm[2] + lift),
        "field_pm": list(wedge.field_pm),
        "margin_pm": MARGIN_PM,
        "crystal": crystal_text(crystal),
    }
    return atoms
