"""What blurs the intensity, and the background, against closed forms; and which of their values are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import random_wave
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam, Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.convergence.checks import check_study
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.lens_values import LENS_VALUES, draw_lens_values, lens_fields
from segdepth.simulation.optics import ImageFormer

WAVELENGTH = wavelength_pm(300)
CELL = 1200.0, 900.0
PIXEL = 25.0
ORDERS = stored_orders(CELL[0], 300, 40), stored_orders(CELL[1], 300, 40)
FIXED = {"c3_um": 0, "c5_mm": 0, "focal_spread_nm": 0, "convergence_mrad": 0, "defocus_nm": (0,)}
ANGLES = st.floats(0, 360)


def former(least: float = 0.0, dtype: torch.dtype = torch.float64) -> ImageFormer:
    return ImageFormer(
        cell_pm=CELL, margin_pm=0.0, pixel_pm=PIXEL, orders=ORDERS, wavelength_pm=WAVELENGTH, aperture_rad=0.04,
        least_image_spread_pm=least, dtype=dtype,
    )  # fmt: skip


def lens(**values) -> Lens:
    """Of an imaging block's fields, all fixed."""
    block = Imaging(**{"image_spread_pm": 0, **FIXED, **values})
    return Lens.from_values(lens_fields(draw_lens_values(block, [0.0], np.random.default_rng(0))))


def pair(x: int, y: int, size: float = 0.1) -> torch.Tensor:
    """A wave of the beam and one plane wave of order (x, y): |ψ|² = 1 + size² + 2 size cos(…)."""
    wave = torch.zeros((1, 2 * ORDERS[1] + 1, 2 * ORDERS[0] + 1), dtype=torch.complex128)
    wave[0, 0, 0], wave[0, y, x] = 1, size
    return wave


def fringe(image: torch.Tensor, x: int, y: int) -> float:
    """Share of the fringe of order (x, y) that is left, the pixel's box taken out, and its phase in rad."""
    spectrum = np.fft.fft2(image[0].numpy()) / image[0].numel()
    qx, qy = x / CELL[0], y / CELL[1]
    box = np.sinc(qx * PIXEL) * np.sinc(qy * PIXEL) * np.exp(1j * np.pi * PIXEL * (qx + qy))
    left = spectrum[y, x] / (0.1 * box)
    assert abs(left.imag) < 1e-9
    return float(left.real)


orders = st.tuples(st.integers(-9, 9), st.integers(-7, 7)).filter(any)


@given(order=orders, long=st.floats(10, 60), ratio=st.floats(0.1, 1), azimuth=ANGLES)
def test_an_oval_spread_is_a_gaussian_along_each_of_its_axes(order, long, ratio, azimuth):
    mean = long * np.sqrt((1 + ratio**2) / 2)
    values = lens(image_spread_pm=mean, image_spread_ratio=ratio, image_spread_azimuth_deg=(azimuth, azimuth))
    qx, qy = order[0] / CELL[0], order[1] / CELL[1]
    turn = np.radians(azimuth)
    if ratio == 1:
        turn = 0.0  # not drawn, and of no importance
    along, across = qx * np.cos(turn) + qy * np.sin(turn), -qx * np.sin(turn) + qy * np.cos(turn)
    expected = np.exp(-2 * np.pi**2 * ((long * along) ** 2 + (ratio * long * across) ** 2))
    assert fringe(former().form(pair(*order), values), *order) == pytest.approx(expected, abs=1e-9)


@given(order=orders, length=st.floats(1, 400), azimuth=ANGLES)
def test_a_drift_is_a_box_along_its_direction(order, length, azimuth):
    values = lens(drift_pm=length, drift_azimuth_deg=(azimuth, azimuth))
    turn = np.radians(azimuth)
    along = order[0] / CELL[0] * np.cos(turn) + order[1] / CELL[1] * np.sin(turn)
    assert fringe(former().form(pair(*order), values), *order) == pytest.approx(np.sinc(along * length), abs=1e-9)


@given(order=orders, share=st.floats(0.5, 1))
def test_lost_detail_is_blurred_by_04_nm(order, share):
    squared = (order[0] / CELL[0]) ** 2 + (order[1] / CELL[1]) ** 2
    expected = share + (1 - share) * np.exp(-2 * (np.pi * 400) ** 2 * squared)
    found = fringe(former().form(pair(*order), lens(contrast_factor=share)), *order)
    assert found == pytest.approx(expected, abs=1e-9)


EVERYTHING = {
    "image_spread_pm": st.floats(1, 60),
    "image_spread_ratio": st.floats(0.2, 1),
    "image_spread_azimuth_deg": ANGLES.map(lambda angle: (angle, angle)),
    "drift_pm": st.floats(1, 300),
    "drift_azimuth_deg": ANGLES.map(lambda angle: (angle, angle)),
    "contrast_factor": st.floats(0.5, 1),
    "mtf_nyquist": st.floats(0.3, 1),
}


