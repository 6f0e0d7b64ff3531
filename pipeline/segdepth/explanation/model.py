"""Expected electrons of a frame: columns → atoms → multislice → the fitted lens → the network's grid.

The simulated cell is the frame's own rectangle with a margin on each side, into which the crystal at the frame's border
is continued (``continuation``). A tilt acts on the propagation: atoms stay upright, and the image of a column that
stands higher or lower than the reference height is displaced.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from ase import Atoms

from segdepth.config import Beam, Imaging
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.explanation.columns import ColumnStacks
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_wave, in_fft_order, wave_orders
from segdepth.simulation.lens_values import image_former
from segdepth.simulation.optics import ImageFormer, smooth_size

MARGIN_PM = 600.0
"""Crystal beyond each side of the frame, at least."""

PAD_PM = 200.0
"""Vacuum above the first and below the last atom."""


@dataclass(frozen=True)
class Grid:
    """The network's grid of one frame.

    shape : (rows, columns). pixel_pm : side of a pixel. electrons : that a pixel counts in vacuum.
    """

    shape: tuple[int, int]
    pixel_pm: float
    electrons: float

    @property
    def margin(self) -> int:
        """Pixels of the margin; even, so that it is a whole number of points of |ψ|²."""
        return 2 * int(np.ceil(MARGIN_PM / self.pixel_pm / 2))

    @cached_property
    def cell(self) -> tuple[int, int]:
        """Pixels (rows, columns) of the simulated cell."""
        return tuple(2 * smooth_size(-(-(side + 2 * self.margin) // 2)) for side in self.shape)

    @property
    def cell_pm(self) -> tuple[float, float]:
        """Sides of the cell along x and y."""
        rows, columns = self.cell
        return columns * self.pixel_pm, rows * self.pixel_pm


class FrameModel:
    """Images of columns through one microscope.

    Parameters
    ----------
    grid : of the frame. beam : without ranges, with its tilt and each element's vibration (``lens.beam_of``).
    device : of the multislice: auto, cpu or cuda.
    """

    def __init__(self, grid: Grid, beam: Beam, imaging: Imaging | None = None, device: str = "cpu") -> None:
        self.grid, self.beam = grid, beam
        self.imaging = (imaging or Imaging()).model_copy(update={"pixel_pm": grid.pixel_pm, "image_spread_pm": 0.0})
        configure_abtem(abtem_device(device))
        self.attrs = {
            "cell_pm": grid.cell_pm,
            "margin_pm": grid.margin * grid.pixel_pm,
            "wavelength_pm": wavelength_pm(beam.energy_kev),
            "stored_angle_mrad": beam.stored_angle_mrad,
        }
        self.orders = wave_orders(grid.cell_pm, beam)

    def with_beam(self, beam: Beam) -> FrameModel:
        """The same frame in another beam."""
        other = copy(self)
        other.beam = beam
        return other

    def with_grid(self, grid: Grid) -> FrameModel:
        """The same microscope on another vacuum level; the sizes must be the same."""
        other = copy(self)
        other.grid = grid
        return other

    @cached_property
    def former(self) -> ImageFormer:
        """The project's image former on this grid."""
        return image_former(self.imaging, self.attrs, self.orders, "cpu")

    def atoms(self, stacks: ColumnStacks) -> Atoms:
        """The columns as atoms in Å, with what the multislice and other steps read in ``info``."""
        numbers, height, column = _filled(stacks)
        edge = self.grid.margin * self.grid.pixel_pm
        x, y = stacks.x_pm + edge, stacks.y_pm + edge
        lowest, highest = height.min(initial=0.0), height.max(initial=0.0)
        sides = self.grid.cell_pm
        kept = (x >= 0) & (x < sides[0]) & (y >= 0) & (y < sides[1])
        kept = kept[column]
        atoms = Atoms(
            numbers=numbers[kept],
            positions=np.stack([x[column], y[column], height - lowest + PAD_PM], axis=1)[kept] / 100,
            cell=np.array([*sides, highest - lowest + 2 * PAD_PM]) / 100,
            pbc=(True, True, False),
        )
        atoms.set_array("column", column[kept])
        rows, columns = self.grid.cell
        field = [(n - 2 * self.grid.margin) * self.grid.pixel_pm for n in (columns, rows)]
        atoms.info = {"exit_face_pm": float(PAD_PM - lowest), "margin_pm": edge, "field_pm": field}
        return atoms

    def wave(self, stacks: ColumnStacks) -> torch.Tensor:
        """Exit wave of the columns, complex (ky, kx) as ``simulation.exit_wave`` gives it, but for what a tilted beam
        displaces: atoms at the columns' reference height stay in place."""
        atoms = self.atoms(stacks)
        away = atoms.info["exit_face_pm"] + stacks.reference_pm
        return torch.as_tensor(exit_wave(atoms, self.beam) * undrifted(atoms, away, self.grid.cell_pm, self.beam))

    def image(self, wave: torch.Tensor, lens: Lens) -> np.ndarray:
        """Intensity float64 (row, column) on the grid, vacuum = 1."""
        rows, columns = self.grid.shape
        formed = self.former.form(wave[None].expand(len(lens.c1_pm), -1, -1), lens)
        return formed.numpy().astype(np.float64)[:, :rows, :columns]

    def expected(self, stacks: ColumnStacks, lens: Lens) -> np.ndarray:
        """Expected electrons (row, column)."""
        return self.image(self.wave(stacks), lens)[0] * self.grid.electrons


def undrifted(atoms: Atoms, height_pm: float, cell_pm: tuple[float, float], beam: Beam) -> np.ndarray:
    """Phase factors (ky, kx) on an exit wave whose beam is tilted: what stays in place is then ``height_pm`` (from the
    cell's upper face) instead of halfway between the first and the last atoms."""
    heights = 100 * atoms.positions[:, 2] if len(atoms) else np.array([height_pm])
    away = (heights.min() + heights.max()) / 2 - height_pm
    x, y = (in_fft_order(most) / side for most, side in zip(wave_orders(cell_pm, beam), cell_pm))
    drift_x, drift_y = (np.tan(t / 1000) * away for t in beam.tilt_mrad)
    return np.exp(2j * np.pi * (y[:, None] * drift_y + x * drift_x)).astype(np.complex64)


def _filled(stacks: ColumnStacks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atomic number, height from the exit face (pm) and column of every atom, the lighter ones of mixed columns too."""
    column = np.repeat(np.arange(len(stacks)), stacks.count)
    rank = np.arange(len(column)) - np.repeat(np.cumsum(stacks.count) - stacks.count, stacks.count)
    height = (stacks.first[column] + rank) * stacks.spacing_pm[column] + stacks._offset_pm[column]
    period, parts = stacks.crystal.periods_pm[2], []
    for kind, one in enumerate(stacks.crystal.columns):
        mine = stacks.kind[column] == kind
        for symbol, above in ((one.element, 0.0), *one.companions):
            number = np.full(int(mine.sum()), ATOMIC_NUMBER[symbol])
            parts.append((number, height[mine] + above * period, column[mine]))
    numbers, heights, columns = (np.concatenate(values) for values in zip(*parts))
    return numbers, heights, columns
