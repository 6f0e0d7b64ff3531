"""Dr. Probe's SrTiO3 example and the project's way to the same potentials, waves and image: what ``drprobe.py``
tabulates and ``tests/unit/test_drprobe.py`` holds to bounds.

From the atoms in the cell file to the waves behind 2, 4 … 10 slices and to the image of the first, at 300 kV and 1° of
tilt. Waves are compared after the constant phase between them is taken out: it is the mean of the potential, which no
image sees, and abTEM puts it where it likes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import abtem
import numpy as np
import torch
from abtem.core.constants import kappa
from abtem.core.energy import energy2sigma, energy2wavelength
from abtem.multislice import AntialiasAperture, FresnelPropagator, conventional_multislice_step
from ase import Atoms
from ase.data import atomic_numbers

from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.optics import ImageFormer, Lens
from segdepth.simulation.potential import SlicedPotential

POINTS, CELL = 40, 3.901  # Å
SLICE = CELL / 2
ENERGY = 300e3
BEHIND = (2, 4, 6, 8, 10)
TILT = np.radians(1)  # of the object
ORDERS_KEPT = 13
"""Two thirds of the grid's Nyquist order, 13.3: what Dr. Probe propagates."""
CHARGES = {"Sr": "++", "Ti": "++++", "O": "--"}
RUTHERFORD = 0.0239336609
"""1/Å: what a charge e scatters, times s² = q²/4; 1/(8π² a₀)."""
EDGE = 0.133
"""Amplitude that passes Dr. Probe's aperture at 25.23 mrad, just beyond its 25: fitted to its image."""


# what Dr. Probe made ----------------------------------------------------------------------------------------------


def array(path: Path, kind: type) -> np.ndarray:
    """The last 40 x 40 numbers of a file, [y, x]."""
    return np.frombuffer(path.read_bytes(), kind)[-(POINTS**2) :].reshape(POINTS, POINTS)


@dataclass(frozen=True)
class DrProbe:
    """Its gratings and projected potentials (V·Å) by slice as [x, y], its waves by number of slices as [y, x]."""

    atoms: Atoms
    gratings: np.ndarray
    potentials: np.ndarray
    waves: dict[int, np.ndarray]
    image: np.ndarray


def read(folder: Path) -> DrProbe:
    rows = [line.split() for line in next(folder.glob("*.cel")).read_text().splitlines()[2:] if len(line.split()) > 8]
    symbols = ["".join(filter(str.isalpha, row[0])) for row in rows]
    atoms = Atoms(symbols, scaled_positions=[[float(v) for v in row[1:4]] for row in rows], cell=(CELL,) * 3, pbc=True)
    # B_iso = 8π²u² in nm²
    atoms.info["u"] = {s: 10 * np.sqrt(float(row[5]) / (8 * np.pi**2)) for s, row in zip(symbols, rows)}
    both = [folder / "slc" / f"STO_00{i}" for i in (1, 2)]
    return DrProbe(
        atoms,
        np.stack([array(name.with_suffix(".sli"), np.complex64).T for name in both]),
        # .pot is in V, the mean over the slice's thickness
        np.stack([array(name.with_suffix(".pot"), np.complex64).T * SLICE for name in both]),
        {n: array(folder / "wav" / f"STO_sl{n:03d}.wav", np.complex64).astype(complex) for n in BEHIND},
        array(folder / "img" / "STO_sl002.dat", np.float32).astype(float),
    )


# scattering factors -----------------------------------------------------------------------------------------------


