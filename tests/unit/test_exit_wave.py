"""Multislice: normalisation, axes, repeatability, the grid, and the potential against closed forms and abTEM's own."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from conftest import SMALL_BEAM, cerium, relative, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam
from segdepth.errors import ConfigError
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import crop_orders, exit_wave, exit_waves, grid_points
from segdepth.simulation.phonons import displace_atoms

STILL = SMALL_BEAM.debye_waller_pm


def on_grid(wave: np.ndarray, points: int = 400) -> np.ndarray:
    """ψ [y, x] at i · cell / points."""
    orders = wave.shape[0] // 2
    k = np.r_[0 : orders + 1, -orders:0]
    spectrum = np.zeros((points, points), complex)
    spectrum[np.ix_(k, k)] = wave
    return np.fft.ifft2(spectrum) * points**2


def test_wavelength():
    assert wavelength_pm(300) == pytest.approx(1.9687, abs=5e-5)
    assert wavelength_pm(100) == pytest.approx(3.7014, abs=5e-5)


def test_stored_orders():
    assert stored_orders(5411, 300, 40) == int(5411 * 0.04 / 1.96875)


def test_empty_cell_is_vacuum(abtem):
    wave = exit_wave(Atoms(cell=(16, 16, 9), pbc=True), SMALL_BEAM)
    assert wave.dtype == np.complex64
    assert abs(wave[0, 0] - 1) < 1e-6
    wave[0, 0] = 0
    assert np.abs(wave).max() < 1e-6


@pytest.mark.parametrize("count", [2, 9])
def test_electrons_are_conserved(slab_waves, count):
    total = np.sum(np.abs(slab_waves[count][0].astype(complex)) ** 2)
    assert 0.99 < total < 1


def test_same_bits_twice_and_with_more_threads(slab_waves):
    import torch

    wave, atoms, _ = slab_waves[2]
    assert np.array_equal(exit_wave(atoms, SMALL_BEAM), wave)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert np.array_equal(exit_wave(atoms, SMALL_BEAM), wave)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_atoms_appear_where_they_are(abtem):
    """x = 4.2 Å, y = 10.6 Å of 16 Å: the phase peaks at that column and row, and nowhere mirrored."""
    psi = on_grid(exit_wave(cerium((4.2, 10.6, 7.0)), SMALL_BEAM))
    row, column = np.unravel_index(np.angle(psi).argmax(), psi.shape)
    assert abs(column * 16 / 400 - 4.2) < 0.1
    assert abs(row * 16 / 400 - 10.6) < 0.1


@given(st.floats(0, 16), st.floats(0, 16))
def test_moved_atom_gives_the_moved_wave(abtem, x, y):
    """Between grid points as on them: the wave of a moved atom is a phase ramp, to float32."""
    beam = Beam(pixel_pm=7, slice_pm=190, debye_waller_pm=STILL)
    still = exit_wave(cerium((0, 0, 3.0)), beam)
    orders = still.shape[0] // 2
    k = np.r_[0 : orders + 1, -orders:0]
    ramp = np.exp(-2j * np.pi * (k[:, None] * y + k[None, :] * x) / 16)
    assert relative(exit_wave(cerium((x, y, 3.0)), beam), still * ramp) < 2e-3


def test_weak_potential_is_the_kinematic_limit(abtem):
    """One light atom gives iσ V(q) ∝ f(q) exp(-2π²u²q²): the Debye-Waller width is the rms along an axis."""
    oxygen = Atoms("O", positions=[(0, 0, 2.0)], cell=(16, 16, 2.0001), pbc=True)
    waves = [exit_wave(oxygen, Beam(pixel_pm=5, debye_waller_pm={"Ce": 0, "O": u})) for u in (0.0, 10.0)]
    order = np.arange(5, 25)
    q = order / 1600
    ratio = np.abs(waves[1][0, order] / waves[0][0, order])
    assert np.allclose(ratio, np.exp(-2 * (np.pi * 10 * q) ** 2), rtol=0.02)
    assert np.allclose(np.angle(waves[1][0, order]), np.pi / 2, atol=0.2)


def test_finer_slices_change_nothing(slab_waves):
    """Between the planes there is nothing: a slice for each plane is exact."""
    wave, atoms, _ = slab_waves[9]
    assert np.array_equal(exit_wave(atoms, SMALL_BEAM.model_copy(update={"slice_pm": 20.0})), wave)


def test_default_grid_is_converged(slab_waves):
    wave, atoms, _ = slab_waves[9]
    fine = exit_wave(atoms, Beam(pixel_pm=4.5, absorption=False, debye_waller_pm=STILL))
    assert relative(wave, fine) < 5e-3


@given(st.floats(1000, 20_000), st.floats(2, 15))
def test_grid_points(cell, pixel):
    points = grid_points(cell, pixel)
    assert points % 2 == 0 and cell / points <= pixel * (1 + 1e-9)
    rest, twos = points, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    for prime in (3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1 and twos <= 6
    assert points < 1.25 * cell / pixel + 20


def test_grid_points_keeps_an_exact_fit():
    assert grid_points(5411 * 1.25, 5411 / 800) == 1000


def test_crop_keeps_the_circle_and_nothing_else():
    beam = Beam(stored_angle_mrad=20)
    cell = 2000.0
    orders = stored_orders(cell, 300, 20)
    points = 6 * orders
    rng = np.random.default_rng(0)
    spectrum = rng.normal(size=(points, points)) + 1j
    cropped = crop_orders(spectrum, orders, cell, beam)
    assert cropped.shape == (2 * orders + 1,) * 2
    for ky, kx in ((0, 0), (3, -5), (-orders, 0), (orders, orders), (-2, orders)):
        inside = np.hypot(ky, kx) <= 0.02 / wavelength_pm(300) * cell
        assert cropped[ky, kx] == (spectrum[ky, kx] if inside else 0)
    assert cropped[orders, 0] != 0 and cropped[orders, orders] == 0


def test_too_coarse_a_grid_is_refused(abtem):
    atoms, _ = small_slab(2)
    with pytest.raises(ConfigError, match="beam.pixel_pm: got 15, too coarse for stored_angle_mrad 80"):
        exit_wave(atoms, Beam(pixel_pm=15, stored_angle_mrad=80, debye_waller_pm=STILL))


def test_a_cell_that_is_no_box_is_refused(abtem):
    with pytest.raises(ConfigError, match="box"):
        exit_wave(Atoms("Ce", cell=[(16, 0, 0), (2, 16, 0), (0, 0, 9)], pbc=True), SMALL_BEAM)


def test_float64_agrees_with_float32(slab_waves):
    wave, atoms, _ = slab_waves[9]
    double = exit_wave(atoms, SMALL_BEAM.model_copy(update={"precision": "float64"}))
    assert double.dtype == np.complex128
    assert 1e-8 < relative(wave, double) < 2e-5


def test_frozen_phonons_average_to_the_debye_waller_factor(abtem):
    """Bragg beams of a single layer: the mean over snapshots falls as exp(-2π²u²q²); each is another draw."""
    places = [(2 * i + 1, 2 * j + 1, 2) for i in range(8) for j in range(8)]
    atoms = Atoms("O64", positions=places, cell=(16, 16, 4), pbc=True)
    beam = Beam(debye_waller_pm={"Ce": 0.0, "O": 12.0})
    still = exit_wave(atoms, beam)
    snapshots = beam.model_copy(update={"frozen_phonons": 40})
    waves = exit_waves(atoms, snapshots, np.random.default_rng(3))
    assert waves.shape == (40, *still.shape)
    assert not np.allclose(waves[0], waves[1], atol=1e-4)
    sharp = exit_wave(atoms, Beam(debye_waller_pm={"Ce": 0.0, "O": 0.0}))
    for order in (8, 16):
        assert abs(waves.mean(0)[0, order] - still[0, order]) < 0.03 * abs(still[0, order])
    assert abs(sharp[0, 16] - still[0, 16]) > 0.1 * abs(still[0, 16])
    fewer = beam.model_copy(update={"frozen_phonons": 2})
    assert np.array_equal(exit_waves(atoms, fewer, np.random.default_rng(3)), waves[:2])


def test_displacements_have_the_widths_asked_for():
    atoms = Atoms("Ce400O400", positions=np.zeros((800, 3)), cell=(9, 9, 9))
    moved = displace_atoms(atoms, {"Ce": 6.0, "O": 12.0}, np.random.default_rng(0)).positions
    assert np.allclose(moved[:400].std(0), 0.06, rtol=0.12)
    assert np.allclose(moved[400:].std(0), 0.12, rtol=0.12)


def test_defocus_counts_from_the_exit_face(abtem):
    """The wave at a face 3 Å above the cell's end is the one at its end, propagated back."""
    bottom, _ = small_slab(2)
    bottom.info = {}
    face = bottom.copy()
    face.info["exit_face_pm"] = 100 * float(bottom.cell[2, 2]) - 300
    wave, moved = exit_wave(bottom, SMALL_BEAM), exit_wave(face, SMALL_BEAM)
    cell, orders = 100 * float(bottom.cell[0, 0]), wave.shape[0] // 2
    k = np.r_[0 : orders + 1, -orders:0] / cell
    back = np.exp(1j * np.pi * wavelength_pm(300) * 300 * (k[:, None] ** 2 + k**2))
    assert np.abs(moved - wave * back).max() < 1e-6
    assert np.abs(moved - wave / back).max() > 1e-3


