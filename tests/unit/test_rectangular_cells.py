"""Cells that are no square: potentials, waves and images against abTEM and closed forms; swapped axes would show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from conftest import SMALL_BEAM, relative

from segdepth.config import Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import crop_orders, exit_wave, wave_orders
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields, orders_of
from segdepth.simulation.optics import ImageFormer
from segdepth.simulation.potential import SlicedPotential
from segdepth.simulation.scattering import parametrization

X, Y = 12.0, 20.0  # Å
WAVELENGTH = wavelength_pm(300)
ATTRS = {"cell_pm": [1200.0, 2000.0], "margin_pm": 0.0, "wavelength_pm": WAVELENGTH, "stored_angle_mrad": 45.0}


def crooked(x: float = X, y: float = Y) -> Atoms:
    places = [(3.1, 4.7, 1.0), (7.3, 5.9, 3.0), (5.2, 8.8, 3.0), (3.7, 7.1, 5.0)]
    return Atoms("Ce2O2", positions=places, cell=(x, y, 8), pbc=True)


def test_a_wave_of_two_equal_squares_is_that_of_one(abtem):
    """A crystal repeated along one side has waves at every other order along that side only."""
    small = exit_wave(crooked(X, X), SMALL_BEAM)
    for repeat, places in (((1, 2, 1), (2, 1)), ((2, 1, 1), (1, 2))):
        wave = exit_wave(crooked(X, X).repeat(repeat), SMALL_BEAM)
        ky, kx = (np.r_[0 : n // 2 + 1, -(n // 2) : 0] for n in small.shape)
        found = wave[np.ix_(places[0] * ky, places[1] * kx)]
        assert relative(found, small) < 2e-3
        rest = wave.copy()
        rest[np.ix_(places[0] * ky, places[1] * kx)] = 0
        assert np.abs(rest).max() < 1e-5


def test_a_wave_does_not_notice_whole_sides(abtem):
    moved = crooked()
    moved.positions[1:3] += (X, -2 * Y, 0)
    assert relative(exit_wave(moved, SMALL_BEAM), exit_wave(crooked(), SMALL_BEAM)) < 1e-5


def test_a_wave_is_abtems(abtem):
    """abTEM's multislice with its own potential, finite projection."""
    atoms = crooked()
    beam = SMALL_BEAM.model_copy(update={"stored_angle_mrad": 40.0})
    potential = abtem.Potential(
        atoms, gpts=(360, 600), slice_thickness=0.2, parametrization=parametrization(beam), projection="finite"
    )
    theirs = np.asarray(abtem.PlaneWave(energy=300e3).multislice(potential, lazy=False).array).reshape(360, 600)
    cell = (100 * X, 100 * Y)
    theirs = crop_orders(np.fft.fft2(theirs.T) / theirs.size, wave_orders(cell, beam), cell, beam)
    ours = exit_wave(atoms, beam)
    assert ours.shape == theirs.shape and ours.shape[0] > 1.5 * ours.shape[1]
    assert relative(ours, theirs) < 0.03
    swapped = atoms.copy()
    swapped.positions[:, :2] = swapped.positions[:, 1::-1]
    assert relative(exit_wave(swapped, beam), theirs) > 0.3


def test_the_potential_is_abtems_at_grid_points(abtem):
    from abtem.integrals import sinc

    points, factors = (180, 300), parametrization(SMALL_BEAM)
    atoms = Atoms("Ce", positions=[(X * 60 / 180, Y * 100 / 300, 3.0)], cell=(X, Y, 9), pbc=True)
    ours = sum(piece.potential for piece in SlicedPotential(atoms, points, 1.9, factors)).numpy()
    theirs = abtem.Potential(atoms, gpts=points, slice_thickness=9, parametrization=factors, projection="infinite")
    compensation = sinc(points, (X / 180, Y / 300))
    theirs = np.asarray(theirs.build(lazy=False).array)[0]
    theirs = np.fft.ifft2(np.fft.fft2(theirs) * compensation / compensation[0, 0]).real
    assert np.abs((ours - ours.mean()) - (theirs - theirs.mean())).max() < 1e-4 * np.ptp(ours)


def lens(c1: float) -> Lens:
    values = {"c1_pm": c1, "c3_pm": -9e6, "focal_spread_pm": 4000.0, "convergence_rad": 2e-4, "image_spread_pm": 20.0}
    values |= {"a1_pm": 4e3, "a1_azimuth_rad": 0.4}
    return Lens.from_values({name: [value] for name, value in values.items()})


