"""The potential of atoms that share no x and no y, as in a snapshot of vibrating ones.

Structure factors are products of large matrices then. With C and S the cosines and sines of the orders' phases along an
axis, an order (k, l) is CxCy - SxSy - i(SxCy + CxSy) and (-k, l) is CxCy + SxSy + i(SxCy - CxSy): one real product of
half the orders serves both, at half the cost of a complex one, and phases are made a plane at a time.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from segdepth.devices import one_thread
from segdepth.simulation.potential import SlicedPotential


class ScatteredPotential(SlicedPotential):
    """``SlicedPotential`` to rounding, in a third of the time where places along x and y are all different."""

    def _prepare_phases(self) -> None:
        """Nothing is kept: phases are made for a plane's atoms."""

    def _structure_factor(self, atoms: np.ndarray, share: np.ndarray) -> torch.Tensor:
        half_x, half_y = (points // 2 for points in self.points)
        with one_thread():
            along_x = self._cosines_and_sines(half_x, self.positions[atoms, 0] / self.sides[0])
            along_y = self._cosines_and_sines(half_y, self.positions[atoms, 1] / self.sides[1])
            along_y *= torch.as_tensor(share).to(self.device, self.dtype)
            product = along_x @ along_y.T
        rows, columns = half_x + 1, half_y + 1
        both, left = product[:rows, :columns], product[:rows, columns:]  # CxCy, CxSy
        right, none = product[rows:, :columns], product[rows:, columns:]  # SxCy, SxSy
        found = self._nothing()
        found.real[:half_x], found.imag[:half_x] = (both - none)[:half_x], -(right + left)[:half_x]
        found.real[half_x:], found.imag[half_x:] = (both + none)[1:].flip(0), (right - left)[1:].flip(0)
        return found

    def _cosines_and_sines(self, most: int, places: np.ndarray) -> torch.Tensor:
        """cos and, below them, sin of 2πk · place for k = 0 … most, (2 · most + 2, atom)."""
        turns = torch.as_tensor(np.outer(np.arange(most + 1), places)).to(self.device)
        angles = ((turns - turns.round()) * (2 * math.pi)).to(self.dtype)
        return torch.cat([angles.cos(), angles.sin()])