class WeickenmeierKohl:
    """Scattering factors of neutral atoms, Acta Cryst. A 47 (1991) 590, table 1: V and B1 … B6 (Å²)."""

    COEFFICIENTS = {
        "O": (0.5, (6.37582, 8.03744, 27.20649, 0.11157, 0.38686, 10.89944)),
        "Ti": (0.5, (0.12782, 1.45591, 12.09738, 4.61747, 11.96791, 105.00546)),
        "Sr": (0.3, (0.36052, 2.12757, 12.45815, 0.01526, 2.10824, 133.17088)),
    }

    def __init__(self, sigmas: dict[str, float]) -> None:
        self.sigmas = sigmas

    def projected_scattering_factor(self, symbol: str):
        v, b = self.COEFFICIENTS[symbol]
        a = RUTHERFORD * atomic_numbers[symbol] / (3 * (1 + v))

        def factor(k2):
            s2 = np.maximum(np.asarray(k2, float) / 4, 1e-10)
            return sum((a if i < 3 else a * v) * -np.expm1(-x * s2) / s2 for i, x in enumerate(b)) / kappa

        return factor


class Ions:
    """Peng's ions: abTEM's file holds the short-ranged part, the charge's own field is added here."""

    def __init__(self, sigmas: dict[str, float], charged: bool = True) -> None:
        self.sigmas, self.charged = sigmas, charged
        folder = Path(abtem.__file__).parent / "parametrizations" / "data"
        known = json.loads((folder / "peng_ionic.json").read_text())
        self.core = abtem.parametrizations.PengParametrization({s: known[s + c] for s, c in CHARGES.items()})

    def projected_scattering_factor(self, symbol: str):
        core = self.core.projected_scattering_factor(symbol)
        charge = sum({"+": 1, "-": -1}[c] for c in CHARGES[symbol]) * self.charged

        def factor(k2):
            s2 = np.asarray(k2, float) / 4
            # a slice is neutral as a whole, so that q = 0 has no field but a constant
            return core(k2) + np.where(s2 > 0, charge * RUTHERFORD / np.maximum(s2, 1e-12), 0) / kappa

        return factor


def parametrizations(u: dict[str, float]) -> dict:
    known = abtem.parametrizations
    return {
        "lobato": known.LobatoParametrization(sigmas=u),
        "kirkland": known.KirklandParametrization(sigmas=u),
        "peng": known.PengParametrization(sigmas=u),
        "peng, low angles": known.PengParametrization("peng_low.json", sigmas=u),
        "peng, ions": Ions(u),
        "peng, ions without their charge": Ions(u, charged=False),
        "weickenmeier-kohl": WeickenmeierKohl(u),
    }


# potentials of the two slices, V·Å, [x, y] --------------------------------------------------------------------------


def ours(atoms: Atoms, parametrization, points: int = POINTS) -> np.ndarray:
    pieces = SlicedPotential(atoms, points, SLICE / 2, parametrization, dtype=torch.float64)
    return np.stack([piece.potential.numpy() for piece in pieces])


def ours_absorbing(atoms: Atoms, parametrization) -> np.ndarray:
    """As the workflow's beams do it: the logarithm of the mean transmission, not its second order."""
    pieces = SlicedPotential(atoms, POINTS, SLICE / 2, parametrization, energy_ev=ENERGY, dtype=torch.float64)
    return np.stack([piece.potential.numpy() + 1j * piece.absorption.numpy() for piece in pieces])


def abtems(atoms: Atoms, parametrization, projection: str, points: int = POINTS) -> np.ndarray:
    potential = abtem.Potential(
        atoms, gpts=(points,) * 2, slice_thickness=SLICE, parametrization=parametrization, projection=projection
    )
    return np.asarray(potential.build(lazy=False).array, float)


def resampled(slices: np.ndarray, points: int) -> np.ndarray:
    """Fourier coefficients cut to a coarser grid, or filled up to a finer one."""
    old, k = slices.shape[-1], np.fft.fftfreq(min(points, slices.shape[-1]), 1 / min(points, slices.shape[-1]))
    k = k.astype(int)
    spectrum = np.zeros((*slices.shape[:-2], points, points), complex)
    spectrum[..., k[:, None], k[None, :]] = np.fft.fft2(slices)[..., k[:, None], k[None, :]]
    return np.fft.ifft2(spectrum) * (points / old) ** 2


