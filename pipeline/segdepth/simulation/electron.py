"""The electron's wavelength and the band of spatial frequencies that a lens passes."""

from __future__ import annotations

import math

from scipy.constants import c, e, h, m_e


def wavelength_pm(energy_kev: float) -> float:
    """Relativistic de Broglie wavelength in pm: λ = h / sqrt(2 m e E (1 + e E / 2 m c²)); 1.9687 at 300 kV."""
    energy = 1000 * energy_kev * e
    return 1e12 * h / math.sqrt(2 * m_e * energy * (1 + energy / (2 * m_e * c**2)))


def stored_orders(side_pm: float, energy_kev: float, angle_mrad: float) -> int:
    """Largest Fourier order k = q · side inside ``angle_mrad`` (q = θ/λ) along a side of the cell."""
    return math.floor(side_pm * angle_mrad / 1000 / wavelength_pm(energy_kev) + 1e-9)
