"""The sliced potential: sharing among slices, slabs of the three-dimensional potential, and abTEM's own potentials."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from conftest import SMALL_BEAM, cerium, relative, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.exit_wave import crop_orders, exit_wave, exit_waves, grid_points
from segdepth.simulation.potential import SlicedPotential, plane_levels, split_between_slices
from segdepth.simulation.scattering import parametrization

U = {"Ce": 8.0, "O": 8.0}
WIDTHS = {"Ce": 6.6, "O": 8.5}
TWO_CERIUM = ((4.123, 9.877, 3.0), (4.123, 9.877, 6.8))


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60), st.floats(0.05, 4))
def test_slices_share_atoms_linearly(heights, thickness):
    """Sums are kept, mean heights too (but for what is above the first or below the last level), nothing goes far."""
    heights = np.array(heights)
    levels = plane_levels(heights, thickness)
    assert (np.diff(levels) > 0).all()
    assert (np.abs(heights[:, None] - levels).min(1) <= thickness / 2 + 1e-9).all()
    below, above, share = split_between_slices(heights, levels)
    assert ((share >= 0) & (share <= 1)).all()
    inside = (heights >= levels[0]) & (heights <= levels[-1])
    mean = levels[below] * (1 - share) + levels[above] * share
    assert np.allclose(mean[inside], heights[inside], atol=1e-9)
    assert (np.abs(mean - heights) <= thickness / 2 + 1e-9).all()


def test_planes_are_slices_of_their_own():
    heights = np.repeat([1.0, 2.9, 4.8], 4) + 0.001 * np.tile([0, 1, 2, 3], 3)
    assert np.allclose(plane_levels(heights, 1.5), [1.0015, 2.9015, 4.8015])
    below, above, share = split_between_slices(np.array([1.0, 1.95, 4.8]), np.array([1.0, 2.9, 4.8]))
    assert np.allclose(share[:2], [0, 0.5]) and (below[2] + share[2]) == 2


def abtems_wave(abtem, atoms: Atoms, beam: Beam, projection: str) -> np.ndarray:
    """The wave of abTEM's own potential and defaults, at the cell's lower face."""
    cell = 100 * float(atoms.cell[0, 0])
    points = grid_points(cell, beam.pixel_pm)
    potential = abtem.Potential(
        atoms, gpts=(points, points), slice_thickness=beam.slice_pm / 100, parametrization=parametrization(beam),
        projection=projection,
    )  # fmt: skip
    wave = abtem.PlaneWave(energy=1000 * beam.energy_kev).multislice(potential, lazy=False)
    wave = np.asarray(wave.array).reshape(points, points)
    return crop_orders(np.fft.fft2(wave.T) / wave.size, stored_orders(cell, 300, beam.stored_angle_mrad), cell, beam)


def test_agrees_with_abtems_finite_projection(abtem):
    """abTEM's integration of the three-dimensional potential converges to ours, whole or cut into slabs."""
    atoms = cerium(*TWO_CERIUM)
    theirs = abtems_wave(abtem, atoms, Beam(pixel_pm=3.4, slice_pm=20, debye_waller_pm=U, absorption=False), "finite")
    planes = exit_wave(atoms, Beam(debye_waller_pm=U, absorption=False))
    slabs = exit_wave(atoms, Beam(slice_pm=20, projection="finite", debye_waller_pm=U, absorption=False))
    assert relative(planes, theirs) < 0.015
    assert relative(slabs, theirs) < 0.012
    wrong = exit_wave(atoms, Beam(debye_waller_pm={"Ce": 10.0, "O": 8.0}, absorption=False))
    assert relative(wrong, theirs) > 0.02


def test_at_grid_points_it_is_abtems(abtem):
    """On grid points abTEM places atoms exactly; only its sinc (without its π) has to be taken out."""
    from abtem.integrals import sinc

    points, factors = 240, parametrization(SMALL_BEAM)
    atoms = cerium((16 * 60 / points, 16 * 100 / points, 3.0))
    ours = sum(piece.potential for piece in SlicedPotential(atoms, points, 1.9, factors)).numpy()
    theirs = abtem.Potential(
        atoms, gpts=(points, points), slice_thickness=9, parametrization=factors, projection="infinite"
    ).build(lazy=False)
    compensation = sinc((points, points), (16 / points,) * 2)
    theirs = np.fft.ifft2(np.fft.fft2(np.asarray(theirs.array)[0]) * compensation / compensation[0, 0]).real
    # the mean of the potential is a phase that no image sees; abTEM sets its lowest value to 0
    assert np.abs((ours - ours.mean()) - (theirs - theirs.mean())).max() < 1e-4 * np.ptp(ours)


def test_slabs_add_up_to_the_projection():
    atoms = cerium(*TWO_CERIUM)
    whole = sum(p.potential for p in SlicedPotential(atoms, 120, 2.0, parametrization(Beam(debye_waller_pm=WIDTHS))))
    slabs = sum(
        p.potential
        for p in SlicedPotential(atoms, 120, 0.3, parametrization(Beam(debye_waller_pm=WIDTHS)), finite=True)
    )
    assert np.abs((whole - slabs).numpy()).max() < 0.01 * float(whole.max())