def thermal_absorption(atoms: Atoms, parametrization, points: int = POINTS, fine: int = 640) -> np.ndarray:
    """½σ ⟨(V - ⟨V⟩)²⟩ of atoms that vibrate each for itself: what they scatter away from the mean wave.

    ⟨exp(iσV)⟩ = exp(iσ⟨V⟩ - ½σ²⟨(V - ⟨V⟩)²⟩) to second order; ⟨⟩ blurs with the vibration's Gaussian.
    """
    k = np.fft.fftfreq(fine, 1 / fine)
    square = (k[:, None] ** 2 + k[None, :] ** 2) / CELL**2
    density = (fine / CELL) ** 2
    total = np.zeros((2, fine, fine), complex)
    for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions):
        factor = parametrization.projected_scattering_factor(symbol)(square)
        blur = np.exp(-2 * (np.pi * atoms.info["u"][symbol]) ** 2 * square)
        still, mean = np.fft.ifft2(factor).real * density, np.fft.ifft2(factor * blur).real * density
        variance = np.fft.fft2(still**2) * blur - np.fft.fft2(mean**2)
        total[int(z > SLICE)] += variance * np.exp(-2j * np.pi * (k[:, None] * x + k[None, :] * y) / CELL)
    return energy2sigma(ENERGY) / 2 * resampled(np.fft.ifft2(total).real, points).real


# waves and the image ------------------------------------------------------------------------------------------------


def energy_of(wavelength: float) -> float:
    """eV of a wavelength in Å."""
    energies = np.linspace(299e3, 301e3, 2001)
    return float(np.interp(-wavelength, [-energy2wavelength(e) for e in energies], energies))


