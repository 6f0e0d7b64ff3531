"""Multislice and potentials against Dr. Probe's SrTiO3 [001], 300 kV, 1° of tilt; its image is in ``test_optics.py``.

``benchmarks/drprobe_example.py`` holds the calculation, ``drprobe.py`` explains what is left. SrTiO3 is its own mirror
image in x = y: only the tilt tells the axes apart.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from segdepth.config import Beam
from segdepth.simulation import exit_wave as multislice

BEHIND = (2, 4, 6, 8, 10)


@pytest.fixture(scope="module")
def bench(abtem):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "drprobe_example.py"
    spec = importlib.util.spec_from_file_location("benchmark_drprobe", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def reference(bench, drprobe):
    return bench.read(drprobe)


@pytest.fixture(scope="module")
def kinds(bench, reference):
    return bench.parametrizations(reference.atoms.info["u"])


def largest(found: dict[int, np.ndarray], reference) -> list[float]:
    return [float(np.abs(found[n] - reference.waves[n]).max()) for n in BEHIND]


# multislice: from Dr. Probe's phase gratings to its waves -----------------------------------------------------------


def step_by_step(abtem, reference, tilt, thickness, energy=300e3) -> dict[int, np.ndarray]:
    """abTEM's own steps through the gratings as they are; ``tilt`` of the beam in mrad along x and y."""
    from abtem.multislice import AntialiasAperture, FresnelPropagator, conventional_multislice_step

    extent = (3.901, 3.901)
    with abtem.config.set({"antialias.taper": 0.0}):  # Dr. Probe's band ends hard
        wave = abtem.PlaneWave(energy=energy, gpts=(40, 40), extent=extent, tilt=tilt).build(lazy=False)
        gratings = [
            abtem.potentials.iam.TransmissionFunction(
                grating[None].astype(np.complex64), slice_thickness=thickness, extent=extent, energy=energy
            )
            for grating in reference.gratings
        ]
        propagator, aperture, found = FresnelPropagator(), AntialiasAperture(), {}
        for n in range(1, 11):
            wave = conventional_multislice_step(wave, gratings[(n - 1) % 2], propagator, aperture)
            if n in BEHIND:
                found[n] = np.array(wave.array).T.astype(complex)
    return found


ONE_DEGREE = 1000 * np.radians(1)


def test_gratings_give_the_waves(abtem, reference):
    """An object tilt of +1° is a beam tilt of -17.45 mrad."""
    found = largest(step_by_step(abtem, reference, (-ONE_DEGREE, 0.0), 1.9505), reference)
    assert found == sorted(found) and found[-1] < 7.5e-4
    for wrong in ((ONE_DEGREE, 0.0), (0.0, -ONE_DEGREE), (0.0, 0.0)):
        assert min(largest(step_by_step(abtem, reference, wrong, 1.9505), reference)) > 0.1


def test_gratings_give_the_waves_to_float32(abtem, bench, reference):
    """With Dr. Probe's wavelength, 1.97 pm, and its way from slice to slice, thickness · cos 1°: nothing is left."""
    tilt = (-1000 * np.arctan(np.radians(1)), 0.0)
    way = 1.9505 * np.cos(np.radians(1))
    assert max(largest(step_by_step(abtem, reference, tilt, way, bench.energy_of(0.0197)), reference)) < 5e-6
    assert largest(step_by_step(abtem, reference, tilt, way), reference)[-1] > 1e-4
    assert largest(step_by_step(abtem, reference, tilt, 1.9505, bench.energy_of(0.0197)), reference)[-1] > 1e-4


def test_projects_multislice_gives_the_waves(abtem, reference, monkeypatch):
    """``exit_wave`` given the gratings as its slices: the phases of a complex potential."""
    from abtem.core.energy import energy2sigma

    potential = -1j * np.log(reference.gratings.astype(complex)) / energy2sigma(300e3)
    one = potential.astype(np.complex64)

    class Gratings:
        """Ten slices; what is halfway lies at the end, so that a tilted wave is not moved back."""

        sides, points, end, middle = (3.901, 3.901), (40, 40), 19.505, 19.505

        def __init__(self, *args, **kwargs):
            pass

        def __len__(self):
            return 10

        def __iter__(self):
            import torch

            from segdepth.simulation.potential import Slice

            return (Slice(torch.from_numpy(one[n % 2]), 1.9505) for n in range(10))

    monkeypatch.setattr(multislice, "SlicedPotential", Gratings)
    atoms = Atoms("O", positions=[(0, 0, 0)], cell=(3.901, 3.901, 19.505), pbc=True)
    beam = Beam(
        pixel_pm=9.7525, stored_angle_mrad=61, band_limit=2 / 3, tilt_mrad=(-ONE_DEGREE, 0.0), debye_waller_pm={"O": 0}
    )
    with abtem.config.set({"antialias.taper": 0.0}):
        found = multislice.exit_wave(atoms, beam)
        turned = multislice.exit_wave(atoms, beam.model_copy(update={"tilt_mrad": (0.0, -ONE_DEGREE)}))
    k = np.r_[0:13, -12:0]
    stored = np.hypot(k[:, None], k[None, :]) <= 61e-3 / 1.96875e-2 * 3.901
    expected = (np.fft.fft2(reference.waves[10]) / 1600)[np.ix_(k, k)] * stored

    def off(wave: np.ndarray) -> float:
        spectrum = np.zeros((40, 40), complex)
        spectrum[np.ix_(k, k)] = wave - expected
        return float(np.abs(np.fft.ifft2(spectrum) * 1600).max())

    assert off(found) < 7.5e-4
    assert off(turned) > 0.1


