"""The one image former: stored exit waves and a lens in, intensity out; batched, on CPU and GPU.

Model (SBD A.1): each focal step's wave passes exp(-iχ), a hard aperture and the quasi-coherent envelope of
convergence; the intensities of the steps are averaged with Gaussian weights (explicit averaging); vibration and the
pixel's box act on the intensity. χ(θ) = (2π/λ)(C1 θ²/2 + C3 θ⁴/4 + C5 θ⁶/6), C1 > 0 is overfocus.
Lengths in pm, angles in rad, frequencies in 1/pm. This module must not know where waves come from.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """Lens values of a batch: tensors of shape (batch,), in pm and rad."""

    c1_pm: Tensor
    c3_pm: Tensor
    c5_pm: Tensor
    focal_spread_pm: Tensor
    convergence_rad: Tensor
    vibration_pm: Tensor

    @classmethod
    def from_columns(
        cls, columns: dict, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
    ) -> Self:
        """From ``{field: sequence of length batch}``."""
        return cls(**{f.name: torch.as_tensor(columns[f.name], device=device, dtype=dtype) for f in fields(cls)})

    def part(self, which: slice) -> Self:
        """The lens of a part of the batch."""
        return type(self)(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


def smooth_size(at_least: int) -> int:
    """Smallest even number >= ``at_least`` with no prime factor above 7."""
    size = at_least + at_least % 2
    while True:
        rest = size
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


class ImageFormer:
    """Forms images of a square cell from stored waves.

    Parameters
    ----------
    cell_pm, margin_pm : side of the simulated cell, and what is cropped from each of its sides.
    pixel_pm : side of the image pixel; cell and margin are whole numbers of it.
    orders : K, the stored Fourier orders are -K … K.
    wavelength_pm : electron wavelength.
    aperture_rad : radius of the hard objective aperture.
    focal_samples : equal focal steps over ±2 half-widths of the focal spread.
    dtype : real type of the calculation (float32 or float64).

    |ψ|² is sampled on a grid that holds all its frequencies (4K + 1 points at least), so that nothing aliases; the
    box and the vibration are applied to its spectrum, which is then folded onto the pixel grid: a pixel is the
    integral over its area, and a binned image equals one formed at the larger pixel.
    """

    def __init__(
        self,
        *,
        cell_pm: float,
        margin_pm: float,
        pixel_pm: float,
        orders: int,
        wavelength_pm: float,
        aperture_rad: float,
        focal_samples: int = 17,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        self.cell_pm, self.pixel_pm, self.orders, self.wavelength_pm = cell_pm, pixel_pm, orders, wavelength_pm
        self.cell_pixels, self.margin_pixels = round(cell_pm / pixel_pm), round(margin_pm / pixel_pm)
        self.field_pixels = self.cell_pixels - 2 * self.margin_pixels
        self.grid = smooth_size(4 * orders + 1)
        # orders from -K to K in rising order; a shift of all orders is a phase that |ψ|² does not see
        k = torch.arange(-orders, orders + 1, device=self.device, dtype=torch.float64)
        angle_squared = (k[:, None] ** 2 + k[None, :] ** 2) * (wavelength_pm / cell_pm) ** 2
        self.aperture = (angle_squared <= aperture_rad**2 * (1 + 1e-12)).to(dtype)
        self.angle_squared = angle_squared
        self._steps, self._weights = focal_quadrature(focal_samples)

        n = torch.arange(-2 * orders, 2 * orders + 1, device=self.device, dtype=torch.float64)
        self._box = torch.sinc(n * pixel_pm / cell_pm)
        self._centre = torch.exp(1j * math.pi * n * pixel_pm / cell_pm)  # pixel i has its centre at (i + 1/2) pixels
        self._intensity_frequency_squared = (n[:, None] ** 2 + n[None, :] ** 2) / cell_pm**2

    def form(self, waves: Tensor, lens: Lens) -> Tensor:
        """Intensity (batch, y, x) of the field of view, vacuum = 1.

        Parameters
        ----------
        waves : complex, (batch, ky, kx) in FFT order, as stored.
        lens : values of the batch.
        """
        if self.device.type == "cpu":
            # one image at a time stays in a core's cache, and no image depends on its batch; threads side by side
            starts, size = range(len(waves)), 1
            threads = min(torch.get_num_threads(), len(waves))
        else:
            size, threads = 16, 1
            starts = range(0, len(waves), size)

        def some(start: int) -> Tensor:
            return self._form(waves[start : start + size], lens.part(slice(start, start + size)))

        if threads == 1:
            return torch.cat([some(start) for start in starts])
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(some, starts)))

    @torch.no_grad()
    def _form(self, waves: Tensor, lens: Lens) -> Tensor:
        coefficients = torch.fft.fftshift(waves.to(self.device, self.complex_dtype), dim=(-2, -1)) * self.aperture
        return self._to_pixels(self._grid_intensity(coefficients, lens), lens)

    def _grid_intensity(self, coefficients: Tensor, lens: Lens) -> Tensor:
        """Focal average of |ψ|² on the alias-free grid, (batch, grid, grid)."""

        def column(values: Tensor) -> Tensor:
            return values.to(self.device, torch.float64)[:, None, None]

        s = self.angle_squared  # θ²
        wavenumber = 2 * math.pi / self.wavelength_pm
        spread, convergence = column(lens.focal_spread_pm), column(lens.convergence_rad)
        step = spread * (self._steps[1] - self._steps[0] if len(self._steps) > 1 else 0.0)
        focus = column(lens.c1_pm) + spread * self._steps[0]
        higher = column(lens.c3_pm) * s + column(lens.c5_pm) * s**2
        # envelope exp(-(α/2)² |dχ/dθ|²), α the 1/e half-width: the source exp(-(θ/α)²) averaged to first order
        decay = (convergence / 2 * wavenumber) ** 2 * s
        slope = focus + higher
        phase = wavenumber * s * (focus / 2 + column(lens.c3_pm) * s / 4 + column(lens.c5_pm) * s**2 / 6)
        wave = coefficients * torch.polar(torch.exp(-decay * slope**2), -phase).to(self.complex_dtype)
        # from one focal step to the next the transfer changes by a factor, and that factor by another
        ratio = torch.polar(torch.exp(-decay * (2 * step * slope + step**2)), -wavenumber * s * step / 2)
        ratio = ratio.to(self.complex_dtype)
        growth = torch.exp(-2 * decay * step**2).to(self.dtype)

        total = None
        for index, weight in enumerate(self._weights):
            if index:
                wave = wave * ratio
                ratio = ratio * growth
            psi = torch.fft.ifft(wave, n=self.grid, dim=-1, norm="forward")
            psi = torch.fft.ifft(psi, n=self.grid, dim=-2, norm="forward")
            parts = torch.view_as_real(
                psi
            )  # the sum over real and imaginary part waits for the end: one fused pass a step
            total = parts.square().mul_(weight) if total is None else total.addcmul_(parts, parts, value=weight)
        return total[..., 0] + total[..., 1]

    def _to_pixels(self, intensity: Tensor, lens: Lens) -> Tensor:
        """Vibration and box in Fourier space, folding onto the pixel grid, crop to the field."""
        width = 4 * self.orders + 1
        spectrum = torch.fft.fftshift(torch.fft.fft2(intensity, norm="forward"), dim=(-2, -1))
        low = self.grid // 2 - 2 * self.orders
        spectrum = spectrum[:, low : low + width, low : low + width]
        vibration = lens.vibration_pm.to(self.device, torch.float64)[:, None, None]
        damping = torch.exp(-2 * (math.pi * vibration) ** 2 * self._intensity_frequency_squared)
        line = self._box * self._centre
        transfer = damping * (line[:, None] * line[None, :])
        folded = self._fold(self._fold(spectrum * transfer.to(self.complex_dtype), -1), -2)
        image = torch.fft.ifft2(folded, norm="forward").real
        inside = slice(self.margin_pixels, self.margin_pixels + self.field_pixels)
        return image[:, inside, inside].contiguous()

    def _fold(self, spectrum: Tensor, dim: int) -> Tensor:
        """Orders -2K … 2K along ``dim`` summed modulo the number of pixels, in FFT order."""
        n, top = self.cell_pixels, 2 * self.orders
        before = (-(-top // n)) * n  # first order that is a multiple of n and not above -2K
        periods = (before + top) // n + 1
        pad = [before - top, periods * n - before - top - 1]
        spectrum = spectrum.movedim(dim, -1)
        spectrum = torch.nn.functional.pad(spectrum, pad)
        spectrum = spectrum.unflatten(-1, (periods, n)).sum(-2)
        return spectrum.movedim(-1, dim)


def focal_quadrature(samples: int) -> tuple[list[float], list[float]]:
    """Equal focal steps over ±2 half-widths and their weights exp(-t²), summing to 1 (SBD A.1; Dr. Probe).

    Returns the steps in units of the 1/e half-width. One sample is the nominal focus alone.
    """
    if samples == 1:
        return [0.0], [1.0]
    steps = [-2 + 4 * i / (samples - 1) for i in range(samples)]
    weights = [math.exp(-(t**2)) for t in steps]
    total = sum(weights)
    return steps, [w / total for w in weights]