def propagate(
    slices: np.ndarray, *, their_numbers: bool = False, taper: float = 0.0, tilt: float = TILT
) -> dict[int, np.ndarray]:
    """abTEM's multislice through the two slices five times: waves [y, x] by number of slices.

    A tilt of the object is the opposite tilt of the beam. Dr. Probe's numbers: a wavelength of 1.97 pm, as its
    parameter file gives it, and a slice's way of thickness · cos(tilt).
    """
    energy = energy_of(0.0197) if their_numbers else ENERGY
    # σ stays that of 300 kV: the phase gratings were made with it
    array = slices * energy2sigma(ENERGY) / energy2sigma(energy)
    thickness = SLICE * np.cos(tilt) if their_numbers else SLICE
    beam = -1000 * np.arctan(tilt)
    with abtem.config.set({"antialias.taper": taper, "precision": "float32"}):
        potential = abtem.PotentialArray(
            np.tile(array, (5, 1, 1)).astype(np.complex64), slice_thickness=thickness, extent=(CELL,) * 2, exit_planes=2
        )
        waves = abtem.PlaneWave(energy=energy, tilt=(beam, 0.0)).multislice(potential, lazy=False)
    found = {n: np.asarray(waves.array)[n // 2].T.astype(complex) for n in BEHIND}
    if array.shape[-1] == POINTS:
        return found
    k = np.fft.fftfreq(POINTS, 1 / POINTS)
    band = np.hypot(k[:, None], k[None, :]) <= ORDERS_KEPT
    return {n: np.fft.ifft2(np.fft.fft2(resampled(wave, POINTS)) * band) for n, wave in found.items()}


def through(pieces: SlicedPotential, end: float) -> np.ndarray:
    """Wave [y, x] at the height ``end`` (Å) behind slices of any thickness, as the project goes through them."""
    energy, extent = ENERGY, (CELL,) * 2
    with abtem.config.set({"antialias.taper": 0.0, "precision": "float64"}):
        wave = abtem.PlaneWave(energy=energy, gpts=POINTS, extent=extent, tilt=(-1000 * np.arctan(TILT), 0.0)).build(
            lazy=False
        )
        propagator, aperture = FresnelPropagator(), AntialiasAperture()
        for piece in pieces:
            one = abtem.PotentialArray(piece.potential.numpy()[None], slice_thickness=piece.thickness, extent=extent)
            wave = conventional_multislice_step(wave, one, propagator, aperture)
        return np.asarray(propagator.propagate(wave, end - pieces.end).array).T


def image(wave: np.ndarray, edge: float = 0.0) -> np.ndarray:
    """wavimg's example: C1 = +1 nm, spread 0.5 nm, 0.4 mrad, 16 pm, aperture 25 mrad; values at i · pixel.

    ``edge`` is the amplitude that passes of the beams just outside the aperture, at 25.23 mrad.
    """
    orders = POINTS // 2 - 1
    k = np.r_[0 : orders + 1, -orders:0]
    soft = np.where(np.isclose(np.hypot(k[:, None], k[None, :]), 5), edge, 1.0)
    former = ImageFormer(
        cell_pm=100 * CELL, margin_pm=0.0, pixel_pm=100 * CELL / POINTS, orders=orders,
        wavelength_pm=wavelength_pm(300), aperture_rad=0.0257, focal_steps=17, dtype=torch.float64,
    )  # fmt: skip
    lens = Lens.from_values(
        {
            "c1_pm": [1000.0],
            "c3_pm": [0.0],
            "c5_pm": [0.0],
            "focal_spread_pm": [500.0],
            "convergence_rad": [0.4e-3],
            "image_spread_pm": [16.0],
        }
    )
    stored = (np.fft.fft2(wave) / POINTS**2)[np.ix_(k, k)] * soft
    pixels = former.form(torch.as_tensor(stored)[None], lens)[0].numpy()
    n = np.fft.fftfreq(POINTS, 1 / POINTS)
    line = np.sinc(n / POINTS) * np.exp(1j * np.pi * n / POINTS)
    return np.fft.ifft2(np.fft.fft2(pixels) / (line[:, None] * line[None, :])).real


def short(value: float) -> str:
    """In thousandths, two figures or as many as stand before the point."""
    value = 1000 * value if value > 1e-9 else 0
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


@dataclass(frozen=True)
class Difference:
    """From Dr. Probe: largest and rms, of the waves by number of slices and of the image behind two slices."""

    wave: dict[int, float]
    wave_rms: dict[int, float]
    with_phase: float
    image: float
    image_rms: float

    def row(self) -> str:
        waves = " / ".join(short(value) for value in self.wave.values())
        return f"{waves} | {short(self.wave_rms[10])} | {short(self.image)} | {short(self.image_rms)}"


def difference(found: dict[int, np.ndarray], reference: DrProbe, edge: float = 0.0) -> Difference:
    wave, rms, with_phase = {}, {}, 0.0
    for n, theirs in reference.waves.items():
        turn = np.vdot(found[n], theirs)
        off = np.abs(found[n] * turn / abs(turn) - theirs)
        wave[n], rms[n] = float(off.max()), float(np.sqrt(np.mean(off**2)))
        with_phase = float(np.abs(found[n] - theirs).max())
    off = np.abs(image(found[2], edge) - reference.image)
    return Difference(wave, rms, with_phase, float(off.max()), float(np.sqrt(np.mean(off**2))))


def in_band(slices: np.ndarray) -> np.ndarray:
    """Fourier coefficients inside Dr. Probe's band without the mean, (slice, coefficient)."""
    k = np.fft.fftfreq(slices.shape[-1], 1 / slices.shape[-1])
    radius = np.hypot(k[:, None], k[None, :])
    return np.fft.fft2(slices)[:, (radius > 0) & (radius <= ORDERS_KEPT)] / slices.shape[-1] ** 2


def apart(found: np.ndarray, expected: np.ndarray) -> list[float]:
    """Norm of the difference over the norm, inside the band, for each slice."""
    return [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(in_band(found), in_band(expected))]
