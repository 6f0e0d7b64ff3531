"""The image former against abTEM's optics, Dr. Probe's wavimg, and closed forms."""

from __future__ import annotations

import gc
import math
import threading
import weakref

import numpy as np
import pytest
import torch
from conftest import random_wave
from hypothesis import given, settings
from hypothesis import strategies as st

from segdepth.simulation import optics
from segdepth.simulation.aberrations import Lens, aberration_function, aberration_slope
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.focal import focal_steps
from segdepth.simulation.optics import ImageFormer, form_in_batches, intensity_grid, smooth_size

WAVELENGTH = wavelength_pm(300)
CELL = 1200.0


def lens(c1=1000.0, c3=-9e6, c5=5e9, spread=4000.0, convergence=0.2e-3, image_spread=0.0, **more) -> Lens:
    """Every value a number or a sequence; a batch as long as the longest."""
    names = ("c1_pm", "c3_pm", "c5_pm", "focal_spread_pm", "convergence_rad", "image_spread_pm", *more)
    values = np.broadcast_arrays(*np.atleast_1d(c1, c3, c5, spread, convergence, image_spread, *more.values()))
    return Lens.from_values({name: value.copy() for name, value in zip(names, values)})


def former(
    orders: int, *, cell=CELL, pixel=CELL / 60, margin=0.0, aperture=0.04, samples=17, dtype=torch.float64, **more
):
    return ImageFormer(
        cell_pm=cell, margin_pm=margin, pixel_pm=pixel, orders=orders, wavelength_pm=WAVELENGTH,
        aperture_rad=aperture, focal_steps=samples, dtype=dtype, **more,
    )  # fmt: skip


def form(which: ImageFormer, wave: np.ndarray, values: Lens) -> np.ndarray:
    batch = len(values.c1_pm)
    return which.form(torch.as_tensor(wave).expand(batch, -1, -1), values).cpu().numpy()


ORDERS = stored_orders(CELL, 300, 40)
WAVE = random_wave(ORDERS, CELL, 0.04, WAVELENGTH, seed=1)


def abtem_intensity(
    abtem, wave, grid, cell, c1, c3, c5, spread, convergence, aperture, precision, nodes=None, **astigmatic
):
    """Explicit focal averaging by abTEM itself, on the same grid, as [y, x]; ``astigmatic`` in abTEM's names and Å."""
    from abtem import distributions

    steps, weights = nodes or focal_steps(17)
    orders = wave.shape[0] // 2
    k = np.r_[0 : orders + 1, -orders:0]
    spectrum = np.zeros((grid, grid), complex)
    spectrum[np.ix_(k, k)] = wave
    with abtem.config.set({"precision": precision}):
        kind = np.complex64 if precision == "float32" else np.complex128
        psi = (np.fft.ifft2(spectrum) * grid**2).T.astype(kind)  # abTEM's arrays are [x, y]
        waves = abtem.Waves(psi, energy=300e3, extent=(cell / 100, cell / 100))
        if spread:
            focus = distributions.from_values(
                (c1 + spread * np.array(steps)) / 100, np.array(weights), ensemble_mean=True
            )
        else:
            focus = c1 / 100
        ctf = abtem.CTF(
            energy=300e3, C10=focus, C30=c3 / 100, C50=c5 / 100, angular_spread=1000 * convergence,
            semiangle_cutoff=1000 * aperture, soft=False, **astigmatic,
        )  # fmt: skip
        found = waves.apply_ctf(ctf).intensity().reduce_ensemble()
        return np.asarray(found.compute(progress_bar=False).array if found.is_lazy else found.array).T


def on_grid(which: ImageFormer, wave: np.ndarray, values: Lens) -> np.ndarray:
    """The focal average on the alias-free grid, before image spread and pixels."""
    shifted = torch.fft.fftshift(torch.as_tensor(wave)[None].to(which.complex_dtype), dim=(-2, -1))
    return which._grid_intensity(shifted * which.aperture, values)[0].numpy()


