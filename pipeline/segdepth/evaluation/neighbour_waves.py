"""An ideal observer who does not know the columns around the one that is counted.

An observer who knows all but one count is served best by a defocus that spreads each column over its neighbours, since
these can be subtracted. Who counts a micrograph knows none of them. To first order an image changes by the sum of what
one atom of each column does, and of the information on one count only that is left which the neighbours' counts cannot
explain:

    d'² = F_cc - F_cn F_nn⁻¹ F_nc,    F_ij = Σ λ ΔI_i ΔI_j / I₀

(the Cramér-Rao bound with the neighbours' counts as further unknowns; ΔI_i the change by one atom less in column i).
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from segdepth.config import Beam
from segdepth.crystals import Crystal
from segdepth.evaluation.ideal_observer import DARKEST
from segdepth.evaluation.ideal_observer_columns import without_exit_atom
from segdepth.evaluation.ideal_observer_recordings import SIDE_PM, cut_out, middle_pm
from segdepth.simulation.beam import tilted_with_crystal
from segdepth.simulation.cell import sides_pm
from segdepth.simulation.exit_wave import exit_wave, propagate_free_space, wave_orders

REACH_PM = 420.0
"""Columns no further than this are neighbours: more than the distance of like columns, 383 pm in a fluorite."""


def neighbour_waves(
    atoms: Atoms, column: int, beam: Beam, crystal: Crystal, side_pm: float = SIDE_PM, reach_pm: float = REACH_PM
) -> np.ndarray:
    """Exit waves (neighbour, ky, kx) of the square about a column with one atom less in one of the columns around it;
    of the same square, orders and height as ``column_waves`` has."""
    plain = cut_out(atoms, column, side_pm)
    cell, tilted = sides_pm(plain), tilted_with_crystal(beam, plain)
    orders, middle = wave_orders(cell, beam), middle_pm(plain)
    numbers = plain.get_array("column")
    waves = []
    for other in np.unique(numbers[numbers >= 0]):
        place = 100 * plain.positions[numbers == other, :2].mean(axis=0)
        if other != column and np.hypot(*(place - np.array(cell) / 2)) <= reach_pm:
            changed = without_exit_atom(plain, int(other), crystal)
            moved = propagate_free_space(orders, cell, tilted, 0.0, middle_pm(changed) - middle)
            waves.append(exit_wave(changed, beam) * moved)
    shape = tuple(2 * most + 1 for most in reversed(orders))
    return np.array(waves, np.complex64).reshape(-1, *shape)


def independent_share(plain: np.ndarray, changed: np.ndarray, neighbours: np.ndarray) -> float:
    """d' where the neighbours' counts are not known over d' where they are, 0 to 1.

    Parameters
    ----------
    plain : image I₀ (y, x), vacuum = 1. changed : with one atom less in the column. neighbours : (neighbour, y, x),
        with one atom less in each.
    """
    scale = 1 / np.sqrt(np.maximum(plain.astype(np.float64), DARKEST))
    mine = ((changed - plain) * scale).ravel()
    others = ((neighbours - plain) * scale).reshape(len(neighbours), plain.size)
    if not len(others) or not mine.any():
        return 1.0
    left = mine - others.T @ np.linalg.lstsq(others.T, mine, rcond=None)[0]
    return float(np.sqrt((left @ left) / (mine @ mine)))
