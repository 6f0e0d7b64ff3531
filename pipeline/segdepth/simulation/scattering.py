"""The contribution of one atom to a slice: its projected potential, blurred by vibration, and its absorption.

Scattering factors are abTEM's. The wave that stays coherent has passed the thermal average of the transmission,
⟨exp(iσv(r - u))⟩; atoms vibrate independently, so that the averages multiply and their logarithms add: each atom
contributes log⟨exp(iσv)⟩ / iσ. Its leading part is the potential with the Debye-Waller factor, exp(-2π²u²q²); its
imaginary part is the absorption, ½σ(⟨v²⟩ - ⟨v⟩²) in second order, what Dr. Probe calls absorptive form factors
(Hall and Hirsch, Proc. R. Soc. A 286 (1965) 158; weak-atom limit). Å, V.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segdepth.config import Beam
from segdepth.simulation.beam import vibrations_pm

Radial = Callable[[np.ndarray], np.ndarray]

BOX, POINTS = 8.0, 1280
"""Å and points of the square on which one atom's transmission is averaged: 0.6 pm a point."""


@dataclass(frozen=True)
class AtomFactor:
    """Radial functions of |q| in 1/Å, V·Å³: the scattering factor with its Debye-Waller factor, and what absorption
    adds, a real and an imaginary part."""

    potential: Radial
    correction: Radial | None = None
    absorption: Radial | None = None


def parametrization(beam: Beam):
    """abTEM's parametrization of the scattering factors, with the Debye-Waller widths of a structure's own beam
    (``beam.resolve_beam``).

    With frozen phonons the atoms are displaced instead.
    """
    from abtem import parametrizations

    kinds = {
        "lobato": parametrizations.LobatoParametrization,
        "kirkland": parametrizations.KirklandParametrization,
        "peng": parametrizations.PengParametrization,
    }
    widths = {} if beam.frozen_phonons else vibrations_pm(beam)
    return kinds[beam.parametrization](sigmas={element: u_pm / 100 for element, u_pm in widths.items()})


def atom_factor(scatterer, symbol: str, energy_ev: float | None = None) -> AtomFactor:
    """Factors of one element.

    Parameters
    ----------
    scatterer : abTEM's parametrization with its ``sigmas`` (rms vibration along an axis, Å).
    energy_ev : of the electrons; without it, or without vibration, nothing is absorbed.
    """
    u = scatterer.sigmas.get(symbol, 0.0)
    factor = scatterer.projected_scattering_factor(symbol)

    def potential(q: np.ndarray) -> np.ndarray:
        return np.asarray(factor(q**2), float) * np.exp(-2 * (np.pi * u * q) ** 2)

    if not u or energy_ev is None:
        return AtomFactor(potential)
    q, real, imaginary = _thermal_tables(type(scatterer), symbol, u, energy_ev)
    return AtomFactor(potential, lambda k: np.interp(k, q, real), lambda k: np.interp(k, q, imaginary))


@lru_cache(maxsize=64)
def _thermal_tables(kind: type, symbol: str, u: float, energy_ev: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|q|, real and imaginary part of the transform of log⟨exp(iσv)⟩ / iσ - ⟨v⟩."""
    from abtem.core.energy import energy2sigma

    sigma = energy2sigma(energy_ev)
    order = np.fft.fftfreq(POINTS, BOX / POINTS)
    square = order[:, None] ** 2 + order[None, :] ** 2
    still = np.asarray(kind().projected_scattering_factor(symbol)(square), float)
    blur = np.exp(-2 * (np.pi * u) ** 2 * square)
    density = (POINTS / BOX) ** 2
    potential = np.fft.ifft2(still).real * density
    mean = np.fft.ifft2(still * blur).real * density
    transmission = np.fft.ifft2(np.fft.fft2(np.exp(1j * sigma * potential)) * blur)
    rest = np.log(transmission * np.exp(-1j * sigma * mean)) / (1j * sigma)
    line = slice(0, POINTS // 2)
    real, imaginary = (np.fft.fft2(part).real[0, line] / density for part in (rest.real, rest.imag))
    return order[line], real, imaginary