@given(seed=st.integers(0, 99), values=st.fixed_dictionaries(EVERYTHING), background=st.floats(0.001, 1))
def test_what_blurs_keeps_the_mean_and_background_is_added_to_it(seed, values, background):
    wave = torch.zeros((1, 2 * ORDERS[1] + 1, 2 * ORDERS[0] + 1), dtype=torch.complex128)
    rng = np.random.default_rng(seed)
    wave += torch.as_tensor(rng.normal(size=wave.shape) + 1j * rng.normal(size=wave.shape)) / 100
    sharp = former().form(wave, lens())
    blurred = former().form(wave, lens(**values))
    assert float(blurred.mean()) == pytest.approx(float(sharp.mean()), rel=1e-9)
    assert float(blurred.std()) < float(sharp.std())
    dim = former().form(wave, lens(**values, background=background))
    torch.testing.assert_close(dim, (blurred + background) / (1 + background))


@given(values=st.fixed_dictionaries({**EVERYTHING, "background": st.floats(0.001, 1)}))
def test_vacuum_stays_one(values):
    wave = pair(1, 0, 0.0)
    image = former(dtype=torch.float32).form(wave, lens(**values))
    assert float((image - 1).abs().max()) < 1e-6


def test_neutral_values_change_no_bit():
    wave = torch.as_tensor(random_wave(20, 1200.0, 0.04, WAVELENGTH, 3))[None]
    which = ImageFormer(
        cell_pm=1200.0, margin_pm=0.0, pixel_pm=PIXEL, orders=20, wavelength_pm=WAVELENGTH, aperture_rad=0.04
    )
    values = lens(image_spread_pm=20, mtf_nyquist=0.7)
    plain = Lens.from_values({"image_spread_pm": [20.0], "mtf_decay": values.mtf_decay.tolist()})
    assert torch.equal(which.form(wave, values), which.form(wave, plain))


def test_the_short_axis_decides_the_grid_and_what_it_allows():
    oval = Imaging(image_spread_pm=(20, 30), image_spread_ratio=(0.5, 1))
    short = 20 * 0.5 * np.sqrt(2 / 1.25)
    assert oval.least_image_spread_pm == pytest.approx(short)
    assert Imaging(image_spread_pm=(20, 30)).least_image_spread_pm == 20
    drawn = draw_lens_values(oval, np.zeros(200), np.random.default_rng(0))
    assert short < Lens.from_values(lens_fields(drawn)).least_image_spread_pm < short + 4
    which = former(least=20.0)
    which.form(pair(1, 1), lens(image_spread_pm=20))
    with pytest.raises(ValueError, match=r"image_spread_pm: got 12\.6"):
        which.form(pair(1, 1), lens(image_spread_pm=20, image_spread_ratio=0.5))


# --- which values are drawn -----------------------------------------------------------------------------------------

NEW = {
    "contrast_factor": (0.7, 1),
    "background": (0, 0.3),
    "image_spread_ratio": (0.6, 1),
    "drift_pm": (0, 30),
}


def test_new_values_come_last_and_leave_other_draws_as_they_were():
    """Also those that follow from the same stream, as in training, where nothing of the kind is asked for."""
    assert list(LENS_VALUES)[13:] == [
        "contrast_factor", "background", "image_spread_ratio", "image_spread_azimuth_deg", "drift_pm",
        "drift_azimuth_deg",
    ]  # fmt: skip
    block = Imaging(c3_um=(-12, -6), image_spread_pm=(10, 35), mtf_nyquist=(0.6, 1))
    rng = np.random.default_rng(5)
    values = draw_lens_values(block, [1.0, 2.0], rng)
    same = np.random.default_rng(5)  # C3, image spread, three azimuths, MTF
    expected = [same.uniform(low, high, 2) for low, high in [(-12, -6), (10, 35), *[(0, 360)] * 3, (0.6, 1)]]
    names = ("c3_um", "image_spread_pm", "a1_azimuth_deg", "b2_azimuth_deg", "a2_azimuth_deg", "mtf_nyquist")
    for name, wanted in zip(names, expected):
        assert np.array_equal(values[name], wanted), name
    assert rng.random() == same.random()
    more = draw_lens_values(block.model_copy(update=NEW), [1.0, 2.0], np.random.default_rng(5))
    for name in names:
        assert np.array_equal(more[name], values[name])
    for name in (*NEW, "image_spread_azimuth_deg", "drift_azimuth_deg"):
        assert more[name][0] != more[name][1], name


def test_the_convergence_study_wants_fixed_values_of_what_is_there():
    check_study(Beam(), Imaging())
    check_study(Beam(), Imaging(drift_pm=30, drift_azimuth_deg=(20, 20), image_spread_ratio=1))
    for values, name in (
        ({"drift_pm": 30}, "drift_azimuth_deg"),
        ({"image_spread_ratio": 0.8}, "image_spread_azimuth_deg"),
        ({"background": (0, 0.2)}, "background"),
        ({"contrast_factor": (0.7, 1)}, "contrast_factor"),
    ):
        with pytest.raises(ConfigError, match=name):
            check_study(Beam(), Imaging(**values))
