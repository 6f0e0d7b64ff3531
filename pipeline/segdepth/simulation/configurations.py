"""The configurations of a structure's stored wave, and how much the image of each counts.

Frozen phonons: the waves of snapshots, whose images are averaged. With ``diffuse_snapshots``: the coherent wave ψ, from
which absorption has taken what is scattered diffusely, and d = snapshot - ψ of each snapshot. The average over all
snapshots is ⟨|snapshot|²⟩ = |ψ|² + ⟨|d|²⟩, since ψ is the mean of the snapshots; the first term is exact and the second
small, so that one or two snapshots serve where an average of images needs many.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from segdepth.config import Beam

WEIGHT = "configuration_weight"
"""The store's coordinate."""


def configuration_weights(beam: Beam) -> np.ndarray:
    """Weight of the image of each configuration: 1/n of n snapshots; 1 of a coherent wave, and 1/n of each of its n
    differences."""
    if beam.diffuse_snapshots:
        return np.array([1.0] + [1 / beam.diffuse_snapshots] * beam.diffuse_snapshots)
    count = max(1, beam.frozen_phonons)
    return np.full(count, 1 / count)


def stored_weights(store: xr.Dataset) -> tuple[float, ...] | None:
    """The weights of a store of waves; None where they are alike, as in stores that have none."""
    if WEIGHT not in store.coords:
        return None
    weights = store[WEIGHT].values.tolist()
    return tuple(weights) if len(set(weights)) > 1 or weights[0] != 1 / len(weights) else None
