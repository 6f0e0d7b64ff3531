"""Atoms that a column lacks or has too many: at its ends, and oxygen vacancies anywhere.

A column holds the lattice sites ``first`` … ``last - 1`` (whole numbers, counted along the beam); it is absent where
``first == last``. Every function takes its random numbers in [0, 1) and draws none.
"""

from __future__ import annotations

import numpy as np

from segdepth.config import CLASSES
from segdepth.specimen.lattice import ATOMIC_NUMBER

MOST_ATOMS = CLASSES - 1
"""Atoms of the thickest column that depth classes tell apart."""

Sites = tuple[np.ndarray, np.ndarray]
"""``first`` and ``last`` of each column."""


def without_ends(sites: Sites, lacks: np.ndarray, at_exit: np.ndarray) -> Sites:
    """Columns without the last atom at one end, where they lack it and have one."""
    first, last = sites
    lacks = lacks & (last > first)
    return first + (lacks & ~at_exit), last - (lacks & at_exit)


def with_added_ends(sites: Sites, slab: Sites, gains: np.ndarray, at_exit: np.ndarray) -> Sites:
    """Columns with one atom more at one end, where they gain it and hold fewer than ten.

    An absent column becomes an adatom column: one atom on the entrance or exit site of the slab around it.
    """
    first, last = sites
    absent = first == last
    longer = gains & ~absent & (last - first < MOST_ATOMS)
    first, last = first - (longer & ~at_exit), last + (longer & at_exit)
    adatom = gains & absent
    site = np.where(at_exit, np.maximum(slab[1] - 1, slab[0]), slab[0])
    return np.where(adatom, site, first), np.where(adatom, site + 1, last)


def shifted_counts(sites: Sites, most: int, draw: np.ndarray, at_exit: np.ndarray) -> Sites:
    """Columns whose count is shifted by a whole number from -``most`` … +``most``, each as likely, at one end.

    The new count is clipped to 1 … 10: no column vanishes, none gets thicker than the depth classes tell. A wedge of
    1 + ``most`` … 10 - ``most`` atoms is not clipped, so that its neighbours tell nothing of a column's own shift.
    """
    if most == 0:
        return sites
    first, last = sites
    count = last - first
    shift = np.floor(draw * (2 * most + 1)).astype(int) - most
    change = np.where(count > 0, np.clip(count + shift, 1, MOST_ATOMS) - count, 0)
    return first - np.where(at_exit, 0, change), last + np.where(at_exit, change, 0)


def vacant(
    atomic_number: np.ndarray,
    distance_pm: np.ndarray,
    fraction: float,
    enrichment: float,
    reach_pm: float,
    draw: np.ndarray,
) -> np.ndarray:
    """Which atoms are missing: oxygen, each by itself with min(1, p (1 + (f - 1) exp(-d/reach))).

    Parameters
    ----------
    atomic_number, distance_pm, draw : one value an atom; d is its column's distance below the surface line.
    fraction, enrichment : p far from the surface, and how many times more at it.
    """
    chance = fraction * (1 + (enrichment - 1) * np.exp(-np.maximum(distance_pm, 0) / reach_pm))
    return (atomic_number == ATOMIC_NUMBER["O"]) & (draw < np.minimum(chance, 1))
