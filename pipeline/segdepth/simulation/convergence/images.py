"""Images of a case, timed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from segdepth.config import Imaging
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.convergence.cases import REFERENCE_ANGLE_MRAD, Optics
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.focal import focal_steps
from segdepth.simulation.lens_values import draw_lens_values, lens_fields
from segdepth.simulation.optics import ImageFormer

DEFOCUS_NM = (1.0, 3.0, 5.0, 7.0, 9.0)


class TimedImages(NamedTuple):
    """Images (defocus, y, x), seconds that one of them took, and points a side of the grid of |ψ|²."""

    images: np.ndarray
    seconds: float
    intensity_points: int


class Microscope:
    """Forms a wave's images at ``DEFOCUS_NM`` with the imaging block's lens and a case's optics."""

    def __init__(self, imaging: Imaging, energy_kev: float, cell_pm: float, margin_pm: float) -> None:
        self.imaging, self.cell_pm, self.margin_pm = imaging, cell_pm, margin_pm
        self.energy_kev = energy_kev
        self.values = draw_lens_values(imaging, DEFOCUS_NM, np.random.default_rng(0))

    def former(self, orders: int, optics: Optics) -> ImageFormer:
        if optics.focal == "modes":
            focal = {"focal_modes": optics.focal_samples}
        else:  # explicit averages are sums of images at one focus
            focal = {"focal_steps": optics.focal_samples if optics.focal == "steps" else 1}
        return ImageFormer(
            cell_pm=self.cell_pm,
            margin_pm=self.margin_pm,
            pixel_pm=self.imaging.pixel_pm,
            orders=orders,
            wavelength_pm=wavelength_pm(self.energy_kev),
            aperture_rad=(optics.aperture_mrad or self.imaging.aperture_mrad) / 1000,
            least_image_spread_pm=optics.least_image_spread_pm,
            intensity_points=optics.intensity_points,
            camera_pixel_pm=self.imaging.camera_pixel_pm,
            mtf_exponent=self.imaging.mtf_exponent,
            dtype=getattr(torch, optics.precision),
            **focal,
        )

    def images(self, waves: np.ndarray, optics: Optics) -> TimedImages:
        """Images of ``waves`` [configuration, ky, kx].

        Orders beyond the aperture are removed first, as if only these were stored.
        """
        aperture = optics.aperture_mrad or self.imaging.aperture_mrad
        orders = min(stored_orders(self.cell_pm, self.energy_kev, aperture), waves.shape[-1] // 2)
        keep = np.r_[0 : orders + 1, -orders:0]
        given = torch.as_tensor(waves[:, keep[:, None], keep[None, :]]).expand(len(DEFOCUS_NM), -1, -1, -1)
        former = self.former(orders, optics)
        columns = lens_fields(self.values)
        former.form(given[:1], Lens.from_values(columns).part(slice(0, 1)))  # plans and mode maps are made once
        start = time.perf_counter()
        if optics.focal in ("hermite", "gaussian"):
            found = sum(
                weight * former.form(given, self._defocused(columns, step)) for step, weight in _quadrature(optics)
            )
        else:
            found = former.form(given, Lens.from_values(columns))
        seconds = (time.perf_counter() - start) / len(DEFOCUS_NM)
        return TimedImages(found.numpy().astype(float), seconds, former.grid[0])

    @staticmethod
    def _defocused(columns: dict[str, np.ndarray], step: float) -> Lens:
        return Lens.from_values({**columns, "c1_pm": columns["c1_pm"] + step * columns["focal_spread_pm"]})


def _quadrature(optics: Optics) -> list[tuple[float, float]]:
    """Focal steps in half-widths and weights of explicit averages that only the study uses."""
    if optics.focal == "hermite":
        nodes, weights = np.polynomial.hermite.hermgauss(optics.focal_samples)
        return list(zip(nodes.tolist(), (weights / weights.sum()).tolist()))
    return list(zip(*focal_steps(optics.focal_samples, reach=3.0)))


def opened(optics: Optics) -> Optics:
    """The same with the reference's wide aperture."""
    return replace(optics, aperture_mrad=REFERENCE_ANGLE_MRAD)


def error_percent(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rms difference over rms contrast of each image, percent (defocus,)."""
    difference = np.sqrt(((found - reference) ** 2).mean((1, 2)))
    return 100 * difference / reference.std((1, 2))
