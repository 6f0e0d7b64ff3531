"""The line where the crystal ends towards the vacuum, y_s(x): flat, stepped or sawtooth (SegDepth III-B1).

The surface normal is +y. Every function returns heights relative to the surface's mean line.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from segdepth.config import Specimen
from segdepth.crystals import Crystal
from segdepth.specimen.corners import rounded

MAX_ROWS = 4
"""A stepped surface stays within this many rows of atoms of its mean."""


def flat(x_pm: np.ndarray) -> np.ndarray:
    return np.zeros_like(x_pm)


def stepped(
    x_pm: np.ndarray,
    width_pm: float,
    block: Specimen,
    row_pm: float,
    rng: np.random.Generator,
    beyond: tuple[np.random.Generator, np.random.Generator] | None = None,
) -> np.ndarray:
    """Terraces of random width whose heights differ by ``step_rows`` rows of atoms, which are ``row_pm`` apart.

    ``rng`` draws the terraces over 0 … width; ``beyond`` (left, right) draws those outside, outwards from there.
    Without it the outermost terraces continue.
    """
    low, high = (1000 * value for value in block.terrace_nm)

    def next_height(height: int, rng: np.random.Generator) -> int:
        step = int(rng.choice(block.step_rows)) * int(rng.choice([-1, 1]))
        return height - step if abs(height + step) > MAX_ROWS else height + step

    edges, heights = [-rng.uniform(0, high)], [int(rng.integers(-1, 2))]
    while edges[-1] < width_pm:
        edges.append(edges[-1] + rng.uniform(low, high))
        heights.append(next_height(heights[-1], rng))
    if beyond is not None and x_pm.size:
        left, right = beyond
        while edges[0] > x_pm.min():
            edges.insert(0, edges[0] - left.uniform(low, high))
            heights.insert(0, next_height(heights[0], left))
        while edges[-1] < x_pm.max():
            edges.append(edges[-1] + right.uniform(low, high))
            heights.append(next_height(heights[-1], right))
    terrace = np.maximum(np.searchsorted(np.array(edges), x_pm, side="right") - 1, 0)
    return row_pm * np.array(heights)[terrace]


def sawtooth(x_pm: np.ndarray, block: Specimen, slope: float, rng: np.random.Generator) -> np.ndarray:
    """A zigzag of facets, of this slope against the surface, of random period and phase."""
    period = 1000 * rng.uniform(*block.sawtooth_period_nm)
    phase = rng.uniform(0, period)
    rise = period / 4 - np.abs((x_pm + phase) % period - period / 2)
    return slope * rise


def surface_line(
    kind: str,
    x_pm: np.ndarray,
    width_pm: float,
    block: Specimen,
    crystal: Crystal,
    rng: np.random.Generator,
    beyond: tuple[np.random.Generator, np.random.Generator] | None = None,
    corner_radius_pm: float = 0.0,
) -> np.ndarray:
    """Height of the surface at each x, pm from its mean line; ``kind`` is one of the block's surfaces.

    Steps are whole rows of the crystal, facets are planes of its first inclined reflection. ``beyond`` as for
    ``stepped``; corners are rounded by ``corner_radius_pm``.
    """
    if kind == "flat":
        line = flat
    elif kind == "stepped":
        line = partial(stepped, width_pm=width_pm, block=block, row_pm=crystal.row_pm, rng=rng, beyond=beyond)
    elif kind == "sawtooth":
        line = partial(sawtooth, block=block, slope=crystal.facet_slope(), rng=rng)
    else:
        raise ValueError(f"surface {kind!r}: allowed are flat, stepped, sawtooth")
    return rounded(line, x_pm, corner_radius_pm)