def integrated_over_pixels(intensity: np.ndarray, pixels: int) -> np.ndarray:
    """Mean of a periodic image's Fourier series over each of ``pixels``² pixels, by its closed form."""
    spectrum = np.fft.fft2(intensity) / intensity.size
    k = np.fft.fftfreq(len(intensity), 1 / len(intensity))
    row = np.exp(2j * np.pi * np.outer(np.arange(pixels) + 0.5, k) / pixels) * np.sinc(k / pixels)
    return (row @ spectrum @ row.T).real


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("precision", "bound"), [("float64", 1e-5), ("float32", 1e-4)])
def test_matches_abtem_for_any_lens(abtem, precision, bound, device):
    """C12 = A1, C21 = 3 B2, C23 = A2, azimuths as abTEM's (DESIGN §5)."""
    azimuth = st.floats(-math.pi, math.pi)

    @settings(max_examples=20)
    @given(
        seed=st.integers(0, 99),
        cell=st.floats(900, 1400),
        c1=st.floats(-12e3, 12e3),
        c3=st.floats(-20e6, 20e6),
        c5=st.floats(-10e9, 10e9),
        a1=st.floats(0, 10e3),
        b2=st.floats(0, 300e3),
        a2=st.floats(0, 300e3),
        turns=st.tuples(azimuth, azimuth, azimuth),
        spread=st.sampled_from([0.0, 1500.0, 4000.0, 6000.0]),
        convergence=st.floats(0, 0.8e-3),
        aperture=st.sampled_from([0.0173, 0.0251, 0.0397]),
        pixels=st.sampled_from([24, 45, 64, 200]),
    )
    def check(seed, cell, c1, c3, c5, a1, b2, a2, turns, spread, convergence, aperture, pixels):
        orders = stored_orders(cell, 300, 40)
        # the aperture's rim lies between orders, so that no rounding decides what passes
        k = np.arange(orders + 1)
        angles = np.sqrt(np.unique((k[:, None] ** 2 + k**2).ravel())) * WAVELENGTH / cell
        place = np.searchsorted(angles, aperture)
        aperture = (angles[place - 1] + angles[place]) / 2
        wave = random_wave(orders, cell, 0.04, WAVELENGTH, seed)
        which = former(
            orders, cell=cell, pixel=cell / pixels, aperture=aperture, dtype=getattr(torch, precision), device=device
        )
        more = {"a1_pm": a1, "b2_pm": b2, "a2_pm": a2}
        more |= dict(zip(("a1_azimuth_rad", "b2_azimuth_rad", "a2_azimuth_rad"), turns))
        ours = form(which, wave, lens(c1, c3, c5, spread, convergence, **more))[0]
        theirs = abtem_intensity(
            abtem, wave, which.grid[0], cell, c1, c3, c5, spread, convergence, aperture, precision,
            C12=a1 / 100, phi12=turns[0], C21=3 * b2 / 100, phi21=turns[1], C23=a2 / 100, phi23=turns[2],
        )  # fmt: skip
        theirs = integrated_over_pixels(theirs, pixels)
        assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < bound

    check()


@pytest.mark.parametrize("name", ["a1", "b2", "a2"])
def test_abtem_comparison_tells_azimuths(abtem, name):
    """A mirrored azimuth, or B2 without its 3, would be seen."""
    size, turn = {"a1": 5e3, "b2": 100e3, "a2": 100e3}[name], 0.4
    theirs_name, number, factor = {"a1": ("C12", "phi12", 1), "b2": ("C21", "phi21", 3), "a2": ("C23", "phi23", 1)}[
        name
    ]
    which = former(ORDERS, aperture=0.0396)
    arguments = (abtem, WAVE, which.grid[0], CELL, 3000, -9e6, 5e9, 4000, 2e-4, 0.0396, "float64")
    theirs = abtem_intensity(*arguments, **{theirs_name: factor * size / 100, number: turn})

    def ours(scale, azimuth):
        return on_grid(which, WAVE, lens(3000, **{f"{name}_pm": scale * size, f"{name}_azimuth_rad": azimuth}))

    assert np.linalg.norm(ours(1, turn) - theirs) / np.linalg.norm(theirs) < 1e-5
    for wrong in (ours(1, -turn), ours(3, turn), ours(1 / 3, turn), ours(0, turn)):
        assert np.linalg.norm(wrong - theirs) / np.linalg.norm(theirs) > 1e-2


