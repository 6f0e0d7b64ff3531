"""How the expected image changes with one column, in a square of pixels about it.

The image waves of the whole frame are formed once; a column's difference wave passes the same lens within its patch and
interferes with them there: Σ_m 2 Re(ψ_m* δ_m) + |δ_m|² over the focal modes, then spread, camera and pixel.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segdepth.crystals import Crystal
from segdepth.explanation.columns import ColumnStacks
from segdepth.explanation.differences import STATES, DifferenceLibrary, free_space, moved
from segdepth.explanation.model import FrameModel
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.optics import ImageFormer

PATCH_PM = 1350.0
"""Side of the square in which a difference wave is kept, about."""

WINDOW_PM = 850.0
"""Side of the square of pixels whose electrons tell of a column, about."""


COLUMNS_AT_ONCE = 16

FOCAL_MODES, MOST_MRAD = 5, 34.0
"""Coherent images whose intensities add up, and largest angle, in changes of the image: good to 5 to 10 % of them."""


class ImageWaves(ImageFormer):
    """An image former that also gives the waves whose intensities it adds."""

    def transfers(self, lens: Lens) -> Tensor:
        """Transfer functions complex (mode, ky, kx) of one lens, aperture included, orders -K … K."""
        through = self._transfer(lens, *self._aberrations(lens))[0] * self.aperture
        spread = float(10 * (lens.focal_spread_pm / 10).round())
        return self._mode_maps((spread, float(lens.convergence_rad))) * through

    def on_points(self, waves: Tensor) -> Tensor:
        """Waves (…, ky, kx), orders -K … K, on the points of |ψ|²: (…, y, x)."""
        for dim, points in ((-1, self.grid[0]), (-2, self.grid[1])):
            most, shape = waves.shape[dim] // 2, list(waves.shape)
            shape[dim] = points
            spectrum = waves.new_zeros(shape)
            spectrum.narrow(dim, 0, most + 1).copy_(waves.narrow(dim, most, most + 1))
            spectrum.narrow(dim, points - most, most).copy_(waves.narrow(dim, 0, most))
            waves = torch.fft.ifft(spectrum, dim=dim, norm="forward")
        return waves

    def pixels(self, intensity: Tensor, lens: Lens) -> Tensor:
        """Intensities (batch, y, x) on the points of |ψ|² as pixels (batch, row, column)."""
        return self._to_pixels(intensity, lens)


class ColumnPatches:
    """Changes of a frame's image with each of its columns.

    Attributes
    ----------
    window : pixels along a side of the square in which a change is given.
    """

    def __init__(self, model: FrameModel, crystal: Crystal) -> None:
        self.model, grid = model, model.grid
        self.side = 4 * round(PATCH_PM / grid.pixel_pm / 4)
        self.window = min(2 * round(WINDOW_PM / grid.pixel_pm / 2), self.side)
        side_pm, points = self.side * grid.pixel_pm, self.side
        margin = model.attrs["margin_pm"]
        self.library = DifferenceLibrary(crystal, model.beam, side_pm, points, MOST_MRAD)
        energy = model.beam.energy_kev
        self._orders = tuple(stored_orders(side, energy, MOST_MRAD) for side in grid.cell_pm)
        self._whole = self._former(grid.cell_pm, margin, self._orders, (grid.cell[1], grid.cell[0]))
        self._patch = self._former((side_pm, side_pm), 0.0, self.library.orders, (points, points))

    def _former(self, cell_pm: Any, margin_pm: float, orders: Any, points: tuple[int, int]) -> ImageWaves:
        imaging = self.model.imaging
        return ImageWaves(
            cell_pm=cell_pm,
            margin_pm=margin_pm,
            pixel_pm=imaging.pixel_pm,
            orders=orders,
            wavelength_pm=self.model.attrs["wavelength_pm"],
            aperture_rad=min(imaging.aperture_mrad, MOST_MRAD) / 1000,
            focal_modes=FOCAL_MODES,
            intensity_points=points,
            camera_pixel_pm=imaging.camera_pixel_pm,
            mtf_exponent=imaging.mtf_exponent,
        )

    def of(self, model: FrameModel) -> ColumnPatches:
        """The same for another frame of the same size and beam."""
        other = copy(self)
        other.model = model
        return other

    @torch.no_grad()
    def image_waves(self, wave: Tensor, lens: Lens) -> Tensor:
        """Image waves complex64 (mode, y, x) of a frame's exit wave (ky, kx in FFT order)."""
        lens = lens.to(torch.device("cpu"), torch.float32)
        x, y = (torch.as_tensor(np.arange(-most, most + 1)) for most in self._orders)
        rising = wave.to(torch.complex64)[y[:, None], x]
        return torch.stack([self._whole.on_points(rising * one) for one in self._whole.transfers(lens)])

    def corners(self, stacks: ColumnStacks) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the first pixel of each column's window on the grid; may be negative."""
        row, column, _ = self._origins(stacks)
        inner = (self.side - self.window) // 2
        return row + inner, column + inner

    def _origins(self, stacks: ColumnStacks) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """First pixel (row, column) of each patch, and what is left to the column's place: (x, y) in pm."""
        pixel, half = self.model.grid.pixel_pm, self.side / 2
        above = stacks.reference_pm - stacks.middle_pm
        x, y = (at + np.tan(t / 1000) * above for at, t in zip((stacks.x_pm, stacks.y_pm), self.model.beam.tilt_mrad))
        first = [np.floor(at / pixel - half + 0.5).astype(int) for at in (y, x)]
        rest = [at - (f + half) * pixel for at, f in zip((x, y), reversed(first))]
        return first[0], first[1], (rest[0], rest[1])

    @torch.no_grad()
    def changes(self, image_waves: Tensor, stacks: ColumnStacks, lens: Lens) -> np.ndarray:
        """Changes of the intensity float32 (column, state, row, column of pixels) in each column's window, vacuum = 1.

        Columns must lie within the simulated cell. A state that would leave less than no atom has NaN.
        """
        lens = lens.to(torch.device("cpu"), torch.float32)
        transfers, rows, columns, rest = self._patch.transfers(lens), *self._origins(stacks)
        margin, beam, side_pm = self.model.grid.margin, self.model.beam, self.side * self.model.grid.pixel_pm
        inner, points = (self.side - self.window) // 2, np.arange(self.side)
        out = np.empty((len(stacks), len(STATES), self.window, self.window), np.float32)
        _, height, width = image_waves.shape
        window = slice(inner, inner + self.window)
        nothing = torch.zeros(1, dtype=torch.float32)
        background = vars(lens).get("background", nothing)
        clear = {name: nothing if name == "background" else value for name, value in vars(lens).items()}
        for start in range(0, len(stacks), COLUMNS_AT_ONCE):
            some = np.arange(start, min(start + COLUMNS_AT_ONCE, len(stacks)))
            parts = [[one[stacks.kind[i]] for one in self.library.of(int(stacks.count[i]))] for i in some]
            waves, weights = (torch.as_tensor(np.stack(each)) for each in zip(*parts))
            away = free_space(self.library.orders, side_pm, beam, -stacks.last_pm[some]).astype(np.complex64)
            here = moved(self.library.orders, side_pm, rest[0][some], rest[1][some]) * torch.as_tensor(away)
            rising = torch.fft.fftshift(waves * here[:, None], dim=(-2, -1))
            differences = self._patch.on_points(rising[:, :, None] * transfers)  # (column, part, mode, y, x)
            y = torch.as_tensor((points + (rows[some, None] + margin)) % height)
            x = torch.as_tensor((points + (columns[some, None] + margin)) % width)
            behind = image_waves[:, y[:, :, None], x[:, None, :]].movedim(0, 1)
            total = _intensities(behind, differences, weights).flatten(0, 1)
            every = Lens(**{name: value.expand(len(total)) for name, value in clear.items()})
            pixels = self._patch.pixels(total, every)[:, window, window] / (1 + background)
            out[some] = pixels.unflatten(0, (len(some), len(STATES))).numpy()
        for state, (exit_, entrance) in enumerate(STATES):
            out[stacks.count + exit_ + entrance < 0, state] = np.nan
        return out


def _intensities(behind: Tensor, parts: Tensor, weights: Tensor) -> Tensor:
    """(column, state, y, x) of Σ_m 2 Re(ψ_m* δ_m) + |δ_m|², δ_m = Σ_p weight_p δ_mp, from waves (column, mode, y, x)
    and (column, part, mode, y, x), and weights (column, state, part).

    Both terms are sums over a few real images that all states share: the parts' interference with ψ, and the products
    of two parts. So one matrix product makes all states.
    """
    shape, number = parts.shape[-2:], parts.shape[1]
    flat, behind = parts.flatten(-2), behind.flatten(-2)
    mixed = (behind.conj()[:, None] * flat).sum(2)
    images, shares = [mixed.real, mixed.imag], [2 * weights.real, -2 * weights.imag]
    for a in range(number):
        product = (flat[:, a, None] * flat[:, a:].conj()).sum(2)
        share = weights[:, :, a, None] * weights[:, :, a:].conj()
        share[:, :, 1:] *= 2  # a with b and b with a
        images += [product.real, product.imag]
        shares += [share.real, -share.imag]
    return (torch.cat(shares, dim=2) @ torch.cat(images, dim=1)).unflatten(-1, shape)
