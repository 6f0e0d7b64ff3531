"""Smooth random lines and surfaces: Gaussian, with a Gaussian correlation; known at any place, not on a grid."""

from __future__ import annotations

import numpy as np

WAVES = 64
"""Plane waves in a field; its values are then Gaussian to within what a histogram of a field shows."""


def smooth_field(places_pm: np.ndarray, correlation_pm: float, rng: np.random.Generator) -> np.ndarray:
    """Values of mean 0 and mean square 1 at places (n, dimensions), with the correlation exp(-r²/(2 correlation²)).

    The sum of plane waves of random phase whose wave vectors have the correlation's spectrum (M. Shinozuka and
    C.-M. Jan, J. Sound Vib. 25, 111 (1972)). What is drawn does not depend on the places.
    """
    waves = rng.normal(size=(WAVES, places_pm.shape[1])) / correlation_pm
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    return np.sqrt(2 / WAVES) * np.cos(places_pm @ waves.T + phases).sum(axis=1)
