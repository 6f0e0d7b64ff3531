"""The crystal's potential on abTEM's grid, one slice a lattice plane, each atom exactly where it is.

abTEM 1.0.11 spreads an atom over its four nearest grid points and corrects with a sinc that lacks its π: atoms between
grid points come out too wide, an image error of 5/5/6 % of the contrast at C1 = 1/5/9 nm and 7 pm a grid point, and
with slices of 96 pm that do not begin on the planes 7/7/7 % (``benchmarks/grid.py``, ten layers). Here the structure
factors are summed with exact phases and a slice begins where its atoms are; scattering factors and
multislice are abTEM's.
Å and [x, y], as abTEM has them. Nothing here knows of the lens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

SAME_PLANE = 0.01
"""Å: atoms nearer than this in height lie on one plane, whatever the slice thickness."""


def plane_slices(height: np.ndarray, thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """Groups of atoms whose heights lie within ``thickness``, from the entrance on.

    Returns the group of each atom, and each group's height (the middle of its lowest and highest atom).
    """
    order = np.argsort(height, kind="stable")
    group, levels, first = np.zeros(len(height), dtype=int), [], None
    reach = max(thickness, SAME_PLANE)
    for atom in order:
        if first is None or height[atom] - first >= reach:
            first = height[atom]
            levels.append([first, first])
        levels[-1][1] = height[atom]
        group[atom] = len(levels) - 1
    return group, np.array([(low + high) / 2 for low, high in levels])


def projected_potential(atoms: Atoms, points: int, slice_angstrom: float, parametrization):
    """An ``abtem.PotentialArray`` of a square cell.

    Parameters
    ----------
    points : grid points along x and y.
    slice_angstrom : atoms whose heights differ by less share a slice; below the spacing of the planes, each plane has
        its own and the slicing is exact, since between the planes there is nothing.
    parametrization : abTEM's, with its ``sigmas``.
    """
    import abtem
    from abtem.integrals import ScatteringFactorProjectionIntegrals

    side, height = float(atoms.cell[0, 0]), float(atoms.cell[2, 2])
    group, levels = plane_slices(atoms.positions[:, 2], slice_angstrom)
    # abTEM transmits at a slice's entrance and then propagates through it: the first slice is the empty space before
    thickness = np.diff(np.concatenate([[0.0], levels, [height]]))
    integrals = ScatteringFactorProjectionIntegrals(parametrization)
    factor = {
        number: np.asarray(
            integrals.get_scattering_factor(chemical_symbols[number], (points, points), (side / points,) * 2, "cpu")
        )[:, : points // 2 + 1]
        for number in np.unique(atoms.numbers)
    }
    place, where = np.unique(atoms.positions[:, :2], axis=0, return_inverse=True)
    phase_x = _phases(np.fft.fftfreq(points, 1 / points), place[:, 0] / side)
    phase_y = _phases(np.fft.rfftfreq(points, 1 / points), place[:, 1] / side)
    slices = np.zeros((len(thickness), points, points), dtype=np.float32)
    for index in range(len(levels)):
        spectrum = 0
        for number, scattering in factor.items():
            mine = where[(group == index) & (atoms.numbers == number)]
            if mine.size:
                with _one_thread():
                    structure_factor = (phase_x[:, mine] @ phase_y[:, mine].T).numpy()
                spectrum = spectrum + structure_factor * scattering
        slices[index + 1] = np.fft.irfft2(spectrum, s=(points, points)) * (points / side) ** 2
    return abtem.PotentialArray(slices, slice_thickness=tuple(thickness), extent=(side, side))


def _phases(orders: np.ndarray, position: np.ndarray) -> torch.Tensor:
    """exp(-2πi k x) for orders k and positions in units of the cell, (k, position)."""
    return torch.from_numpy(np.exp(-2j * np.pi * np.outer(orders, position)).astype(np.complex64))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A matrix product's bits depend on the number of threads; numpy's cannot be set from here, torch's can."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
