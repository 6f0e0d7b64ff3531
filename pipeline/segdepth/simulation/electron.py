"""The electron's wavelength and the band of spatial frequencies that a lens passes."""

from __future__ import annotations

import math

C, E, H = 299792458.0, 1.602176634e-19, 6.62607015e-34
"""Speed of light, elementary charge and Planck's constant, in SI units; exact."""

M_E = 9.1093837139e-31
"""Mass of the electron in kg (CODATA 2022, as in ``scipy.constants``, which takes a quarter of a second to import)."""


def wavelength_pm(energy_kev: float) -> float:
    """Relativistic de Broglie wavelength in pm: λ = h / sqrt(2 m e E (1 + e E / 2 m c²)); 1.9687 at 300 kV."""
    energy = 1000 * energy_kev * E
    return 1e12 * H / math.sqrt(2 * M_E * energy * (1 + energy / (2 * M_E * C**2)))


def stored_orders(side_pm: float, energy_kev: float, angle_mrad: float) -> int:
    """Largest Fourier order k = q · side inside ``angle_mrad`` (q = θ/λ) along a side of the cell."""
    return math.floor(side_pm * angle_mrad / 1000 / wavelength_pm(energy_kev) + 1e-9)
