"""What one atom more or less does to the exit wave: a library of difference waves.

In a crystal of n atoms along the beam one column is given an atom more or less at its exit or its entrance end. The
difference of the exit waves is local, and nearly the same whatever the columns around hold; it is cut out about the
column and kept as Fourier coefficients of a square patch. The wave of a column that stands elsewhere follows by free
space and a shift.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms

from segdepth.config import Beam
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.explanation.columns import spacings_pm
from segdepth.explanation.model import PAD_PM, undrifted
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import exit_wave, in_fft_order

STATES = tuple(
    (exit_, entrance)
    for exit_ in range(-2, 3)
    for entrance in range(-2, 3)
    if abs(exit_ + entrance) <= 2 and abs(exit_ - entrance) <= 2
)
"""Atoms more at the exit and at the entrance end: all counts from two less to two more, the middle moved by one atom at
most."""

STAY = STATES.index((0, 0))

PARTS = 4
"""Waves whose sums make up those of all states."""

TILE_PM = 1000.0
"""Least side of the crystal about a changed column; behind its own exit a difference is narrower."""

TAPER_PM = 150.0
"""Over which a difference fades out at the border of its tile."""


class DifferenceLibrary:
    """Difference waves by type of column and count, simulated where they are first asked for.

    Parameters
    ----------
    beam : as for the frame. side_pm, points : of the patch; the column stands at point ``points / 2``.
    most_mrad : largest angle that is kept.
    """

    def __init__(self, crystal: Crystal, beam: Beam, side_pm: float, points: int, most_mrad: float) -> None:
        self.crystal, self.beam, self.side_pm, self.points = crystal, beam, side_pm, points
        self.orders = stored_orders(side_pm, beam.energy_kev, most_mrad)
        x, y, _ = crystal.periods_pm
        self._periods = [int(np.ceil(TILE_PM / period)) for period in (x, y)]
        self._known: dict[int, np.ndarray] = {}
        alike = [(c.element, c.per_period, c.companions) for c in crystal.columns]
        self._first_alike = [alike.index(one) for one in alike]
        self._simulated_types = sorted(set(self._first_alike))

    def of(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Difference waves of columns of ``count`` atoms: of each type of column ``PARTS`` waves complex64 (type, part,
        ky, kx), orders in FFT order, whose sums with weights complex64 (type, state, part) are those of the states.

        The column stands in the middle of the patch; the wave is that behind its own exit, the height of the last atom
        of a column of ``count`` atoms. States that would leave less than no atom are 0.
        """
        if count not in self._known:
            self._known[count] = _parts(self._simulated(count))
        return self._known[count]

    def _simulated(self, count: int) -> np.ndarray:
        """One multislice for each state, all types of columns at once, each in a tile of its own."""
        plain = self._wave(count, (0, 0))
        found = np.zeros(
            (len(self.crystal.columns), len(STATES), 2 * self.orders + 1, 2 * self.orders + 1), np.complex64
        )
        for place, state in enumerate(STATES):
            if state != (0, 0) and count + sum(state) >= 0:
                changed = self._wave(count, state) - plain
                for kind in self._simulated_types:
                    found[kind, place] = self._cut(changed, kind, count)
        return found[self._first_alike]

    @property
    def _cell_pm(self) -> tuple[float, float]:
        x, y, _ = self.crystal.periods_pm
        return len(self._simulated_types) * self._periods[0] * x, self._periods[1] * y

    def _place_pm(self, kind: int) -> tuple[float, float]:
        """Where the changed column of a type stands."""
        column, (x, y, _) = self.crystal.columns[kind], self.crystal.periods_pm
        tiles = self._simulated_types.index(kind) * self._periods[0] + self._periods[0] // 2
        return (tiles + column.x) * x, (self._periods[1] // 2 + column.y) * y

    def _first(self, kind: int, count: int) -> int:
        """First site of a column of ``count`` atoms centred on height 0."""
        spacing = spacings_pm(self.crystal)[kind]
        offset = self.crystal.columns[kind].z * self.crystal.periods_pm[2]
        return int(np.ceil(round((-max(count - 1, 0) / 2 * spacing - offset) / spacing - 0.5, 6)))

    def _last_pm(self, kind: int, count: int) -> float:
        spacing = spacings_pm(self.crystal)[kind]
        offset = self.crystal.columns[kind].z * self.crystal.periods_pm[2]
        return (self._first(kind, count) + max(count, 1) - 1) * spacing + offset

    def _middle_pm(self, kind: int, count: int) -> float:
        return self._last_pm(kind, count) - max(count - 1, 0) / 2 * spacings_pm(self.crystal)[kind]

    def _wave(self, count: int, change: tuple[int, int]) -> np.ndarray:
        """Exit wave at height 0, the crystal's middle."""
        numbers: list[int] = []
        places: list[tuple[float, float, float]] = []
        x, y, period = self.crystal.periods_pm
        spacing = spacings_pm(self.crystal)
        for kind, column in enumerate(self.crystal.columns):
            changed = None
            if kind in self._simulated_types:
                tiles = self._simulated_types.index(kind) * self._periods[0] + self._periods[0] // 2
                changed = tiles, self._periods[1] // 2
            for i in range(len(self._simulated_types) * self._periods[0]):
                for j in range(self._periods[1]):
                    first, last = self._first(kind, count), self._first(kind, count) + count
                    if (i, j) == changed:
                        first, last = first - change[1], last + change[0]
                    for site in range(first, last):
                        height = site * spacing[kind] + column.z * period
                        for symbol, above in ((column.element, 0.0), *column.companions):
                            numbers.append(ATOMIC_NUMBER[symbol])
                            places.append(((i + column.x) * x, (j + column.y) * y, height + above * period))
        positions = np.array(places).reshape(-1, 3)
        reach = (count + 3) * float(spacing.max()) / 2 + PAD_PM
        positions[:, 2] += reach
        atoms = Atoms(numbers, positions / 100, cell=np.array([*self._cell_pm, 2 * reach]) / 100, pbc=(1, 1, 0))
        atoms.info["exit_face_pm"] = reach
        # what stays in place under a tilted beam is height 0, with the changed column and without
        return exit_wave(atoms, self.beam) * undrifted(atoms, reach, self._cell_pm, self.beam)

    def _cut(self, changed: np.ndarray, kind: int, count: int) -> np.ndarray:
        """The difference about one column, behind the column's exit, as coefficients of the patch."""
        sides, matrices = self._cell_pm, []
        drift = [np.tan(t / 1000) * self._middle_pm(kind, count) for t in self.beam.tilt_mrad]
        place = [at - moved_by for at, moved_by in zip(self._place_pm(kind), drift)]  # of the column's image
        at = (np.arange(self.points) - self.points / 2) * self.side_pm / self.points
        for side, centre, size in zip(sides, place, reversed(changed.shape)):
            orders = in_fft_order(size // 2)
            matrices.append(np.exp(2j * np.pi * np.outer(at + centre, orders) / side))
        patch = matrices[1] @ changed @ matrices[0].T
        fades = []
        for periods, period in zip(self._periods, self.crystal.periods_pm):
            left = (min(periods * period, self.side_pm) / 2 - np.abs(at)) / TAPER_PM
            fades.append(np.sin(np.pi / 2 * np.clip(left, 0, 1)) ** 2)
        spectrum = np.fft.fft2(patch * fades[1][:, None] * fades[0]) / self.points**2
        kept = in_fft_order(self.orders)
        spectrum = spectrum[np.ix_(kept, kept)]
        distance = self._last_pm(kind, count)
        return (spectrum * free_space(self.orders, self.side_pm, self.beam, [distance])[0]).astype(np.complex64)


def _parts(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The leading singular vectors of the states' waves (type, state, ky, kx), and each state's weights."""
    flat = waves.reshape(*waves.shape[:2], -1)
    left, size, right = np.linalg.svd(flat, full_matrices=False)
    weights = (left * size[:, None])[:, :, :PARTS]
    return right[:, :PARTS].reshape(len(waves), PARTS, *waves.shape[2:]), weights


def free_space(orders: int, side_pm: float, beam: Beam, distance_pm: Sequence[float]) -> np.ndarray:
    """Phase factors (distance, ky, kx) of free space on a patch's orders."""
    q = in_fft_order(orders) / side_pm
    square = q[:, None] ** 2 + q**2
    turn = -np.pi * wavelength_pm(beam.energy_kev) * np.asarray(distance_pm)[:, None, None] * square
    return np.exp(1j * turn)


def moved(orders: int, side_pm: float, x_pm: Sequence[float], y_pm: Sequence[float]) -> torch.Tensor:
    """Phase factors (place, ky, kx), complex64, that move a patch by (x, y)."""
    q = in_fft_order(orders) / side_pm
    x, y = (np.exp(-2j * np.pi * np.asarray(at)[:, None] * q) for at in (x_pm, y_pm))
    return torch.as_tensor((y[:, :, None] * x[:, None, :]).astype(np.complex64))