# potentials: from the atoms to Dr. Probe's waves and image ----------------------------------------------------------


def test_its_gratings_are_its_potentials(bench, reference):
    """exp(iσV), band limited, with abTEM's σ: V in V·Å, and the imaginary part absorbs."""
    from abtem.core.energy import energy2sigma

    full = np.exp(1j * energy2sigma(300e3) * reference.potentials.astype(complex))
    k = np.fft.fftfreq(40, 1 / 40)
    cut = np.fft.ifft2(np.fft.fft2(full) * (np.hypot(k[:, None], k[None, :]) <= 2 / 3 * 20))
    assert np.abs(cut - reference.gratings).max() < 2e-6
    assert np.abs(full - reference.gratings).max() > 1e-3


def test_potential_of_neutral_atoms_is_dr_probes(bench, reference, kinds):
    """With Weickenmeier and Kohl's scattering factors: structure factors, Debye-Waller factors, units are the same."""
    theirs = reference.potentials.real
    slices = bench.ours(reference.atoms, kinds["weickenmeier-kohl"])
    assert np.abs(slices - theirs).max() < 1e-4 * np.abs(theirs).max()
    assert max(bench.apart(bench.ours(reference.atoms, kinds["lobato"]), theirs)) < 0.01
    assert max(bench.apart(bench.ours(reference.atoms, kinds["kirkland"]), theirs)) < 0.011
    assert min(bench.apart(bench.ours(reference.atoms, kinds["peng, ions"]), theirs)) > 0.1
    other = Atoms(reference.atoms)
    other.positions[:, 2] = other.positions[::-1, 2]
    assert min(bench.apart(bench.ours(other, kinds["weickenmeier-kohl"]), theirs)) > 0.1


def test_absorption_is_what_thermal_vibration_takes(bench, reference, kinds):
    """½σ⟨(V - ⟨V⟩)²⟩ of atoms vibrating by B_iso, from the same scattering factors as the potential."""
    made = {name: bench.thermal_absorption(reference.atoms, kinds[name]) for name in ("weickenmeier-kohl", "lobato")}
    theirs = reference.potentials.imag
    assert max(bench.apart(made["weickenmeier-kohl"], theirs)) < 1e-3
    assert max(bench.apart(made["lobato"], theirs)) < 0.012
    assert np.allclose(made["weickenmeier-kohl"].mean((1, 2)), theirs.mean((1, 2)), rtol=2e-3)


@pytest.fixture(scope="module")
def differences(bench, reference, kinds):
    """Of our potentials, without and with Dr. Probe's absorption."""
    found = {}
    for name in ("lobato", "kirkland", "peng", "weickenmeier-kohl"):
        slices = bench.ours(reference.atoms, kinds[name])
        for added, absorption in ((False, 0), (True, 1j * reference.potentials.imag)):
            found[name, added] = bench.difference(bench.propagate(slices + absorption), reference)
    return found


WITHOUT = dict(zip(BEHIND, (0.06, 0.11, 0.15, 0.19, 0.22)))


@pytest.mark.parametrize(
    ("name", "wave", "image"),
    [
        ("lobato", (2.3e-3, 5.5e-3, 0.010, 0.015, 0.020), 1.2e-3),  # the default
        ("peng", (2.7e-3, 4.3e-3, 6.6e-3, 9.2e-3, 0.012), 1.5e-3),  # nearest in the waves, of abTEM's
        ("kirkland", (1.7e-3, 3.9e-3, 7.9e-3, 0.012, 0.015), 1.2e-3),
        ("weickenmeier-kohl", (1.4e-4, 3e-4, 4.7e-4, 6.5e-4, 8.2e-4), 4e-4),  # Dr. Probe's own
    ],
)
def test_atoms_give_the_waves_and_the_image(differences, name, wave, image):
    """Largest differences, a constant phase aside; absorption accounts for nine tenths of them and more."""
    plain, absorbed = differences[name, False], differences[name, True]
    for n, bound in zip(BEHIND, wave):
        assert plain.wave[n] < WITHOUT[n]
        assert absorbed.wave[n] < bound < plain.wave[n] / 10
    assert plain.image < 0.035
    assert absorbed.image < image < plain.image / 10


def test_atoms_give_the_waves_to_a_ten_thousandth(bench, reference, kinds):
    """With Dr. Probe's scattering factors, wavelength and way, and the absorption that follows from its B_iso."""
    kohl = kinds["weickenmeier-kohl"]
    slices = bench.ours(reference.atoms, kohl) + 1j * bench.thermal_absorption(reference.atoms, kohl)
    found = bench.difference(bench.propagate(slices, their_numbers=True), reference)
    assert max(found.wave.values()) < 1.3e-4
    assert found.with_phase < 1.5e-4


def test_what_is_left_of_the_image_is_the_apertures_soft_edge(bench, reference):
    """Beams 500 and 340 lie at 25.23 mrad: Dr. Probe's aperture of 25 mrad lets 13 % of their amplitude pass."""
    hard, soft = (bench.image(reference.waves[2], edge) - reference.image for edge in (0.0, bench.EDGE))
    assert np.abs(soft).max() < 7e-5 < 2e-4 < np.abs(hard).max() < 4e-4
    k = np.fft.fftfreq(40, 1 / 40)
    at_edge = np.isclose(np.hypot(k[:, None], k[None, :]), 5)
    left = np.abs(np.fft.fft2(hard)) ** 2
    assert left[at_edge].sum() > 0.9 * left.sum()