@given(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03), st.tuples(*[st.floats(0, 6)] * 3), st.floats(-9e3, 9e3))
def test_slope_is_the_gradient_of_the_aberration_function(x, y, turns, c1):
    values = lens(
        c1, a1_pm=3e3, a1_azimuth_rad=turns[0], b2_pm=50e3, b2_azimuth_rad=turns[1], a2_pm=80e3, a2_azimuth_rad=turns[2]
    )

    def chi(dx, dy):
        at = torch.tensor([[x + dx]], dtype=torch.float64), torch.tensor([[y + dy]], dtype=torch.float64)
        return float(aberration_function(values, *at, WAVELENGTH))

    h = 1e-6
    numerical = ((chi(h, 0) - chi(-h, 0)) / (2 * h), (chi(0, h) - chi(0, -h)) / (2 * h))
    at = torch.tensor([[x]], dtype=torch.float64), torch.tensor([[y]], dtype=torch.float64)
    found = [float(part) * 2 * math.pi / WAVELENGTH for part in aberration_slope(values, *at)]
    assert np.allclose(found, numerical, rtol=1e-5, atol=1e-2)


def test_abtem_comparison_tells_signs_and_axes(abtem):
    """The comparison above would see a wrong sign of C1 and swapped axes."""
    which = former(ORDERS)
    theirs = abtem_intensity(abtem, WAVE, which.grid[0], CELL, 3000, -9e6, 5e9, 4000, 2e-4, 0.0397, "float64")
    for wrong in (on_grid(which, WAVE, lens(-3000)), on_grid(which, WAVE.T, lens(3000))):
        assert np.linalg.norm(wrong - theirs) / np.linalg.norm(theirs) > 1e-2


def test_pixels_are_box_integrals_of_the_grid_intensity():
    """Against numerical integration of the trigonometric polynomial over each pixel."""
    which, values = former(ORDERS, pixel=CELL / 12), lens(2000)
    fine = on_grid(which, WAVE, values)
    spectrum = np.fft.fft2(fine) / fine.size
    k = np.fft.fftfreq(which.grid[0], 1 / which.grid[0])
    points = (np.arange(12 * 200) + 0.5) / (12 * 200)
    row = np.exp(2j * np.pi * np.outer(points, k))
    averaged = row.reshape(12, 200, -1).mean(1)  # midpoint rule over each pixel
    expected = (averaged @ spectrum @ averaged.T).real
    assert np.allclose(form(which, WAVE, values)[0], expected, atol=2e-5 * np.ptp(expected))


def test_vacuum_is_one():
    wave = np.zeros((2 * ORDERS + 1,) * 2, complex)
    wave[0, 0] = 1
    assert np.abs(form(former(ORDERS, dtype=torch.float32), wave, lens([1e3, 9e3], image_spread=20)) - 1).max() < 1e-6
    assert np.abs(form(former(ORDERS), wave, lens([1e3, 9e3], image_spread=20)) - 1).max() < 1e-13


def test_electrons_are_conserved():
    image = form(former(ORDERS, aperture=0.041), WAVE, lens([500, 5000], convergence=0, image_spread=20))
    assert np.allclose(image.mean((1, 2)), np.sum(np.abs(WAVE) ** 2), rtol=1e-12)


def test_aperture_takes_electrons_away():
    k = np.r_[0 : ORDERS + 1, -ORDERS:0]
    inside = k[:, None] ** 2 + k[None, :] ** 2 <= (0.015 / WAVELENGTH * CELL) ** 2
    image = form(former(ORDERS, aperture=0.015), WAVE, lens(500, convergence=0))
    assert np.isclose(image.mean(), np.sum(np.abs(WAVE[inside]) ** 2), rtol=1e-12)


@pytest.mark.parametrize("margin", [0.0, 200.0])
def test_binned_image_equals_the_directly_formed_one(margin):
    values = lens([1000, 7000], image_spread=15)
    fine = form(former(ORDERS, pixel=CELL / 240, margin=margin), WAVE, values)
    coarse = form(former(ORDERS, pixel=CELL / 60, margin=margin), WAVE, values)
    side = coarse.shape[-1]
    assert side == round((CELL - 2 * margin) / 20)
    assert np.abs(fine.reshape(2, side, 4, side, 4).mean((2, 4)) - coarse).max() < 1e-10