def test_a_slab_is_the_integral_of_the_three_dimensional_potential(abtem):
    """Against abTEM's radial V(r) of a still atom, integrated along z through the slab by quadrature."""
    from abtem.parametrizations import LobatoParametrization

    side, points = 12.0, 240
    still = Beam(debye_waller_pm={"Ce": 6.6, "O": 0.0})
    oxygen = Atoms("O", positions=[(6, 6, 4)], cell=(side, side, 8), pbc=True)
    potential = SlicedPotential(oxygen, points, 0.4, parametrization(still), finite=True)
    z, weight = np.polynomial.legendre.leggauss(60)
    away = np.arange(10, 50)  # 0.5 Å and more: nearer, the grid's band shows
    checked = 0
    for level, piece in zip(potential.levels, potential):
        if abs(level - 4) > 0.7:
            continue
        heights = level - 4 + 0.2 * z
        value = LobatoParametrization().potential("O")(np.hypot(away[:, None] * side / points, heights[None, :]))
        expected = (value * weight * 0.2).sum(1)
        found = piece.potential.numpy()[points // 2 + away, points // 2]
        assert np.abs((found - found[-1]) - (expected - expected[-1])).max() < 0.05 * expected[0]
        checked += 1
    assert checked >= 3


def test_tilted_planes_need_no_thin_slices(abtem):
    """Atoms between two slices are shared: 96 pm slices do nearly what 12 pm ones do for planes inclined by 3°."""
    atoms, _ = small_slab(6)
    atoms.info = {}
    atoms.positions[:, 2] += 2
    atoms.cell[2, 2] += 4
    atoms.rotate(3, (1, 0.6, 0), center=atoms.cell.diagonal() / 2)
    atoms.wrap()
    fine = exit_wave(atoms, Beam(slice_pm=12, debye_waller_pm=WIDTHS))
    good, coarse = (
        relative(exit_wave(atoms, Beam(slice_pm=slice_pm, debye_waller_pm=WIDTHS)), fine) for slice_pm in (96, 400)
    )
    assert good < 0.004
    assert coarse > 4 * good


def test_moved_or_shared_places_are_summed_alike():
    """Few different x and y (one matrix of places) and all different ones (atom by atom) give the same sum."""
    rng = np.random.default_rng(1)
    grid = [(1.5 * i, 2.0 * j, 2.0) for i in range(6) for j in range(5)]
    upright, factors = cerium(*grid), parametrization(Beam(debye_waller_pm=WIDTHS))
    nudged = upright.copy()
    nudged.positions[:, :2] += rng.normal(size=(30, 2)) * 1e-4
    one, other = (next(iter(SlicedPotential(a, 128, 1.0, factors))).potential for a in (upright, nudged))
    assert np.abs((one - other).numpy()).max() < 2e-3 * float(one.max())


def test_the_coherent_wave_is_the_mean_over_snapshots(abtem):
    """Two planes of cerium and oxygen, 200 snapshots on a fine grid: with absorption the wave is their mean, with the
    Debye-Waller factor alone it keeps what vibration scatters away."""
    atoms = cerium((4.1, 9.9, 3.0), (9.7, 5.2, 3.0), (4.1, 9.9, 5.0), height=8)
    atoms += Atoms("O2", positions=[(7.0, 7.3, 3.0), (7.0, 7.3, 5.0)])
    widths = {"Ce": 9.0, "O": 12.0}
    snapshots = Beam(debye_waller_pm=widths, pixel_pm=4, frozen_phonons=200)
    waves = exit_waves(atoms, snapshots, np.random.default_rng(0))
    mean, noise = waves.mean(0), np.linalg.norm(waves.std(0)) / np.sqrt(len(waves))
    absorbing, plain = (exit_wave(atoms, Beam(debye_waller_pm=widths, absorption=a)) for a in (True, False))
    assert np.linalg.norm(absorbing - mean) < 1.5 * noise
    assert np.linalg.norm(plain - mean) > 4 * noise
    total = [np.sum(np.abs(wave) ** 2) for wave in (absorbing, mean, plain)]
    assert abs(total[0] - total[1]) < 0.1 * (total[2] - total[1])


def test_absorption_is_half_sigma_times_the_variance_for_a_weak_atom(abtem):
    """Oxygen at 300 kV: log<exp(iσv)>/iσ to second order, against <v²> - <v>² on a fine grid."""
    from abtem.core.energy import energy2sigma
    from abtem.parametrizations import LobatoParametrization

    u, side, points = 0.1, 6.0, 600
    atoms = Atoms("O", positions=[(3, 3, 1)], cell=(side, side, 2), pbc=True)
    factors = LobatoParametrization(sigmas={"O": u})
    found = next(iter(SlicedPotential(atoms, points, 1.0, factors, energy_ev=300e3)))
    still = LobatoParametrization(sigmas={})
    v = next(iter(SlicedPotential(atoms, points, 1.0, still, dtype=torch.float64))).potential.numpy()
    q = np.fft.fftfreq(points, side / points)
    blur = np.exp(-2 * (np.pi * u) ** 2 * (q[:, None] ** 2 + q**2))
    first, second = (np.fft.ifft2(np.fft.fft2(values) * blur).real for values in (v, v**2))
    expected = energy2sigma(300e3) / 2 * (second - first**2)
    assert np.abs(found.absorption.numpy() - expected).max() < 0.04 * expected.max()
    assert next(iter(SlicedPotential(atoms, points, 1.0, factors))).absorption is None
