"""Exit waves of a film, in which some columns gain or lose an atom: composed, not simulated frame by frame.

One multislice is made of the structure as it is, and one for each change of each column by itself. The wave of a frame
is the first one plus the differences of the changes that are in effect:

    ψ = ψ₀ + Σ (ψ_c - ψ₀).

It is exact for one change. For several it leaves out what electrons that one change scatters do at another: of second
order, and of columns that stand beside each other only, since a difference is local (tests state the error).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from segdepth.config import Beam
from segdepth.simulation.exit_wave import exit_wave, in_fft_order

STEPS = (-1, 1)
"""Atoms more than the column has by itself."""


class FilmWaves:
    """Waves of one structure and its changes.

    Parameters
    ----------
    atoms : the structure. beam : its own (``beam.resolve_beam``), without configurations.
    columns : numbers of the columns that change.
    changed : (atoms, column, step) -> atoms with that step of ``STEPS`` made.
    told : called after each multislice.
    """

    def __init__(
        self,
        atoms: Atoms,
        beam: Beam,
        columns: Sequence[int],
        changed: Callable[[Atoms, int, int], Atoms],
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self.plain = exit_wave(atoms, beam)
        told()
        shape = (len(columns), len(STEPS), *self.plain.shape)
        self.differences = np.empty(shape, self.plain.dtype)
        for row, column in enumerate(columns):
            for place, step in enumerate(STEPS):
                self.differences[row, place] = exit_wave(changed(atoms, column, step), beam) - self.plain
                told()

    def wave(self, steps: Sequence[int]) -> np.ndarray:
        """The wave (ky, kx) with these steps, -1, 0 or 1, one a column."""
        wave = self.plain.copy()
        for row, step in enumerate(steps):
            if step:
                wave += self.differences[row, STEPS.index(int(step))]
        return wave


def moved(wave: np.ndarray, cell_pm: Sequence[float], x_pm: float, y_pm: float) -> np.ndarray:
    """A wave (ky, kx) whose specimen has drifted by (x, y), around the periodic cell (sides along x, y)."""
    qy, qx = (in_fft_order(size // 2) / side for size, side in zip(wave.shape, reversed(tuple(cell_pm))))
    return (wave * np.exp(-2j * np.pi * (qy[:, None] * y_pm + qx[None, :] * x_pm))).astype(wave.dtype)