def test_beam_tilt_parts_atoms_at_different_heights(abtem):
    """Two atoms 60 Å apart in height, beam tilted by +20 mrad along x: their middle stays, so that the upper one,
    when in focus, appears 0.6 Å towards +x and the lower one as much towards -x; nothing moves along y."""
    pair = cerium((8, 10, 0.5), (4, 3, 60.5), height=61)
    tilted = SMALL_BEAM.model_copy(update={"tilt_mrad": (20.0, 0.0)})
    for x, y, z, moved in ((8, 10, 0.5, 0.6), (4, 3, 60.5, -0.6)):
        pair.info["exit_face_pm"] = 100 * z
        phase = np.angle(on_grid(exit_wave(pair, tilted)))
        row, column = np.unravel_index(phase.argmax(), phase.shape)
        assert abs(column * 16 / 400 - (x + moved)) < 0.1
        assert abs(row * 16 / 400 - y) < 0.1


def test_beam_tilt_is_a_tilted_crystal(abtem):
    """To first order a tilted beam is the crystal sheared about its middle, atom for atom, with the beam upright."""
    atoms, _ = small_slab(5)
    atoms.info["exit_face_pm"] = 100 * float(atoms.positions[:, 2].max())
    mrad = 8.0
    sheared = atoms.copy()
    middle = (atoms.positions[:, 2].min() + atoms.positions[:, 2].max()) / 2
    sheared.positions[:, 0] -= (atoms.positions[:, 2] - middle) * np.tan(mrad / 1000)
    tilted = exit_wave(atoms, SMALL_BEAM.model_copy(update={"tilt_mrad": (mrad, 0.0)}))
    upright = exit_wave(atoms, SMALL_BEAM)
    assert relative(tilted, exit_wave(sheared, SMALL_BEAM)) < 0.02
    assert relative(tilted, upright) > 0.1
