"""The image former: from stored exit waves and lens values to intensity, in batches, on CPU and GPU.

Model (SBD A.1): each focal step's wave passes exp(-iχ), a hard aperture and the quasi-coherent envelope of
convergence; the intensities of the steps are averaged with Gaussian weights; image spread, the camera's MTF, drift,
what inelastic scattering blurs (``blurring``), the pixel's box and the background act on the intensity. Lengths in pm,
angles in rad, frequencies in 1/pm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from segdepth.devices import one_thread
from segdepth.recently_used import RecentlyUsed
from segdepth.simulation.aberrations import Lens, aberration_function, aberration_slope
from segdepth.simulation.blurring import spectrum_factor
from segdepth.simulation.cell import as_xy
from segdepth.simulation.focal import focal_modes, focal_steps

ALIAS_DAMPING = 0.1
"""|ψ|² may be sampled so coarsely that what folds back is damped to this by the image spread: little scatters twice to
the rim of the aperture, so that it is far below 0.1 % of the contrast (``study_convergence``, "as chosen for the image
spread").
"""

SPREAD_STEP_PM = 10.0
"""Focal spreads are rounded to this before their modes are sought (10 ms each), so that images with a spread of their
own share them. At C1 = 1 nm, where it does most, it changes images by up to 0.25 % of their contrast at 3.2 nm of
spread and 0.35 % at 2 nm; leaving out the weakest modes changes them by 1 %."""

GPU_SHARE = 0.5
"""Share of a GPU's free memory that a batch may take."""


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


def intensity_grid(orders: int, side_pm: float, image_spread_pm: float) -> int:
    """Points along a side of the cell on which |ψ|² of orders -K … K is sampled.

    4K + 1 hold all its frequencies. Order n beyond N/2 appears at N - n, N - 2K at least: where the image spread damps
    that to ``ALIAS_DAMPING``, fewer serve.
    """
    exact = 4 * orders + 1
    if image_spread_pm <= 0:
        return smooth_size(exact)
    clean = math.sqrt(-math.log(ALIAS_DAMPING) / 2) / (math.pi * image_spread_pm) * side_pm
    return smooth_size(min(exact, max(2 * orders + math.ceil(clean), 2 * orders + 2)))


_kept_modes = lru_cache(maxsize=256)(focal_modes)  # more than a range of spreads holds after rounding


class ImageFormer:
    """Forms images of a rectangular cell from stored waves.

    Parameters
    ----------
    cell_pm, margin_pm : sides of the simulated cell along x and y, or one number for both, and what is cropped from
        each of them.
    pixel_pm : sides of the image pixel along x and y, or one number for both; the cell's sides and the margin are whole
        numbers of it.
    orders : K, the stored Fourier orders are -K … K; one number for x and y, or two.
    wavelength_pm : electron wavelength.
    aperture_rad : radius of the hard objective aperture.
    focal_steps : average over so many equal steps over ±2 half-widths of the focal spread; without it, over eigenmodes
        of the focal kernel.
    focal_modes : how many of these, if not as many as they need (``segdepth.simulation.focal``).
    least_image_spread_pm : no lens will have less; allows a coarser grid for |ψ|². 0 is exact for any lens.
    intensity_points : that grid's points along x and y, or one number for both, if not those of ``intensity_grid``.
    camera_pixel_pm, mtf_exponent : the camera's MTF is exp(-mtf_decay (q / q_N)^exponent), q_N = 1 / (2 camera pixels),
        beside the box of ``pixel_pm``.
    dtype : real type of the calculation (float32 or float64).

    The box and the image spread are applied to the spectrum of |ψ|², which is then folded onto the pixel grid: a pixel
    is the integral over its area, and a binned image equals one formed at the larger pixel.

    Attributes
    ----------
    grid : points of |ψ|² along x and y.
    field_shape : pixels of an image, (y, x).
    """

    def __init__(
        self,
        *,
        cell_pm: float | Sequence[float],
        margin_pm: float,
        pixel_pm: float | Sequence[float],
        orders: int | Sequence[int],
        wavelength_pm: float,
        aperture_rad: float,
        focal_steps: int | None = None,
        focal_modes: int | None = None,
        least_image_spread_pm: float = 0.0,
        intensity_points: int | Sequence[int] | None = None,
        camera_pixel_pm: float | None = None,
        mtf_exponent: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        self.cell_pm, self.orders = as_xy(cell_pm), as_xy(orders)
        self.pixel_pm, self.wavelength_pm = as_xy(pixel_pm), wavelength_pm
        self.cell_pixels = tuple(round(side / pixel) for side, pixel in zip(self.cell_pm, self.pixel_pm))
        self.margin_pixels = tuple(round(margin_pm / pixel) for pixel in self.pixel_pm)
        columns, rows = (count - 2 * left for count, left in zip(self.cell_pixels, self.margin_pixels))
        self.field_shape = rows, columns
        self.focal_steps, self.focal_modes = focal_steps, focal_modes
        self.least_image_spread_pm = least_image_spread_pm
        chosen = (intensity_grid(k, side, least_image_spread_pm) for k, side in zip(self.orders, self.cell_pm))
        self.grid = tuple(chosen) if intensity_points is None else as_xy(intensity_points)
        for points, most in zip(self.grid, self.orders):
            if points < 2 * most + 1:
                raise ValueError(f"intensity_points: got {points}; a wave of orders up to {most} needs {2 * most + 1}")
        self._make_angles(aperture_rad)
        self._make_spectrum(camera_pixel_pm or self.pixel_pm[0], mtf_exponent)
        self._kept_maps: RecentlyUsed[tuple[float, float], Tensor] = RecentlyUsed(4)

    @property
    def field_pixels(self) -> int:
        """Pixels along each side of a square image.

        Raises
        ------
        ValueError
            The field is not square.
        """
        rows, columns = self.field_shape
        if rows != columns:
            raise ValueError(f"the field of view must be square here; it has {columns} x {rows} pixels")
        return rows

    def _make_angles(self, aperture_rad: float) -> None:
        """The orders' angles and the aperture, (ky, kx), from -K to K in rising order: a shift of all orders is a
        phase, which cancels in |ψ|²."""
        x, y = (
            torch.arange(-most, most + 1, device=self.device, dtype=torch.float64) * self.wavelength_pm / side
            for most, side in zip(self.orders, self.cell_pm)
        )
        self._theta_x, self._theta_y = x[None, :].to(self.dtype), y[:, None].to(self.dtype)
        angle_squared = y[:, None] ** 2 + x[None, :] ** 2
        self.aperture = (angle_squared <= aperture_rad**2 * (1 + 1e-12)).to(self.dtype)
        self.angle_squared = angle_squared.to(self.dtype)
        corner = float(x[-1]) * math.sqrt(1 + float(y[-1] / x[-1]) ** 2) if self.orders[0] else float(y[-1])
        self._largest_angle = min(aperture_rad, corner)

    def _make_spectrum(self, camera_pixel_pm: float, mtf_exponent: float) -> None:
        """What acts on the intensity's orders -top … top: the pixel's box, and frequencies for what blurs."""
        self._top = tuple(min(2 * most, points // 2 - 1) for most, points in zip(self.orders, self.grid))
        x, y = (torch.arange(-top, top + 1, device=self.device, dtype=torch.float64) for top in self._top)
        self._lines = tuple(map(self._pixel_box, (x, y), self.cell_pm, self.pixel_pm))
        side, other = self.cell_pm
        frequency_squared = ((side / other * y[:, None]) ** 2 + x[None, :] ** 2) / side**2
        self._frequency = (x / side).to(self.dtype), (y / other).to(self.dtype)
        self._frequency_squared = frequency_squared.to(self.dtype)
        self._mtf_power = ((2 * camera_pixel_pm * frequency_squared.sqrt()) ** mtf_exponent).to(self.dtype)

    def _pixel_box(self, orders: Tensor, side_pm: float, pixel_pm: float) -> Tensor:
        """The box of a pixel along one axis, and its centre at (i + 1/2) pixels."""
        box = torch.sinc(orders * pixel_pm / side_pm) * torch.exp(1j * math.pi * orders * pixel_pm / side_pm)
        return box.to(self.complex_dtype)

    def form(self, waves: Tensor, lens: Lens, weights: Sequence[float] | None = None) -> Tensor:
        """Intensity (batch, y, x) of the field of view, vacuum = 1.

        Parameters
        ----------
        waves : complex, (batch, ky, kx) in FFT order, or (batch, configuration, ky, kx), whose images are added up.
        lens : values of the batch.
        weights : of the configurations' images, the same for the whole batch; without them, the mean is formed.

        Raises
        ------
        ValueError
            A lens has an image spread of less than ``least_image_spread_pm``, or there are not as many weights as
            configurations.
        """
        if waves.ndim == 3:
            waves = waves[:, None]
        if weights is not None and len(weights) != waves.shape[1]:
            raise ValueError(f"weights: got {len(weights)} for {waves.shape[1]} configurations")
        least = self.least_image_spread_pm
        if least and lens.least_image_spread_pm < least * (1 - 1e-6):
            raise ValueError(
                f"image_spread_pm: got {lens.least_image_spread_pm:g}; the grid of |ψ|² is made for at least {least:g}"
            )
        if self.device.type == "cpu":
            return self._form_on_cores(waves, lens, weights)
        return form_in_batches(
            lambda some: self._form(waves[some], lens.part(some), weights), len(waves), self._batch_that_fits()
        )

    def _form_on_cores(self, waves: Tensor, lens: Lens, weights: Sequence[float] | None) -> Tensor:
        """One image at a time stays in a core's cache, and no image depends on its batch; threads side by side."""
        ones = [slice(i, i + 1) for i in range(len(waves))]
        threads = min(torch.get_num_threads(), len(waves))
        if torch.get_num_threads() == 1:
            return torch.cat([self._form(waves[one], lens.part(one), weights) for one in ones])
        with one_thread(), ThreadPoolExecutor(threads) as pool:
            return torch.cat(list(pool.map(lambda one: self._form(waves[one], lens.part(one), weights), ones)))

    def _batch_that_fits(self) -> int:
        """Images that a GPU's free memory holds at once: six complex grids each."""
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1, int(GPU_SHARE * free / (6 * math.prod(self.grid) * self.complex_dtype.itemsize)))

    @torch.no_grad()
    def _form(self, waves: Tensor, lens: Lens, weights: Sequence[float] | None = None) -> Tensor:
        lens = lens.to(self.device, self.dtype)
        total = None
        for configuration, weight in enumerate([1.0] * waves.shape[1] if weights is None else weights):
            one = waves[:, configuration].to(self.device, self.complex_dtype)
            found = self._grid_intensity(torch.fft.fftshift(one, dim=(-2, -1)) * self.aperture, lens)
            total = weight * found if total is None else total.add_(found, alpha=weight)
        return self._to_pixels(total / waves.shape[1] if weights is None else total, lens)

    def _grid_intensity(self, coefficients: Tensor, lens: Lens) -> Tensor:
        """Focal average of |ψ|² on the grid, (batch, y, x)."""
        return (self._average_of_steps if self.focal_steps else self._average_of_modes)(coefficients, lens)

    def _average_of_steps(self, coefficients: Tensor, lens: Lens) -> Tensor:
        steps, weights = focal_steps(self.focal_steps)
        chi, slope_x, slope_y = self._aberrations(lens)
        total = None
        for step, weight in zip(steps, weights):
            focus = step * lens.focal_spread_pm[:, None, None]
            phase = chi + (math.pi / self.wavelength_pm) * focus * self.angle_squared
            slopes = slope_x + focus * self._theta_x, slope_y + focus * self._theta_y
            total = self._add_intensity(total, coefficients * self._transfer(lens, phase, *slopes), weight)
        return total[..., 0] + total[..., 1]

    def _average_of_modes(self, coefficients: Tensor, lens: Lens) -> Tensor:
        wave = coefficients * self._transfer(lens, *self._aberrations(lens))
        spreads = (SPREAD_STEP_PM * (lens.focal_spread_pm / SPREAD_STEP_PM).round()).tolist()
        kinds = list(zip(spreads, lens.convergence_rad.tolist()))
        if len(set(kinds)) == 1:
            maps = self._mode_maps(kinds[0])[None]
        else:
            maps = pad_sequence([self._mode_maps(kind) for kind in kinds], batch_first=True)
        total = None
        for mode in range(maps.shape[1]):
            total = self._add_intensity(total, wave * maps[:, mode], 1.0)
        return total[..., 0] + total[..., 1]

    def _aberrations(self, lens: Lens) -> tuple[Tensor, Tensor, Tensor]:
        """χ at nominal focus and λ/2π · ∇χ along x and y."""
        chi = aberration_function(lens, self._theta_x, self._theta_y, self.wavelength_pm)
        return chi, *aberration_slope(lens, self._theta_x, self._theta_y)

    def _transfer(self, lens: Lens, chi: Tensor, slope_x: Tensor, slope_y: Tensor) -> Tensor:
        """exp(-iχ) times the envelope exp(-(α/2)² |∇χ|²), α the 1/e half-width of the illumination: the source
        exp(-(θ/α)²) averaged to first order (quasi-coherent)."""
        decay = (lens.convergence_rad * (math.pi / self.wavelength_pm)).square()[:, None, None]
        return torch.polar(torch.exp(-decay * (slope_x**2 + slope_y**2)), -chi)

    def _mode_maps(self, kind: tuple[float, float]) -> Tensor:
        """Modes on the grid of orders, (mode, ky, kx), for a focal spread in pm and a convergence in rad."""
        return self._kept_maps.get(kind, self._make_mode_maps)

    def _make_mode_maps(self, kind: tuple[float, float]) -> Tensor:
        spread_pm, convergence_rad = kind
        largest = self._largest_angle
        table = _kept_modes(spread_pm, convergence_rad, largest, self.wavelength_pm, self.focal_modes)
        table = table.to(self.complex_dtype).to(self.device, non_blocking=True)
        place = (self.angle_squared * ((table.shape[1] - 1) / largest**2)).clamp(0, table.shape[1] - 1)
        below = place.long().clamp(max=table.shape[1] - 2)
        return torch.lerp(table[:, below], table[:, below + 1], (place - below).to(self.complex_dtype))

    def _add_intensity(self, total: Tensor | None, wave: Tensor, weight: float) -> Tensor:
        """``total`` plus weight · (real², imaginary²) of the wave on the grid: their sum waits for the end, which makes
        one fused pass a step."""
        psi = torch.fft.ifft(wave, n=self.grid[0], dim=-1, norm="forward")
        psi = torch.fft.ifft(psi, n=self.grid[1], dim=-2, norm="forward")
        parts = torch.view_as_real(psi)
        return parts.square().mul_(weight) if total is None else total.addcmul_(parts, parts, value=weight)

    def _to_pixels(self, intensity: Tensor, lens: Lens) -> Tensor:
        """What blurs, and the box, in Fourier space; folding onto the pixel grid, crop to the field, background."""
        spectrum = torch.fft.fftshift(torch.fft.fft2(intensity, norm="forward"), dim=(-2, -1))
        columns, rows = (slice(points // 2 - top, points // 2 + top + 1) for points, top in zip(self.grid, self._top))
        spectrum = spectrum[:, rows, columns]
        factor = spectrum_factor(lens, *self._frequency, self._frequency_squared, self._mtf_power)
        spectrum = spectrum * factor * self._lines[1][:, None] * self._lines[0]
        image = torch.fft.ifft2(self._fold(self._fold(spectrum, -1), -2), norm="forward").real
        left, below = self.margin_pixels
        rows, columns = (slice(first, first + n) for first, n in zip((below, left), self.field_shape))
        image = image[:, rows, columns].contiguous()
        if lens.background.any():
            background = lens.background[:, None, None]
            image = (image + background) / (1 + background)
        return image

    def _fold(self, spectrum: Tensor, dim: int) -> Tensor:
        """Orders -top … top along ``dim`` (-1 is x, -2 is y) summed modulo the number of pixels, in FFT order."""
        n, top = self.cell_pixels[-1 - dim], self._top[-1 - dim]
        before = (-(-top // n)) * n  # first order that is a multiple of n and not above -top
        periods = (before + top) // n + 1
        pad = [before - top, periods * n - before - top - 1]
        spectrum = spectrum.movedim(dim, -1)
        spectrum = torch.nn.functional.pad(spectrum, pad)
        spectrum = spectrum.unflatten(-1, (periods, n)).sum(-2)
        return spectrum.movedim(-1, dim)


def form_in_batches(form, count: int, size: int) -> Tensor:
    """``form(slice)`` over ``count`` images, ``size`` at a time, half as many after each out-of-memory error.

    Raises
    ------
    torch.OutOfMemoryError
        Not even one image fits.
    """
    parts, start = [], 0
    while start < count:
        some = slice(start, min(start + size, count))
        try:
            parts.append(form(some))
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = max(1, min(size, count - start) // 2)
            torch.cuda.empty_cache()
            continue
        start = some.stop
    return torch.cat(parts)
