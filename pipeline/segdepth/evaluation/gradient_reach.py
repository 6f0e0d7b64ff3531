"""How far the gradient of a class probability reaches: the radii that hold half and 90 % of its energy, and their
means over columns and structures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from segdepth.config import ALL
from segdepth.evaluation.metrics import bootstrap_intervals
from segdepth.labels.ownership import pixel_centres_pm
from segdepth.seeds import hash64

HALF, MOST = "half_energy_radius_pm", "energy_90_radius_pm"
SHARES = {HALF: 0.5, MOST: 0.9}
"""Radii, and which share of a gradient's energy lies within each. Half of it is often that of the column itself."""

PLACES = ("column", "vacuum")
RADII = ("structure", "place", "lambda", "element", "atoms", "x_pm", "y_pm", *SHARES)
"""Of the table of radii: one row for each place of each image; ``element`` of the vacuum is ``ALL``."""

LEAST_STRUCTURES = 5
"""With fewer there is no interval."""


def energy_radii(gradient: np.ndarray, pixel_pm: float, x_pm: float, y_pm: float) -> dict[str, float]:
    """Radii in pm of the discs about (x, y) that hold ``SHARES`` of the sum of squares of a map [y, x], by name; NaN if
    the sum is 0.

    Pixels count as a whole, by their centres.
    """
    y, x = (pixel_centres_pm(side, pixel_pm) for side in gradient.shape)
    distance = np.hypot(x[None, :] - x_pm, y[:, None] - y_pm).ravel()
    order = np.argsort(distance, kind="stable")
    energy = np.cumsum(np.square(gradient.ravel()[order], dtype=float))
    if not energy[-1] > 0:
        return dict.fromkeys(SHARES, float("nan"))
    reached = np.searchsorted(energy, energy[-1] * np.array(list(SHARES.values())))
    return dict(zip(SHARES, distance[order][reached].tolist()))


def mean_radii(radii: pd.DataFrame, *, by_count: bool = False) -> pd.DataFrame:
    """Means of a table of ``RADII``, with 95 % bootstrap intervals over structures where there are at least
    ``LEAST_STRUCTURES``.

    Returns one row for each place, element (and all elements together), λ, ``atoms`` if ``by_count``, and metric (the
    names of ``SHARES``): ``value``, ``low``, ``high`` in pm, ``structures``. Gradients that are 0 are left out.
    """
    columns = radii[radii["place"] == PLACES[0]]
    every = pd.concat([columns.assign(element=ALL), radii]).dropna(subset=list(SHARES))
    names = ["place", "element", "lambda", *(["atoms"] if by_count else [])]
    rows = []
    for keys, group in every.groupby(names):
        of_structure = group.groupby("structure")[list(SHARES)]
        sums, total = of_structure.sum(), of_structure.size().to_numpy(float)
        parts = {name: (sums[name].to_numpy(), total) for name in SHARES}
        enough = len(total) >= LEAST_STRUCTURES
        intervals = bootstrap_intervals(parts, np.random.default_rng(hash64("bootstrap"))) if enough else {}
        for name in SHARES:
            low, high = intervals.get(name) or (np.nan, np.nan)
            found = (name, group[name].mean(), low, high, len(total))
            rows.append((*keys, *found))
    return pd.DataFrame(rows, columns=[*names, "metric", "value", "low", "high", "structures"])
