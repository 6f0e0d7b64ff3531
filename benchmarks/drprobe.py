"""Our potentials and abTEM's against Dr. Probe's: ``python benchmarks/drprobe.py FOLDER`` (one core, 15 seconds).

FOLDER holds Dr. Probe's SrTiO3 example (of github.com/FWin22/drprobe_interface): ``*.cel``, ``slc/``, ``wav/``,
``img/``; naming it in ``SEGDEPTH_DRPROBE`` does as well. From the atoms in the cell file to the waves behind 2, 4 … 10
slices and to the image of the first, at 300 kV and 1° of tilt. Waves are compared after the constant phase between them
is taken out: it is the mean of the potential, which no image sees, and abTEM puts it where it likes.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import textwrap
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
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.simulation.optics import ImageFormer, Lens
from segdepth.simulation.potential import SlicedPotential
from segdepth.store.manifest import versions

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
    lens = Lens.from_columns(
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


# the tables ---------------------------------------------------------------------------------------------------------


def percent(values: list[float]) -> str:
    return " / ".join(f"{100 * value:.3f}" for value in values)


def potential_table(reference: DrProbe, kinds: dict) -> dict[str, list[float]]:
    print("Projected potentials (ours), SrO / TiO2 slice: rms difference of the Fourier coefficients in Dr. Probe's")
    print("band, % of the rms; means; and of the absorption that this potential's thermal vibration makes.\n")
    print("| scattering factors | potential % | mean potential, V | absorption % |")
    print("|---|---|---|---|")
    print(f"| Dr. Probe | | {mean_potential(reference.potentials.real)} | |")
    found = {}
    for name, parametrization in kinds.items():
        slices = ours(reference.atoms, parametrization)
        found[name] = apart(slices, reference.potentials.real)
        absorbed = "" if "ions" in name else percent(absorption_apart(reference, parametrization))
        print(f"| {name} | {percent(found[name])} | {mean_potential(slices)} | {absorbed} |", flush=True)
    return found


def mean_potential(slices: np.ndarray) -> str:
    return " / ".join(f"{value / SLICE:.2f}" for value in slices.mean((1, 2)))


def absorption_apart(reference: DrProbe, parametrization) -> list[float]:
    return apart(thermal_absorption(reference.atoms, parametrization), reference.potentials.imag)


def wave_table(reference: DrProbe, kinds: dict) -> dict[tuple[str, str, str], Difference]:
    print("\n| scattering factors | projection | absorption | wave behind 2 / 4 / 6 / 8 / 10 | rms | image | rms |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    for name, parametrization in kinds.items():
        made = {"ours": ours(reference.atoms, parametrization)}
        made["abTEM infinite"] = abtems(reference.atoms, parametrization, "infinite")
        if hasattr(parametrization, "potential"):
            made["abTEM finite"] = abtems(reference.atoms, parametrization, "finite")
        for how, slices in made.items():
            for absorption, added in (("none", 0), ("Dr. Probe's", 1j * reference.potentials.imag)):
                one = found[name, how, absorption] = difference(propagate(slices + added), reference)
                print(f"| {name} | {how} | {absorption} | {one.row()} |", flush=True)
    return found


def experiments(reference: DrProbe, kinds: dict) -> dict[str, Difference]:
    atoms, lobato, kohl = reference.atoms, kinds["lobato"], kinds["weickenmeier-kohl"]
    theirs = 1j * reference.potentials.imag
    lobatos, kohls = ours(atoms, lobato), ours(atoms, kohl)
    finite = {n: resampled(abtems(atoms, lobato, "finite", n * POINTS), POINTS).real + theirs for n in (1, 4)}
    fine = ours(atoms, lobato, 4 * POINTS) + 1j * resampled(theirs.imag, 4 * POINTS).real
    made = {
        "lobato, no absorption": propagate(lobatos),
        "lobato, the package's own absorption": propagate(ours_absorbing(atoms, lobato)),
        "lobato, thermal absorption": propagate(lobatos + 1j * thermal_absorption(atoms, lobato)),
        "lobato": propagate(lobatos + theirs),
        "lobato, object not tilted": propagate(lobatos + theirs, tilt=0.0),
        "lobato, grid four times as fine": propagate(fine),
        "lobato, abTEM finite": propagate(finite[1]),
        "lobato, abTEM finite, sampled four times as finely": propagate(finite[4]),
        "peng, neutral": propagate(ours(atoms, kinds["peng"]) + theirs),
        "peng, ions": propagate(ours(atoms, kinds["peng, ions"]) + theirs),
        "weickenmeier-kohl": propagate(kohls + theirs),
        "weickenmeier-kohl, abTEM infinite": propagate(abtems(atoms, kohl, "infinite") + theirs),
        "weickenmeier-kohl, λ and way": propagate(kohls + theirs, their_numbers=True),
        "weickenmeier-kohl, λ and way, thermal absorption": propagate(
            kohls + 1j * thermal_absorption(atoms, kohl, fine=1280), their_numbers=True
        ),
        "potentials of Dr. Probe": propagate(reference.potentials),
        "potentials of Dr. Probe, λ and way": propagate(reference.potentials, their_numbers=True),
        "potentials of Dr. Probe, soft band edge": propagate(reference.potentials, taper=0.01),
        "waves of Dr. Probe": reference.waves,
    }
    print("\nExperiments; with Dr. Probe's absorption where nothing else is said. λ and way: a wavelength of 1.97 pm")
    print("and thickness · cos 1° from slice to slice.\n")
    print("| experiment | wave behind 2 / 4 / 6 / 8 / 10 | rms | image | rms | behind 10 with its phase |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name, waves in made.items():
        one = found[name] = difference(waves, reference)
        print(f"| {name} | {one.row()} | {short(one.with_phase)} |", flush=True)
    name = "waves of Dr. Probe, soft aperture"
    found[name] = difference(reference.waves, reference, EDGE)
    print(f"| {name} | {found[name].row()} | 0 |")
    return found


def cost_of_projecting(atoms: Atoms, parametrization) -> float:
    """Largest difference behind ten slices between whole atoms in two slices a cell and 24 pm slabs of the crystal."""
    crystal = atoms.repeat((1, 1, 5))
    crystal.positions[:, 2] -= SLICE / 2  # a plane of atoms at a slice's entrance, as Dr. Probe has it
    kinds = {"dtype": torch.float64}
    whole = through(SlicedPotential(crystal, POINTS, SLICE / 2, parametrization, **kinds), 10 * SLICE)
    slabs = through(SlicedPotential(crystal, POINTS, SLICE / 8, parametrization, finite=True, **kinds), 10 * SLICE)
    turn = np.vdot(slabs, whole)
    return float(np.abs(slabs * turn / abs(turn) - whole).max())


def explain(reference: DrProbe, apart_by: dict, waves: dict, tried: dict[str, Difference], projecting: float) -> str:
    def ten(name: str) -> str:
        return short(tried[name].wave[10])

    def table(name: str, how: str = "ours", absorption: str = "Dr. Probe's") -> str:
        return short(waves[name, how, absorption].wave[10])

    usual = ("lobato", "kirkland", "peng")
    best = min(usual, key=lambda name: waves[name, "ours", "Dr. Probe's"].wave[10])
    plain, absorbed, scale = tried["lobato, no absorption"], tried["lobato"], np.abs(reference.waves[10] - 1).max()
    hard, soft = tried["waves of Dr. Probe"], tried["waves of Dr. Probe, soft aperture"]
    share = [f"{100 * one.image_rms / reference.image.std():.2g} %" for one in (plain, absorbed)]
    said = f"""
    Behind ten slices the wave differs from vacuum by up to {short(scale)} thousandths; Dr. Probe's image has an rms
    contrast of {short(reference.image.std())}. Without absorption lobato is off by {ten("lobato, no absorption")} in
    the wave and {short(plain.image)} in the image (rms {share[0]} of the contrast), with Dr. Probe's by {ten("lobato")}
    and {short(absorbed.image)} ({share[1]}); {best}, the best of abTEM's, by {table(best)} in the wave. So most of the
    difference is absorption. It is what thermal vibration takes from the mean wave, ½σ⟨(V - ⟨V⟩)²⟩: computed from
    lobato's own potential it does as well ({ten("lobato, thermal absorption")}). The rest is scattering factors: Dr.
    Probe's are Weickenmeier and Kohl's, from which lobato's potential differs by {percent(apart_by["lobato"])} %. With
    theirs {ten("weickenmeier-kohl")} is left, as from Dr. Probe's own potentials ({ten("potentials of Dr. Probe")}):
    that is its wavelength, 1.97 pm for {100 * energy2wavelength(ENERGY):.4f}, and its way of thickness · cos 1° from
    slice to slice. With both, {ten("weickenmeier-kohl, λ and way")} is left
    ({ten("weickenmeier-kohl, λ and way, thermal absorption")} with the absorption computed here, too), and
    {ten("potentials of Dr. Probe, λ and way")} from its own potentials: σ, the Debye-Waller factor, the signs, the band
    and the multislice are the same. Ions: the cell file names them, Dr. Probe computes neutral atoms; peng's ions are
    off by {ten("peng, ions")}, peng's atoms by {ten("peng, neutral")}. Grid: one four times as fine turns
    {ten("lobato")} into {ten("lobato, grid four times as fine")}; what 40 points lack, both programs lack. Slices:
    24 pm slabs of the three-dimensional potential differ from whole atoms in two slices a cell by {short(projecting)}.
    Mean potential: with the constant phase left in lobato is off by {short(absorbed.with_phase)} instead of
    {ten("lobato")}. Band edge: abTEM's soft one, its default, would bring
    {ten("potentials of Dr. Probe, soft band edge")}. abTEM's infinite projection divides by a sinc that lacks its π:
    with Weickenmeier and Kohl's factors it is off by {ten("weickenmeier-kohl, abTEM infinite")} where ours is by
    {ten("weickenmeier-kohl")}. Its finite projection samples what the others cut in Fourier space:
    {ten("lobato, abTEM finite")} on 40 points, {ten("lobato, abTEM finite, sampled four times as finely")} when it is
    sampled four times as finely and then cut. Image: from Dr. Probe's own wave ours is off by {short(hard.image)}, and
    by {short(soft.image)} if {100 * EDGE:.0f} % of the amplitude passes at 25.23 mrad: its aperture of 25 mrad has a
    soft edge, ours a hard one."""
    return "\n".join(textwrap.wrap(" ".join(said.split()), 118))


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SEGDEPTH_DRPROBE")
    if where is None or not (Path(where) / "img" / "STO_sl002.dat").is_file():
        sys.exit(__doc__)
    torch.set_num_threads(1)
    configure_abtem("cpu")
    found = versions()
    named = ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "abtem", "torch"))
    print(f"{platform.machine()}, one core; {named}\n")
    reference = read(Path(where))
    kinds = parametrizations(reference.atoms.info["u"])
    apart_by = potential_table(reference, kinds)
    print("\nWaves and the image of the first: largest and rms difference from Dr. Probe, thousandths of the vacuum.")
    waves = wave_table(reference, kinds)
    tried = experiments(reference, kinds)
    print()
    print(explain(reference, apart_by, waves, tried, cost_of_projecting(reference.atoms, kinds["lobato"])))


if __name__ == "__main__":
    main()
