"""Defects of columns: missing and added end atoms, shifted counts, vacancies.

A column holds the lattice sites ``first`` … ``last - 1`` (whole numbers, counted along the beam); it is absent where
``first == last``. The functions take random numbers in [0, 1) and draw none.
"""

from __future__ import annotations

import numpy as np

Sites = tuple[np.ndarray, np.ndarray]
"""``first`` and ``last`` of each column."""


def remove_end_atoms(sites: Sites, lacks: np.ndarray, at_exit: np.ndarray) -> Sites:
    """Remove one atom at one end of the columns in ``lacks`` that have one."""
    first, last = sites
    lacks = lacks & (last > first)
    return first + (lacks & ~at_exit), last - (lacks & at_exit)


def add_end_atoms(sites: Sites, slab: Sites, gains: np.ndarray, at_exit: np.ndarray, thickest: int) -> Sites:
    """Add one atom at one end of the columns in ``gains`` that hold fewer than ``thickest``.

    An absent column becomes an adatom column: one atom on the entrance or exit site of the slab around it.
    """
    first, last = sites
    absent = first == last
    longer = gains & ~absent & (last - first < thickest)
    first, last = first - (longer & ~at_exit), last + (longer & at_exit)
    adatom = gains & absent
    site = np.where(at_exit, np.maximum(slab[1] - 1, slab[0]), slab[0])
    return np.where(adatom, site, first), np.where(adatom, site + 1, last)


def shift_counts(sites: Sites, most: int, draw: np.ndarray, at_exit: np.ndarray, thickest: int) -> Sites:
    """Shift each column's count by a whole number from -``most`` … +``most``, each as likely, at one end.

    The new count is clipped to 1 … ``thickest``, or to the old one where that is larger: no column vanishes. A wedge of
    1 + ``most`` … ``thickest`` - ``most`` atoms is not clipped, so that counts of neighbours give no information on a
    column's shift.
    """
    if most == 0:
        return sites
    first, last = sites
    count = last - first
    shift = np.floor(draw * (2 * most + 1)).astype(int) - most
    change = np.where(count > 0, np.clip(count + shift, 1, np.maximum(thickest, count)) - count, 0)
    return first - np.where(at_exit, 0, change), last + np.where(at_exit, change, 0)


def vacancy_mask(
    concerned: np.ndarray,
    distance_pm: np.ndarray,
    fraction: float,
    enrichment: float,
    reach_pm: float,
    draw: np.ndarray,
) -> np.ndarray:
    """Which atoms are missing: those concerned, each by itself with min(1, p (1 + (f - 1) exp(-d/reach))).

    Parameters
    ----------
    concerned, distance_pm, draw : one value an atom: whether it may be missing at all; its column's distance d
        below the surface line; a number in [0, 1).
    fraction, enrichment : p far from the surface, and how many times more at it.
    """
    chance = fraction * (1 + (enrichment - 1) * np.exp(-np.maximum(distance_pm, 0) / reach_pm))
    return concerned & (draw < np.minimum(chance, 1))
