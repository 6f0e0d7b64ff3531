"""Multislice: normalisation, axes, repeatability, the grid, and the potential against closed forms and abTEM's own."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from conftest import SMALL_BEAM, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam, ConfigError
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import crop_orders, exit_wave, grid_points
from segdepth.simulation.potential import plane_slices, projected_potential


def on_grid(wave: np.ndarray, points: int = 400) -> np.ndarray:
    """ψ [y, x] at i · cell / points."""
    orders = wave.shape[0] // 2
    k = np.r_[0 : orders + 1, -orders:0]
    spectrum = np.zeros((points, points), complex)
    spectrum[np.ix_(k, k)] = wave
    return np.fft.ifft2(spectrum) * points**2


def cerium(*places, side=16.0, height=9.0) -> Atoms:
    return Atoms(f"Ce{len(places)}", positions=places, cell=(side, side, height), pbc=True)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference over the norm of what was scattered."""
    scattered = expected.copy()
    scattered[0, 0] -= 1
    return np.linalg.norm(found - expected) / np.linalg.norm(scattered)


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
    beam = Beam(pixel_pm=7, slice_pm=190)
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


def test_potential_agrees_with_abtems_finite_projection(abtem):
    """abTEM's integration of the three-dimensional potential converges to ours from its finer grids."""
    atoms = cerium((4.123, 9.877, 3.0), (4.123, 9.877, 6.8))
    u = {"Ce": 8.0, "O": 8.0}
    ours = exit_wave(atoms, Beam(pixel_pm=7, slice_pm=190, debye_waller_pm=u))
    fine = exit_wave(atoms, Beam(pixel_pm=3.4, slice_pm=20, debye_waller_pm=u))
    theirs = exit_wave(atoms, Beam(pixel_pm=3.4, slice_pm=20, projection="finite", debye_waller_pm=u))
    assert relative(ours, fine) < 1e-3
    assert relative(ours, theirs) < 0.015


def test_potential_at_grid_points_is_abtems(abtem):
    """On grid points abTEM places atoms exactly; only its sinc (without its π) has to be taken out."""
    from abtem.integrals import sinc

    from segdepth.simulation.exit_wave import _parametrization

    points, parametrization = 240, _parametrization(SMALL_BEAM)
    atoms = cerium((16 * 60 / points, 16 * 100 / points, 3.0))
    ours = np.asarray(projected_potential(atoms, points, 1.9, parametrization).array).sum(0)
    theirs = abtem.Potential(
        atoms, gpts=(points, points), slice_thickness=9, parametrization=parametrization, projection="infinite"
    ).build(lazy=False)
    compensation = sinc((points, points), (16 / points,) * 2)
    theirs = np.fft.ifft2(np.fft.fft2(np.asarray(theirs.array)[0]) * compensation / compensation[0, 0]).real
    # the mean of the potential is a phase that no image sees; abTEM sets its lowest value to 0
    assert np.abs((ours - ours.mean()) - (theirs - theirs.mean())).max() < 1e-4 * np.ptp(ours)


def test_finer_slices_change_nothing(slab_waves):
    """Between the planes there is nothing: a slice for each plane is exact."""
    wave, atoms, _ = slab_waves[9]
    assert np.array_equal(exit_wave(atoms, SMALL_BEAM.model_copy(update={"slice_pm": 20.0})), wave)


def test_default_grid_is_converged(slab_waves):
    wave, atoms, _ = slab_waves[9]
    fine = exit_wave(atoms, Beam(pixel_pm=4.5))
    assert relative(wave, fine) < 5e-3


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60), st.floats(0.05, 4))
def test_plane_slices(heights, thickness):
    heights = np.array(heights)
    group, levels = plane_slices(heights, thickness)
    assert (np.diff(levels) > 0).all()
    assert np.array_equal(np.unique(group), np.arange(len(levels)))
    assert (np.abs(heights - levels[group]) <= thickness / 2 + 1e-9).all()
    order = np.argsort(heights)
    assert (np.diff(group[order]) >= 0).all()


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
    assert cropped.shape == (2 * orders + 1,) * 2 and cropped.dtype == np.complex64
    for ky, kx in ((0, 0), (3, -5), (-orders, 0), (orders, orders), (-2, orders)):
        inside = np.hypot(ky, kx) <= 0.02 / wavelength_pm(300) * cell
        assert cropped[ky, kx] == (np.complex64(spectrum[ky, kx]) if inside else 0)
    assert cropped[orders, 0] != 0 and cropped[orders, orders] == 0


def test_too_coarse_a_grid_is_refused(abtem):
    atoms, _ = small_slab(2)
    with pytest.raises(ConfigError, match="beam.pixel_pm: got 15, too coarse for stored_angle_mrad"):
        exit_wave(atoms, Beam(pixel_pm=15, stored_angle_mrad=60))


def test_rectangular_cell_is_refused(abtem):
    with pytest.raises(ValueError, match="square"):
        exit_wave(Atoms("Ce", cell=(16, 12, 9), pbc=True), SMALL_BEAM)


def test_beam_tilt_moves_the_wave_along_its_own_axis(abtem):
    """60 Å behind an atom, a beam tilted by +20 mrad along x has carried its wave 1.2 Å to +x, and not along y."""
    atoms = Atoms("Ce", positions=[(8, 8, 0.5)], cell=(16, 16, 60), pbc=True)
    straight = np.abs(on_grid(exit_wave(atoms, SMALL_BEAM))) ** 2
    tilted = np.abs(on_grid(exit_wave(atoms, SMALL_BEAM.model_copy(update={"tilt_mrad": (20.0, 0.0)})))) ** 2

    def centre(image, axis):
        profile = np.abs(image - 1).sum(1 - axis)
        return np.angle((profile * np.exp(2j * np.pi * np.arange(400) / 400)).sum()) / 2 / np.pi * 16 % 16

    assert abs(centre(tilted, 1) - centre(straight, 1) - 59.5 * 0.02) < 0.05
    assert abs(centre(tilted, 0) - centre(straight, 0)) < 0.02