def test_shifted_wave_gives_shifted_image():
    k = np.r_[0 : ORDERS + 1, -ORDERS:0]
    right, down = 7, 3
    ramp = np.exp(-2j * np.pi * (k[:, None] * down + k[None, :] * right) / 60)
    values = lens(3000, image_spread=20)
    moved = form(former(ORDERS), WAVE * ramp, values)[0]
    assert np.allclose(moved, np.roll(form(former(ORDERS), WAVE, values)[0], (down, right), (0, 1)), atol=1e-10)


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_wave_gives_mirrored_image(axis):
    mirrored = np.take(WAVE, (-np.arange(2 * ORDERS + 1)) % (2 * ORDERS + 1), axis=axis)  # F(-k), about the cell's edge
    values = lens(3000, image_spread=20)
    image = form(former(ORDERS), WAVE, values)[0]
    found = form(former(ORDERS), mirrored, values)[0]
    assert np.allclose(found, np.flip(image, axis), atol=1e-10)
    assert not np.allclose(found, image, atol=1e-3)


def test_margin_is_cropped_evenly():
    values = lens(3000)
    whole = form(former(ORDERS), WAVE, values)[0]
    part = form(former(ORDERS, margin=100.0), WAVE, values)[0]
    assert np.allclose(part, whole[5:-5, 5:-5], atol=1e-12)


def test_batch_equals_single_images_bit_for_bit():
    values = lens([1000, 4000, 9000], image_spread=[10, 20, 30])
    which = former(ORDERS, dtype=torch.float32)
    together = form(which, WAVE, values)
    alone = np.concatenate([form(which, WAVE, values.part(slice(i, i + 1))) for i in range(3)])
    assert np.array_equal(together, alone)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert np.array_equal(form(which, WAVE, values), together)
        assert np.array_equal(form(which, WAVE, values.part(slice(1, 2)))[0], together[1])
    finally:
        torch.set_num_threads(before)


