"""Entrance and exit face of a wedge: where each lies at a distance below the surface, in atoms (periods along z)."""

from __future__ import annotations

import numpy as np

MOST_ROUGHNESS = 4.0
"""Atoms (periods along the beam) by which roughness moves a face, at most."""


def thickness_atoms(distance_pm: np.ndarray, bulk: float, surface: float, decay_pm: float) -> np.ndarray:
    """Local thickness in atoms, T(d) = bulk - (bulk - surface) exp(-d/decay), d >= 0 below the surface."""
    return bulk - (bulk - surface) * np.exp(-np.asarray(distance_pm) / decay_pm)


def faces(
    distance_pm: np.ndarray, bulk: float, surface: float, exit_fraction: float, decay_pm: float, exit_decay_pm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Entrance and exit face, in atoms from the bulk's entrance face (0) towards its exit face (``bulk``).

    Of the bulk - surface atoms that the surface lacks, the exit face takes the share ``exit_fraction``, which fades
    with ``exit_decay_pm``, and the entrance face the rest, which fades with ``decay_pm``. The thickness is ``surface``
    at the surface whatever the decays, and nowhere above ``bulk``.
    """
    thickness = thickness_atoms(distance_pm, bulk, surface, decay_pm)
    entrance = (1 - exit_fraction) * (bulk - thickness)
    if exit_decay_pm == decay_pm:
        return entrance, entrance + thickness
    return entrance, bulk - exit_fraction * (bulk - thickness_atoms(distance_pm, bulk, surface, exit_decay_pm))
