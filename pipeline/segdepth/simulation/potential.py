"""The crystal's potential, slice by slice, with exact atomic positions.

abTEM 1.0.11 spreads an atom over its four nearest grid points and corrects with a sinc that lacks its π: atoms between
grid points come out too wide, an image error of several percent of the contrast even at 2048² (``study_convergence``
measures it). Here structure factors are summed with exact phases; scattering factors are abTEM's.

Two projections. ``infinite``: an atom's whole potential lies at its height, shared linearly between the two nearest
slices; planes of atoms are slices of their own, so that an upright crystal needs one slice a plane and no sharing.
``finite``: the three-dimensional potential, cut into slabs: V(q, z1, z2) = ∫dz ∫dq_z f(√(q² + q_z²)) exp(2πi q_z z).
Å and [x, y], as abTEM has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from segdepth.crystals.elements import SYMBOLS
from segdepth.devices import one_thread
from segdepth.simulation.cell import as_xy, sides_angstrom
from segdepth.simulation.scattering import Radial, atom_factor

if TYPE_CHECKING:
    from ase import Atoms

SAME_PLANE = 0.01
"""Å: atoms nearer than this in height lie on one plane, whatever the slice thickness."""

FINITE_REACH = 3.0
"""Å: beyond this height above and below an atom its three-dimensional potential is taken as 0."""

KEPT_BYTES = 500_000_000
"""Structure factors of planes that several slabs reach are kept up to this size; a tilted crystal has too many
planes."""


@dataclass(frozen=True)
class Slice:
    """``potential`` [x, y] in V·Å, on the requested device, followed by ``thickness`` of empty space, Å; the wave
    passes exp(iσ · potential - σ · absorption)."""

    potential: torch.Tensor
    thickness: float
    absorption: torch.Tensor | None = None


def plane_levels(height: np.ndarray, thickness: float) -> np.ndarray:
    """Heights of groups of atoms that lie within ``thickness`` of each other, from the entrance on, Å.

    A level is the middle of its lowest and highest atom: planes stay where they are, and what lies between planes
    (tilt, phonons) is never further than half a slice from a level.
    """
    levels: list[list[float]] = []
    reach = max(thickness, SAME_PLANE)
    for z in np.unique(height):
        if not levels or z - levels[-1][0] >= reach:
            levels.append([z, z])
        levels[-1][1] = z
    return np.array([(low + high) / 2 for low, high in levels])


def split_between_slices(height: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each atom's lower level, the next one, and its share in the next: linear in height, so that the mean height
    and the sum are kept (the error is of second order in the slice thickness)."""
    if len(levels) == 1:
        zero = np.zeros(len(height), dtype=int)
        return zero, zero, np.zeros(len(height))
    below = np.clip(np.searchsorted(levels, height, side="right") - 1, 0, len(levels) - 2)
    share = np.clip((height - levels[below]) / (levels[below + 1] - levels[below]), 0.0, 1.0)
    return below, below + 1, share