def test_an_image_of_two_equal_squares_is_twice_that_of_one(abtem):
    images = []
    for repeat in ((1, 1, 1), (1, 2, 1), (2, 1, 1)):
        atoms = crooked(X, X).repeat(repeat)
        wave = exit_wave(atoms, SMALL_BEAM)
        former = ImageFormer(
            cell_pm=[100 * atoms.cell[0, 0], 100 * atoms.cell[1, 1]], margin_pm=0.0, pixel_pm=20.0,
            orders=orders_of(wave), wavelength_pm=WAVELENGTH, aperture_rad=0.0397, least_image_spread_pm=20.0,
        )  # fmt: skip
        images.append(former.form(torch.as_tensor(wave)[None], lens(3000.0))[0].numpy())
    one, high, wide = images
    assert one.shape == (60, 60) and high.shape == (120, 60) and wide.shape == (60, 120)
    for found, expected in ((high, np.tile(one, (2, 1))), (wide, np.tile(one, (1, 2)))):
        assert np.sqrt(np.mean((found - expected) ** 2)) < 0.01 * one.std()


def test_weak_fringes_along_either_side():
    """ψ = 1 + iε·2cos(qx): the image is 1 + 4ε sin χ · damping · cos(qx), at the order's own angle on each side."""
    weak, c1, order = 1e-4, 3000.0, 9
    for axis, side in ((1, 1200.0), (0, 2000.0)):
        wave = np.zeros((2 * 45 + 1, 2 * 27 + 1), complex)
        wave[0, 0] = 1
        for sign in (order, -order):
            wave[(0, sign) if axis else (sign, 0)] = 1j * weak
        former = ImageFormer(
            cell_pm=(1200.0, 2000.0), margin_pm=100.0, pixel_pm=20.0, orders=(27, 45), wavelength_pm=WAVELENGTH,
            aperture_rad=0.04, focal_steps=1, dtype=torch.float64,
        )  # fmt: skip
        values = Lens.from_values({"c1_pm": [c1], "image_spread_pm": [20.0]})
        image = former.form(torch.as_tensor(wave)[None], values)[0].numpy() - 1
        assert image.shape == (90, 50)
        q = order / side
        damped = math.sin(math.pi * WAVELENGTH * c1 * q**2) * math.exp(-2 * (math.pi * 20 * q) ** 2) * np.sinc(20 * q)
        place = 100 + 20 * (np.arange(image.shape[axis]) + 0.5)
        expected = 4 * weak * damped * np.cos(2 * np.pi * q * place)
        shown = expected[None, :] if axis else expected[:, None]
        assert np.abs(image - shown).max() < 1e-3 * 4 * weak


def test_an_image_at_a_pixel_that_fits_is_the_formers(abtem):
    wave = exit_wave(crooked(), SMALL_BEAM)
    block = Imaging(defocus_nm=(5,), pixel_pm=20.0, camera_pixel_pm=20.0, mtf_nyquist=0.6)
    values = draw_lens_values(block, [5.0], np.random.default_rng(0))
    former = image_former(block, ATTRS, orders_of(wave), "cpu")
    expected = former.form(torch.as_tensor(wave)[None], Lens.from_values(lens_fields(values)))[0].numpy()
    found = form_at_pixel(block, ATTRS, wave, values, 20.0)[0]
    assert found.shape == expected.shape == (100, 60)
    assert np.abs(found - expected).max() < 5e-4 * np.ptp(expected)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_must_be_finite(wrong):
    with pytest.raises(ConfigError, match=f"^defocus_nm: got {wrong}; it must be finite$"):
        draw_lens_values(Imaging(), [5.0, wrong], np.random.default_rng(0))
    with pytest.raises(ConfigError, match="the cell must be a box"):
        exit_wave(crooked(wrong), SMALL_BEAM)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -5.0])
def test_a_pixel_has_a_size(wrong):
    values = draw_lens_values(Imaging(), [5.0], np.random.default_rng(0))
    wave = np.ones((91, 55), complex)
    with pytest.raises(ConfigError, match=f"^pixel_pm: got {wrong:g}; "):
        form_at_pixel(Imaging(), ATTRS, wave, values, wrong)
