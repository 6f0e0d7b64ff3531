"""Waves and images of a case, timed. Knows the cases, not the table."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms

from segdepth.config import Beam, Imaging
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.convergence.cases import REFERENCE_ANGLE_MRAD, Optics
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import carried_on, crop_orders, exit_waves
from segdepth.simulation.focal import focal_steps
from segdepth.simulation.grid import grid_points
from segdepth.simulation.lens import draw_lens_values, lens_columns
from segdepth.simulation.optics import ImageFormer
from segdepth.simulation.scattering import parametrization

DEFOCUS_NM = (1.0, 3.0, 5.0, 7.0, 9.0)


def timed_waves(
    atoms: Atoms, beam: Beam, rng: np.random.Generator, abtem_projection: str | None
) -> tuple[np.ndarray, float]:
    """Exit waves [configuration, ky, kx] and seconds."""
    start = time.perf_counter()
    waves = abtems_wave(atoms, beam, abtem_projection)[None] if abtem_projection else exit_waves(atoms, beam, rng)
    return waves, time.perf_counter() - start


def abtems_wave(atoms: Atoms, beam: Beam, projection: str) -> np.ndarray:
    """The exit wave with abTEM's own potential and multislice, as a user of abTEM would ask for it."""
    import abtem

    side = float(atoms.cell[0, 0])
    points = grid_points(100 * side, beam.pixel_pm)
    with abtem.config.set({"precision": beam.precision, "antialias.cutoff": beam.band_limit}):
        potential = abtem.Potential(
            atoms,
            gpts=(points, points),
            slice_thickness=beam.slice_pm / 100,
            parametrization=parametrization(beam),
            projection=projection,
        )
        plane = abtem.PlaneWave(energy=1000 * beam.energy_kev)
        wave = plane.multislice(potential, lazy=True).compute(scheduler="synchronous", progress_bar=False)
    wave = np.asarray(wave.to_cpu().array).reshape(points, points)
    orders = stored_orders(100 * side, beam.energy_kev, beam.stored_angle_mrad)
    cropped = crop_orders(np.fft.fft2(wave.T) / wave.size, orders, 100 * side, beam)
    bottom_pm = 100 * float(atoms.cell[2, 2])
    return cropped * carried_on(orders, 100 * side, beam, atoms.info.get("exit_face_pm", bottom_pm) - bottom_pm, 0.0)


class Camera:
    """Forms a wave's images at ``DEFOCUS_NM`` with the imaging block's lens and a case's optics."""

    def __init__(self, imaging: Imaging, energy_kev: float, cell_pm: float, margin_pm: float) -> None:
        self.imaging, self.cell_pm, self.margin_pm = imaging, cell_pm, margin_pm
        self.energy_kev = energy_kev
        self.values = draw_lens_values(imaging, DEFOCUS_NM, np.random.default_rng(0))

    def former(self, orders: int, optics: Optics) -> ImageFormer:
        explicit = optics.focal_method in ("hermite", "gaussian")
        return ImageFormer(
            cell_pm=self.cell_pm,
            margin_pm=self.margin_pm,
            pixel_pm=self.imaging.pixel_pm,
            orders=orders,
            wavelength_pm=wavelength_pm(self.energy_kev),
            aperture_rad=(optics.aperture_mrad or self.imaging.aperture_mrad) / 1000,
            focal_method="steps" if explicit else optics.focal_method,
            focal_samples=1 if explicit else optics.focal_samples,
            least_vibration_pm=optics.least_vibration_pm,
            intensity_points=optics.intensity_points,
            camera_pixel_pm=self.imaging.camera_pixel_pm,
            mtf_exponent=self.imaging.mtf_exponent,
            dtype=getattr(torch, optics.precision),
        )

    def images(self, waves: np.ndarray, optics: Optics) -> tuple[np.ndarray, float]:
        """Images (defocus, y, x) and seconds an image; ``waves`` [configuration, ky, kx].

        Orders beyond the aperture are left out before: what is stored is what the aperture passes.
        """
        aperture = optics.aperture_mrad or self.imaging.aperture_mrad
        orders = min(stored_orders(self.cell_pm, self.energy_kev, aperture), waves.shape[-1] // 2)
        keep = np.r_[0 : orders + 1, -orders:0]
        given = torch.as_tensor(waves[:, keep[:, None], keep[None, :]]).expand(len(DEFOCUS_NM), -1, -1, -1)
        former = self.former(orders, optics)
        columns = lens_columns(self.values)
        former.form(given[:1], Lens.from_columns(columns).part(slice(0, 1)))  # plans and mode maps are made once
        start = time.perf_counter()
        if optics.focal_method in ("hermite", "gaussian"):
            found = sum(
                weight * former.form(given, self._defocused(columns, step)) for step, weight in _quadrature(optics)
            )
        else:
            found = former.form(given, Lens.from_columns(columns))
        return found.numpy().astype(float), (time.perf_counter() - start) / len(DEFOCUS_NM)

    @staticmethod
    def _defocused(columns: dict[str, np.ndarray], step: float) -> Lens:
        return Lens.from_columns({**columns, "c1_pm": columns["c1_pm"] + step * columns["focal_spread_pm"]})


def _quadrature(optics: Optics) -> list[tuple[float, float]]:
    """Focal steps in half-widths and weights of explicit averages that only the study uses."""
    if optics.focal_method == "hermite":
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
