"""The line where the crystal ends towards the vacuum, y_s(x): flat, stepped or sawtooth (SegDepth III-B1).

The surface normal is +y, a (110)-type surface. Every function returns heights relative to the surface's mean line.
"""

from __future__ import annotations

import numpy as np

from segdepth.config import Specimen
from segdepth.specimen.lattice import periods_pm

FACET_SLOPE = 1 / np.sqrt(2)
"""tan 35.26°: {111} facets against the (110) surface in this projection."""

MAX_HALF_LAYERS = 4
"""A stepped surface wanders no further than this many half layers from its mean."""


def flat(x_pm: np.ndarray) -> np.ndarray:
    return np.zeros_like(x_pm)


def stepped(x_pm: np.ndarray, width_pm: float, block: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Terraces of random width whose heights differ by a half or a whole layer (a/(2√2) or a/√2)."""
    half_layer = periods_pm(block.lattice_pm)[1] / 2
    low, high = (1000 * value for value in block.terrace_nm)
    edges, heights = [-rng.uniform(0, high)], [int(rng.integers(-1, 2))]
    while edges[-1] < width_pm:
        edges.append(edges[-1] + rng.uniform(low, high))
        step = int(rng.choice([1, 2])) * int(rng.choice([-1, 1]))
        if abs(heights[-1] + step) > MAX_HALF_LAYERS:
            step = -step
        heights.append(heights[-1] + step)
    terrace = np.searchsorted(np.array(edges), x_pm, side="right") - 1
    return half_layer * np.array(heights)[terrace]


def sawtooth(x_pm: np.ndarray, block: Specimen, rng: np.random.Generator) -> np.ndarray:
    """A zigzag of {111} facets, inclined by 35.3° to the surface, of random period and phase."""
    period = 1000 * rng.uniform(*block.facet_nm)
    phase = rng.uniform(0, period)
    rise = period / 4 - np.abs((x_pm + phase) % period - period / 2)
    return FACET_SLOPE * rise


def surface_line(kind: str, x_pm: np.ndarray, width_pm: float, block: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Height of the surface at each x, pm from its mean line; ``kind`` is one of the block's surfaces."""
    if kind == "flat":
        return flat(x_pm)
    if kind == "stepped":
        return stepped(x_pm, width_pm, block, rng)
    if kind == "sawtooth":
        return sawtooth(x_pm, block, rng)
    raise ValueError(f"surface {kind!r}: allowed are flat, stepped, sawtooth")