class SlicedPotential:
    """The slices of a rectangular cell, made one at a time: memory does not grow with the thickness.

    Parameters
    ----------
    atoms : Å; sides of the cell along x, y and z.
    points : grid points along x and y, or one number for both.
    slice_angstrom : infinite projection: atoms whose heights differ by less share a slice; below the spacing of the
        planes, each plane has its own and the slicing is exact, since between the planes there is nothing. Finite
        projection: thickness of a slab.
    parametrization : abTEM's, with its ``sigmas``.
    energy_ev : if given, thermal diffuse scattering is removed from the wave (``scattering``).
    finite : three-dimensional potential instead of the infinite projection.
    """

    def __init__(
        self,
        atoms: Atoms,
        points: int | Sequence[int],
        slice_angstrom: float,
        parametrization,
        *,
        energy_ev: float | None = None,
        finite: bool = False,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.sides, self.points = sides_angstrom(atoms), as_xy(points)
        self.device, self.dtype = torch.device(device), dtype
        self.numbers, self.positions = atoms.numbers, atoms.positions
        self._orders_x = np.fft.fftfreq(self.points[0], 1 / self.points[0])
        self._orders_y = np.fft.rfftfreq(self.points[1], 1 / self.points[1])
        self._factors = {
            int(number): atom_factor(parametrization, SYMBOLS[number], energy_ev) for number in np.unique(atoms.numbers)
        }
        self._prepare_phases()
        height = atoms.positions[:, 2]
        if finite:
            top = max(float(height.max(initial=0)) + FINITE_REACH, slice_angstrom)
            bottom = min(float(height.min(initial=0)) - FINITE_REACH, 0.0)
            count = int(np.ceil((top - bottom) / slice_angstrom))
            levels = bottom + slice_angstrom * (np.arange(count) + 0.5)
            self._slabs = self._finite_slabs()
        else:
            levels = plane_levels(height, slice_angstrom)
            self._slabs = None
        self.levels = levels
        # rounded, so that abTEM computes its propagator once for equal planes
        gaps = np.round(np.diff(levels), 6)
        self.thickness = np.append(gaps, gaps[-1:] if len(gaps) else slice_angstrom)[: len(levels)]

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def end(self) -> float:
        """Height at which the last slice ends, Å from the cell's upper face."""
        return float(self.levels[0] + self.thickness.sum()) if len(self) else 0.0

    @property
    def middle(self) -> float:
        """Height halfway between the first and the last atoms, Å."""
        height = self.positions[:, 2]
        return float(height.min() + height.max()) / 2 if len(height) else 0.0

    def __iter__(self) -> Iterator[Slice]:
        spectra = self._finite_spectra() if self._slabs is not None else self._plane_spectra()
        for (real, imaginary), gap in zip(spectra, self.thickness):
            yield Slice(self._on_points(real), float(gap), None if imaginary is None else self._on_points(imaginary))

    def _on_points(self, spectrum: torch.Tensor) -> torch.Tensor:
        (x, y), (side_x, side_y) = self.points, self.sides
        density = (x / side_x) ** 2 * ((y * side_x) / (x * side_y))  # points a square Å
        return (torch.fft.irfft2(spectrum, s=(x, y)) * density).to(self.dtype)

    @property
    def _complex(self) -> torch.dtype:
        return torch.complex64 if self.dtype == torch.float32 else torch.complex128

    def _frequency(self) -> np.ndarray:
        """|q| in 1/Å on the half grid of a real transform."""
        aspect = self.sides[0] / self.sides[1]
        return np.hypot(self._orders_x[:, None], aspect * self._orders_y[None, :]) / self.sides[0]

    def _prepare_phases(self) -> None:
        self._phase_x, self._place_x = self._phases(self._orders_x, self.positions[:, 0] / self.sides[0])
        self._phase_y, self._place_y = self._phases(self._orders_y, self.positions[:, 1] / self.sides[1])

    def _structure_factor(self, atoms: np.ndarray, share: np.ndarray) -> torch.Tensor:
        """Σ share · exp(-2πi q·r) of some atoms, (points along x, half of those along y, + 1).

        In an upright crystal few x and few y make all places: the sum is then a product of three small matrices.
        """
        x, column = np.unique(self._place_x[atoms], return_inverse=True)
        y, row = np.unique(self._place_y[atoms], return_inverse=True)
        phase_x, phase_y = self._phase_x[:, torch.as_tensor(x)], self._phase_y[:, torch.as_tensor(y)]
        weight = torch.zeros((len(x), len(y)), dtype=torch.float64)
        with one_thread():
            if len(x) * len(y) <= 8 * len(atoms):
                weight.view(-1).index_add_(0, torch.as_tensor(column * len(y) + row), torch.as_tensor(share))
                phase_x = phase_x @ weight.to(self.device, self._complex)
            else:
                phase_x = phase_x[:, torch.as_tensor(column)] * torch.as_tensor(share).to(self.device, self._complex)
                phase_y = phase_y[:, torch.as_tensor(row)]
            return phase_x @ phase_y.T

    def _phases(self, orders: np.ndarray, position: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """exp(-2πi k x) for orders k and the different positions, in sides of the cell, among the atoms', and which of
        them each atom has."""
        places, which = np.unique(np.round(position, 9), return_inverse=True)
        phases = np.exp(-2j * np.pi * np.outer(orders, places))
        return torch.as_tensor(phases, device=self.device, dtype=self._complex), which

    def _nothing(self) -> torch.Tensor:
        return torch.zeros((self.points[0], self.points[1] // 2 + 1), device=self.device, dtype=self._complex)

    def _tables(self, kind: str) -> dict[int, torch.Tensor]:
        """One kind of each element's factors on the half grid; none where it has none."""
        frequency, found = self._frequency(), {}
        for number, factor in self._factors.items():
            radial = getattr(factor, kind)
            if radial is not None:
                found[number] = torch.as_tensor(radial(frequency), device=self.device, dtype=self.dtype)
        return found

    def _plane_spectra(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        real, absorbed = self._tables("potential"), self._tables("absorption")
        for number, table in self._tables("correction").items():
            real[number] = real[number] + table
        yield from self._shared(real, absorbed)

    def _shared(
        self, real: dict[int, torch.Tensor], absorbed: dict[int, torch.Tensor]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Each level's sums of structure factors times tables, atoms shared linearly between levels."""
        below, above, share = split_between_slices(self.positions[:, 2], self.levels)
        for level in range(len(self)):
            weight = np.where(below == level, 1 - share, 0.0) + np.where((above == level) & (above > below), share, 0.0)
            spectrum, lost = self._nothing(), self._nothing() if absorbed else None
            for number, table in real.items():
                mine = np.flatnonzero((weight > 1e-6) & (self.numbers == number))
                if mine.size:
                    structure = self._structure_factor(mine, weight[mine])
                    spectrum += structure * table
                    if lost is not None and number in absorbed:
                        lost += structure * absorbed[number]
            yield spectrum, lost

    def _finite_slabs(self) -> dict[int, _SlabFactor]:
        frequency = self._frequency()
        return {number: _SlabFactor(each.potential, frequency, self.dtype) for number, each in self._factors.items()}

    def _finite_spectra(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Slabs of the potential; what absorption adds is confined to the core and stays at the atom's height."""
        assert self._slabs is not None
        corrections, absorbed = self._tables("correction"), self._tables("absorption")
        added = self._shared(corrections, absorbed) if corrections else None
        thickness = float(self.thickness[-1])
        planes = plane_levels(self.positions[:, 2], thickness / 8)
        plane = np.abs(self.positions[:, 2][:, None] - planes[None, :]).argmin(1) if len(planes) else np.array([], int)
        kept: dict[tuple[int, int], torch.Tensor] = {}
        for level in self.levels:
            spectrum = self._nothing()
            low, high = level - thickness / 2, level + thickness / 2
            reached = [i for i, z in enumerate(planes) if low - FINITE_REACH < z < high + FINITE_REACH]
            kept = {key: value for key, value in kept.items() if key[0] in reached}
            for index in reached:
                for number, slab in self._slabs.items():
                    mine = np.flatnonzero((plane == index) & (self.numbers == number))
                    if mine.size:
                        structure = kept.get((index, number))
                        if structure is None:
                            structure = self._structure_factor(mine, np.ones(mine.size))
                            if (len(kept) + 1) * structure.nbytes <= KEPT_BYTES:
                                kept[index, number] = structure
                        factor = slab.between(low - planes[index], high - planes[index]).to(self.device)
                        spectrum += structure * factor
            more, lost = next(added) if added is not None else (0, None)
            yield spectrum + more, lost


class _SlabFactor:
    """The scattering factor of a slab of one atom's potential, ∫_{z1}^{z2} dz of its transform in the plane.

    Tabulated as the integral from -∞ up to z: f(q)/2 + ∫_0^∞ 2 f(√(q² + q_z²)) sin(2π q_z z) / (2π q_z) dq_z.
    """

    STEP_Z, STEP_Q = 0.01, 0.01

    def __init__(self, radial: Radial, frequency: np.ndarray, dtype: torch.dtype) -> None:
        q = self.STEP_Q * np.arange(int(frequency.max() / self.STEP_Q) + 3)
        z = np.arange(-FINITE_REACH, FINITE_REACH + self.STEP_Z / 2, self.STEP_Z)
        along = np.arange(0.005, 14, 0.01)  # 1/Å; periodic in z with 100 Å, and f has fallen to nothing at 14
        kernel = 2 * np.sin(2 * np.pi * np.outer(z, along)) / (2 * np.pi * along) * 0.01
        self.up_to = radial(q)[None, :] / 2 + kernel @ radial(np.hypot(q[:, None], along[None, :])).T
        self.dtype = dtype
        place = frequency / q[1]
        self.below = np.minimum(place.astype(np.int32), len(q) - 2)
        self.share = place - self.below

    def between(self, low: float, high: float) -> torch.Tensor:
        """For a slab from ``low`` to ``high`` (Å from the atom), on the grid."""
        line = self._at(high) - self._at(low)
        steps = np.append(np.diff(line), 0.0)
        return torch.as_tensor(line[self.below] + steps[self.below] * self.share).to(self.dtype)

    def _at(self, z: float) -> np.ndarray:
        place = np.clip((z + FINITE_REACH) / self.STEP_Z, 0, len(self.up_to) - 1.000001)
        low = int(place)
        return self.up_to[low] * (1 - place + low) + self.up_to[low + 1] * (place - low)