def test_forming_images_leaves_the_number_of_threads_alone():
    """Also for threads that begin later, which take the number that was set last."""
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        form(former(ORDERS), WAVE, lens([1000, 4000]))
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert torch.get_num_threads() == 2 and seen == [2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("c1", [-6000.0, 2000.0, 8000.0])
@pytest.mark.parametrize("order", [3, 9, 17])
def test_weak_phase_limit(c1, order):
    """ψ = 1 + iε·2cos(qx): the image is 1 + 2ε sin χ · damping · 2cos(qx), χ = 2π/λ (C1 θ²/2 + C3 θ⁴/4 + C5 θ⁶/6)."""
    tiny, c3, c5, spread, convergence, image_spread = 1e-7, -9e6, 5e9, 4000.0, 0.2e-3, 20.0
    wave = np.zeros((2 * ORDERS + 1,) * 2, complex)
    wave[0, 0], wave[0, order], wave[0, -order] = 1, 1j * tiny, 1j * tiny
    which = former(ORDERS)
    image = form(which, wave, lens(c1, c3, c5, spread, convergence, image_spread))[0] - 1
    theta = order / CELL * WAVELENGTH
    steps, weights = focal_steps(17)
    contrast = 0.0
    for step, weight in zip(steps, weights):
        focus = c1 + spread * step
        chi = 2 * math.pi / WAVELENGTH * (focus * theta**2 / 2 + c3 * theta**4 / 4 + c5 * theta**6 / 6)
        slope = 2 * math.pi / WAVELENGTH * (focus * theta + c3 * theta**3 + c5 * theta**5)
        contrast += weight * math.sin(chi) * math.exp(-((convergence / 2 * slope) ** 2))
    q = order / CELL
    contrast *= math.exp(-2 * (math.pi * image_spread * q) ** 2) * np.sinc(q * which.pixel_pm[0])
    x = (np.arange(60) + 0.5) * which.pixel_pm[0]
    expected = 4 * tiny * contrast * np.cos(2 * np.pi * q * x)
    assert np.abs(image - expected[None, :]).max() < 1e-3 * 4 * tiny


def test_focal_average_does_not_damp_beams_of_equal_angle():
    """Explicit averaging damps q² - q'², so fringes between ±q survive any spread."""
    wave = np.zeros((2 * ORDERS + 1,) * 2, complex)
    wave[0, 9] = wave[0, -9] = 0.5
    image = form(former(ORDERS, pixel=CELL / 240), wave, lens(2000, spread=20000, convergence=0))[0]
    assert np.isclose(np.ptp(image), 1.0, rtol=0.02)


def difference(found, reference):
    """Rms difference over rms contrast."""
    return np.sqrt(np.mean((found - reference) ** 2)) / reference.std()


def test_modes_are_the_gaussian_average():
    """Against 81 single foci over three half-widths: nearer than 17 steps over two, and more modes are nearer."""
    values = lens([1000, 5000, 9000], image_spread=20)
    steps, weights = focal_steps(81, 3.0)
    foci = [lens([c1 + 4000 * step for c1 in (1000, 5000, 9000)], image_spread=20) for step in steps]
    whole = sum(weight * form(former(ORDERS, samples=1), WAVE, one) for one, weight in zip(foci, weights))
    few = form(former(ORDERS), WAVE, values)
    errors = [difference(form(former(ORDERS, samples=None, focal_modes=n), WAVE, values), whole) for n in (4, None, 12)]
    assert errors[1] < 0.003 and errors[2] < 0.0015
    assert errors[1] < difference(few, whole) < 0.02
    assert errors[0] > 10 * errors[1]


def test_modes_are_abtems_average(abtem):
    """The default way against abTEM's optics with 81 focal values over three half-widths."""
    which = former(ORDERS, samples=None, aperture=0.0396)
    ours = on_grid(which, WAVE, lens(5000))
    theirs = abtem_intensity(
        abtem, WAVE, which.grid[0], CELL, 5000, -9e6, 5e9, 4000, 2e-4, 0.0396, "float64", nodes=focal_steps(81, 3.0)
    )
    assert difference(ours, theirs) < 0.004
    fewer = on_grid(former(ORDERS, samples=None, focal_modes=3, aperture=0.0396), WAVE, lens(5000))
    assert difference(fewer, theirs) > 0.02


@pytest.mark.parametrize("spread", [0.0, 100.0, 4000.0, 20000.0])
@pytest.mark.parametrize("modes", [None, 1, 3])
def test_modes_leave_vacuum_alone(spread, modes):
    wave = np.zeros((2 * ORDERS + 1,) * 2, complex)
    wave[0, 0] = 1
    image = form(former(ORDERS, samples=None, focal_modes=modes), wave, lens(3000, spread=spread))
    assert np.abs(image - 1).max() < 1e-9


@pytest.mark.parametrize("aperture", [0.025, 0.035, 0.0397])
@pytest.mark.parametrize("spread", [0.0, 1000.0, 2000.0, 7000.0, 12000.0])
def test_as_many_modes_as_the_spread_needs(slab_waves, spread, aperture):
    """The same exactness from no spread at all to three times the default, for wide and narrow apertures."""
    wave, _, block = slab_waves[9]
    orders = wave.shape[0] // 2
    kind = {"cell": block.cell_pm, "pixel": block.field_pm / 64, "margin": block.margin_pm, "aperture": aperture}
    values = lens([2000, 8000], spread=spread, image_spread=20)
    modes = form(former(orders, samples=None, **kind), wave, values)
    steps, weights = focal_steps(121, 3.0)
    foci = [lens([c1 + spread * step for c1 in (2000, 8000)], image_spread=20) for step in steps]
    single = former(orders, samples=1, **kind)
    whole = sum(w * form(single, wave, one) for one, w in zip(foci, weights))
    assert difference(modes, whole) < 0.005


def test_modes_follow_each_images_own_spread():
    values = lens(3000, spread=[1000, 4000, 6000], convergence=[0.1e-3, 0.2e-3, 0.3e-3], image_spread=20)
    which = former(ORDERS, samples=None)
    together = form(which, WAVE, values)
    shifted = torch.fft.fftshift(torch.as_tensor(WAVE)[None].expand(3, -1, -1), dim=(-2, -1)) * which.aperture
    on_a_gpu = which._to_pixels(which._average_of_modes(shifted, values), values).numpy()  # all at once
    assert np.allclose(on_a_gpu, together, atol=1e-10)
    for found, expected in zip(together, form(former(ORDERS, samples=61), WAVE, values)):
        assert difference(found, expected) < 0.03
    assert difference(together[0], together[2]) > 0.1


@pytest.mark.parametrize(
    "extreme",
    [{"c3": 1e9, "convergence": 0.5e-3}, {"c3": 5e9}, {"convergence": 4e-3}, {"b2_pm": 2e6, "convergence": 1e-3}],
)
@pytest.mark.parametrize("samples", [None, 17])
def test_no_lens_makes_nonsense(extreme, samples):
    """Where the envelope leaves nothing of a beam, images stay finite and vacuum stays 1."""
    wave = WAVE.astype(np.complex64)
    image = form(former(ORDERS, samples=samples, dtype=torch.float32), wave, lens(3000, image_spread=20, **extreme))
    assert np.isfinite(image).all() and image.min() > -1e-3
    assert image.mean() < 1.001


def test_a_grid_too_small_for_the_wave_is_refused():
    with pytest.raises(ValueError, match="intensity_points: got 40"):
        former(ORDERS, intensity_points=40)


def test_frozen_phonon_images_are_averaged():
    other = random_wave(ORDERS, CELL, 0.04, WAVELENGTH, seed=2)
    values, which = lens(3000, image_spread=20), former(ORDERS)
    both = which.form(torch.as_tensor(np.stack([WAVE, other]))[None], values).numpy()[0]
    assert np.allclose(both, (form(which, WAVE, values)[0] + form(which, other, values)[0]) / 2, atol=1e-12)


@pytest.mark.parametrize("image_spread", [10.0, 20.0, 50.0])
def test_a_coarser_intensity_grid_serves_where_image_spread_damps(slab_waves, image_spread):
    wave, _, block = slab_waves[9]
    kind = {"cell": block.cell_pm, "pixel": block.field_pm / 64, "margin": block.margin_pm}
    exact = former(wave.shape[0] // 2, **kind)
    coarse = former(wave.shape[0] // 2, least_image_spread_pm=image_spread, **kind)
    assert coarse.grid < exact.grid
    values = lens([1000, 5000, 9000], image_spread=image_spread)
    assert difference(form(coarse, wave, values), form(exact, wave, values)) < 5e-4
    with pytest.raises(ValueError, match="image_spread_pm: got .*; the grid of"):
        form(coarse, wave, lens(1000, image_spread=image_spread / 2))


def test_intensity_grid_is_exact_without_image_spread():
    assert intensity_grid(100, 5000, 0) == smooth_size(401)
    assert 2 * 100 < intensity_grid(100, 5000, 50) < 400


def test_camera_mtf_damps_as_it_says():
    """A fringe of half the camera's Nyquist frequency is damped by MTF ^ (1/2 ^ exponent)."""
    order, camera = 15, CELL / 60
    wave = np.zeros((2 * ORDERS + 1,) * 2, complex)
    wave[0, 0], wave[0, order] = 1, 0.1
    which = former(ORDERS, pixel=CELL / 240, camera_pixel_pm=camera, mtf_exponent=2.0)
    without = form(which, wave, lens(0, 0, 0, 0, 0))[0]
    blurred = form(which, wave, lens(0, 0, 0, 0, 0, mtf_decay=-math.log(0.4)))[0]
    assert np.isclose(np.ptp(blurred) / np.ptp(without), 0.4**0.25, rtol=1e-6)  # order 15 of 30: half of Nyquist
    assert np.isclose(blurred.mean(), without.mean(), rtol=1e-12)


def test_batches_halve_when_memory_runs_out():
    asked = []

    def greedy(some: slice) -> torch.Tensor:
        asked.append(some.stop - some.start)
        if some.stop - some.start > 3:
            raise torch.OutOfMemoryError("too many")
        return torch.arange(some.start, some.stop)

    assert form_in_batches(greedy, 11, 100).tolist() == list(range(11))
    assert asked == [11, 5, 2, 2, 2, 2, 2, 1]
    with pytest.raises(torch.OutOfMemoryError):
        form_in_batches(lambda some: (_ for _ in ()).throw(torch.OutOfMemoryError()), 4, 2)


def test_a_lens_names_what_it_has():
    with pytest.raises(ValueError, match="a lens has no c7_pm"):
        Lens.from_values({"c1_pm": [1.0], "c7_pm": [2.0]})


def test_matches_drprobe(drprobe):
    """wavimg: C1 = +1 nm, spread 0.5 nm, 0.4 mrad, 16 pm, aperture 25 mrad."""
    size, pixel = 40, 9.7525
    psi = np.fromfile(drprobe / "wav" / "STO_sl002.wav", np.complex64).reshape(size, size)
    expected = np.fromfile(drprobe / "img" / "STO_sl002.dat", np.float32).reshape(size, size)
    orders = size // 2 - 1
    k = np.r_[0 : orders + 1, -orders:0]
    wave = (np.fft.fft2(psi.astype(complex)) / size**2)[np.ix_(k, k)]
    which = former(orders, cell=size * pixel, pixel=pixel, aperture=0.025)

    def sampled(c1: float) -> np.ndarray:
        """Our image at i · pixel: the box and the half pixel taken out again."""
        image = form(which, wave, lens(c1, 0, 0, 500, 0.4e-3, 16))[0]
        n = np.fft.fftfreq(size, 1 / size)
        line = np.sinc(n / size) * np.exp(1j * np.pi * n / size)
        return np.fft.ifft2(np.fft.fft2(image) / (line[:, None] * line[None, :])).real

    assert np.abs(sampled(1000) - expected).max() < 1e-3
    assert np.abs(sampled(-1000) - expected).max() > 1e-2
    assert np.abs(sampled(1000).T - expected).max() > 2e-3


def column_values(slab, c1_nm):
    """Image at the Ce columns' pixels and its mean over the crystal, for each defocus."""
    wave, atoms, block = slab
    pixel = block.field_pm / 64
    which = former(wave.shape[0] // 2, cell=block.cell_pm, pixel=pixel, margin=block.margin_pm, dtype=torch.float32)
    images = form(which, wave, lens(1000 * np.array(c1_nm, float), image_spread=20))
    x, y = (100 * atoms.positions[:, :2] - block.margin_pm).T
    top = y.max()
    ce = (atoms.numbers == 58) & (x > 50) & (x < block.field_pm - 50) & (y > 50) & (y < top - 300)
    i, j = (y[ce] / pixel).astype(int), (x[ce] / pixel).astype(int)
    return images[:, i, j].mean(1), images[:, : int((top - 300) / pixel)].mean((1, 2))


def test_thin_cerium_is_bright_in_overfocus_and_dark_in_underfocus(slab_waves):
    """Negative-Cs imaging: C1 > 0 with C3 < 0 shows atoms bright."""
    ce, mean = column_values(slab_waves[2], [5, 7, 9])
    assert (ce > mean + 0.1).all()
    ce, mean = column_values(slab_waves[2], [-5, -7, -9])
    assert (ce < mean - 0.1).all()


def test_contrast_falls_and_reverses_with_thickness(slab_waves):
    """The centre of a Ce column is brightest near 5 atoms, falls from there and ends below the mean."""
    excess = {}
    for count in (2, 5, 9, 12):
        centre, mean = column_values(slab_waves[count], [7])
        excess[count] = float(centre[0] - mean[0])
    assert excess[5] > excess[2] > 0.3
    assert excess[9] < 0.5 * excess[5]
    assert excess[12] < -0.05


@given(st.integers(1, 3000))
def test_smooth_size(at_least):
    size = smooth_size(at_least)
    assert at_least <= size and size % 2 == 0
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            size //= prime
    assert size == 1


def test_focal_steps():
    steps, weights = focal_steps(17)
    assert steps[0] == -2 and steps[-1] == 2 and np.allclose(np.diff(steps), 0.25)
    assert np.isclose(sum(weights), 1) and np.allclose(np.array(weights) / weights[8], np.exp(-np.square(steps)))
    assert focal_steps(1) == ([0.0], [1.0])


def test_an_image_former_is_freed_with_its_last_reference():
    """Its maps of modes take a gigabyte on a GPU; a cycle of references keeps them until Python looks for cycles."""
    which = former(ORDERS, samples=None)
    form(which, WAVE, lens())
    freed = weakref.ref(which)
    gc.disable()
    try:
        del which
        assert freed() is None
    finally:
        gc.enable()


def test_spreads_are_rounded_before_their_modes_are_sought(monkeypatch):
    """Lenses with a spread of their own share modes, and the worst rounding changes little."""
    which = former(ORDERS, samples=None)
    sought = []
    seek = optics._kept_modes
    monkeypatch.setattr(optics, "_kept_modes", lambda spread, *more: sought.append(spread) or seek(spread, *more))
    near = [form(which, WAVE, lens(5e3, -9e6, 5e9, spread, 2e-4))[0] for spread in (3996.0, 4000.0, 4004.9)]
    assert sought == [4000.0] and np.array_equal(near[0], near[1]) and np.array_equal(near[1], near[2])
    monkeypatch.setattr(optics, "SPREAD_STEP_PM", 1e-3)
    exact = form(which, WAVE, lens(5e3, -9e6, 5e9, 4004.9, 2e-4))[0]
    assert 0 < np.std(near[2] - exact) < 3e-3 * np.std(exact)
