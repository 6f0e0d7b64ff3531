"""The lattice search: turn and pixel of known lattices, other lattices and noise refused, grains."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segdepth.crystals import make_crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.calibration import calibrate as calibration
from segdepth.micrograph.calibration.calibrate import calibrate, find_grains

CERIA = make_crystal("CeO2", (1, 1, 0), (0, 0, 1))
CIF = Path(__file__).parents[1] / "data" / "SrTiO3.cif"
AMPLITUDES = {"1-11": 0.15, "-111": 0.15, "002": 0.08, "2-20": 0.1}
REAL = os.environ.get("SEGDEPTH_REAL_FRAME")


def lattice(shape, pixel_pm, turn_deg, crystal=CERIA, amplitudes=AMPLITUDES):
    """Intensity (y, x), mean 1, of a crystal whose x axis is turned by ``turn_deg`` from x towards y."""
    y, x = (np.indices(shape) + 0.5) * pixel_pm
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    image = np.ones(shape)
    for name, amplitude in amplitudes.items():
        gx, gy = crystal.frequency(name)
        image += amplitude * np.cos(2 * np.pi * ((c * gx - s * gy) * x + (s * gx + c * gy) * y))
    return image


def half(shape, direction_deg):
    """True on the vacuum's half (y, x), which lies in a direction from x towards y."""
    y, x = np.indices(shape)
    across = np.cos(np.radians(direction_deg)) * (x - shape[1] / 2) + np.sin(np.radians(direction_deg)) * (
        y - shape[0] / 2
    )
    return across > 0.1 * min(shape)


def counted(image, electrons, seed=0):
    values = np.random.default_rng(seed).poisson(electrons * image).astype(np.float32)
    return [(values, np.ones(image.shape, dtype=bool))]


def refusal(frames, **options):
    with pytest.raises(MicrographError) as failure:
        calibrate(frames, CERIA, **options)
    assert "\n" not in str(failure.value)
    return str(failure.value)


@settings(max_examples=25, deadline=None)
@given(turn=st.floats(0, 360), pixel=st.floats(3, 12), off=st.floats(0.96, 1.04), seed=st.integers(0, 99))
def test_turn_and_pixel_are_found_at_every_angle(turn, pixel, off, seed):
    shape = (round(4200 / pixel), round(5000 / pixel))
    upwards = turn + 90  # the vacuum at the crystal's +y
    image = np.where(half(shape, upwards), 1, lattice(shape, pixel, turn))
    found = calibrate(counted(image, 3 * (pixel / 6) ** 2, seed), CERIA, pixel_pm=pixel * off)
    assert found.pixel_pm == pytest.approx(pixel, rel=0.007)
    away = (found.rotation_deg + turn + 180) % 360 - 180  # the turn that is left
    assert abs(away) < 0.5
    assert found.area[~half(shape, upwards)].mean() > 0.8 and found.area[half(shape, upwards)].mean() < 0.2


def test_the_pixel_need_not_be_known():
    found = calibrate(counted(lattice((500, 620), 7.3, 31), 2), CERIA)
    assert found.pixel_pm == pytest.approx(7.3, rel=0.005)
    assert abs((found.rotation_deg + 31 + 90) % 180 - 90) < 0.3
    assert found.area.mean() > 0.7 and not found.others.any()


@pytest.mark.parametrize("factor", [5.0 / 6.3, 8.0 / 6.3])
def test_a_pixel_that_is_wrong_is_corrected_and_said(factor):
    found = calibrate(counted(lattice((500, 620), 6.3, -40), 2), CERIA, pixel_pm=6.3 * factor)
    assert found.pixel_pm == pytest.approx(6.3, rel=0.005)
    (line,) = (line for line in found.lines if "the lattice's is used" in line)
    assert line.endswith("If the given one is right, this is no CeO2 [110]")


def test_a_lattice_of_another_size_is_another_crystal():
    metal = lattice((500, 620), 6.3 * 541.1 / 392.4, 20)  # Pt [110]: the same figure, 1.38 times smaller
    said = refusal(counted(metal, 2), pixel_pm=6.3)
    assert "strongest spacings" in said and "a pixel of 8.68 pm would make it one" in said


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_pixel_that_is_off_by_binning_is_named(factor):
    said = refusal(counted(lattice((500, 620), 6.3, -40), 3), pixel_pm=6.3 * factor)
    assert re.search(r"a pixel of 6\.[23]\d? pm would make it one: if that is right, give it \(--pixel-pm\)", said)


def test_noise_and_other_figures_are_offered_no_pixel():
    frame = np.random.default_rng(1).poisson(4, (300, 380)).astype(np.float32)
    assert "would make it" not in refusal([(frame, np.ones(frame.shape, bool))], pixel_pm=6.3)
    square = 1 + 0.3 * np.multiply.outer(np.cos(np.arange(400) / 4), np.cos(np.arange(400) / 4))
    assert "would make it" not in refusal(counted(square, 5), pixel_pm=6.3)


def test_a_turn_that_is_given_is_kept():
    found = calibrate(counted(lattice((500, 620), 6.3, -40), 2), CERIA, rotation_deg=220.0)
    assert found.rotation_deg == 220.0 and found.rotation_error_deg == 0.0


def test_noise_is_no_lattice():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frame = rng.poisson(rng.uniform(0.3, 50), (300, 380)).astype(np.float32)
        assert "no lattice at all" in refusal([(frame, np.ones(frame.shape, bool))])


@pytest.mark.parametrize("width", [1.0, 2.0, 4.0])
def test_a_smoothed_frame_still_shows_its_lattice(width):
    ((counts, usable),) = counted(lattice((500, 620), 6.3, -40), 3)
    found = calibrate([(ndimage.gaussian_filter(counts, width), usable)], CERIA, pixel_pm=6.3)
    assert found.pixel_pm == pytest.approx(6.3, rel=0.01)


def test_a_grain_that_covers_nothing_is_not_told(monkeypatch):
    def twice(*given):
        (one,) = find_grains(*given)
        return [one, replace(one, a=one.a * np.exp(0.07j))]

    monkeypatch.setattr(calibration, "find_grains", twice)
    found = calibrate(counted(lattice((500, 620), 6.3, -40), 3), CERIA, pixel_pm=6.3)
    assert not found.lines and not found.others.any()


@pytest.mark.parametrize("angle", [60, 90])
@pytest.mark.parametrize("spacing", [191.3, 270.6, 312.4, 350])
def test_square_and_hexagonal_lattices_are_refused(angle, spacing):
    y, x = (np.indices((460, 540)) + 0.5) * 8.0
    image = np.ones(x.shape)
    for turn in np.arange(0, 180, angle):
        image += 0.15 * np.cos(2 * np.pi * (np.cos(np.radians(turn)) * x + np.sin(np.radians(turn)) * y) / spacing)
    for pixel in (8.0, None):
        assert "strongest spacings" in refusal(counted(image, 3), pixel_pm=pixel)


def test_a_second_grain_is_masked_and_said():
    shape = (500, 700)
    image = lattice(shape, 7.0, 10)
    image[:, 480:] = lattice(shape, 7.0, 35)[:, 480:]
    found = calibrate(counted(image, 4), CERIA, pixel_pm=7.0)
    assert abs((found.rotation_deg + 10 + 90) % 180 - 90) < 0.5
    assert found.others[:, 540:].mean() > 0.7 and found.others[:, :420].mean() < 0.1
    assert any(re.match(r"another grain, turned by 2[2-8]°", line) for line in found.lines)


def test_masked_values_gain_and_offset_change_nothing():
    image = np.where(half((420, 560), 200), 1, lattice((420, 560), 7.0, 110))
    ((counts, usable),) = counted(image, 3)
    plain = calibrate([(counts, usable)], CERIA)
    usable = usable.copy()
    usable[:50, :120] = False
    scaled = calibrate([(np.where(usable, -0.3 + 37 * counts, 1e6).astype(np.float32), usable)], CERIA)
    assert scaled.pixel_pm == pytest.approx(plain.pixel_pm, rel=0.003)
    assert scaled.rotation_deg == pytest.approx(plain.rotation_deg, abs=0.3)


def test_many_faint_frames_show_what_one_does_not():
    image = lattice((260, 300), 9.0, 70, amplitudes={"1-11": 0.05, "-111": 0.05, "2-20": 0.04})
    faint = [counted(image, 0.35, seed)[0] for seed in range(16)]
    assert "no lattice at all" in refusal(faint[:1])
    assert calibrate(faint, CERIA).pixel_pm == pytest.approx(9.0, rel=0.01)


def test_a_four_fold_crystal_has_its_vacuum_at_plus_y():
    crystal = make_crystal(str(CIF), (0, 0, 1), (1, 0, 0))
    assert crystal.four_fold and not CERIA.four_fold
    amplitudes = {"110": 0.15, "1-10": 0.15, "200": 0.1, "020": 0.1}
    shape = (500, 560)
    image = np.where(half(shape, 20), 1, lattice(shape, 8.0, 20, crystal, amplitudes))
    found = calibrate(counted(image, 3), crystal, pixel_pm=8.0)
    assert found.rotation_deg == pytest.approx(70, abs=0.5)  # from 20 degrees to 90


def test_a_stretched_lattice_is_said():
    y, x = (np.indices((600, 640)) + 0.5) * 7.0
    image = np.ones(x.shape)
    for name, amplitude in AMPLITUDES.items():
        gx, gy = CERIA.frequency(name)
        image += amplitude * np.cos(2 * np.pi * (1.03 * gx * x + gy * y / 1.03))
    found = calibrate(counted(image, 5), CERIA, pixel_pm=7.0)
    assert found.elongation == pytest.approx(1.03**2 - 1, abs=3 * found.elongation_error)
    assert found.pixel_pm == pytest.approx(7.0, abs=2.5 * found.pixel_error_pm)


@pytest.mark.skipif(not REAL, reason="SEGDEPTH_REAL_FRAME is not set")
@pytest.mark.parametrize("pixel_pm", [None, 6.3, 5.0, 8.0])
def test_a_real_frame_gives_its_pixel_whatever_is_said_of_it(pixel_pm):
    frame = np.load(REAL)["counts"]
    found = calibrate([(frame.astype(np.float32), frame != 255)], CERIA, pixel_pm=pixel_pm)
    assert found.pixel_pm == pytest.approx(6.30, rel=0.01)
    assert found.rotation_deg == pytest.approx(-81.7, abs=1.0)


def test_repeated_frames_are_no_more_than_one():
    """Frames that share their noise do not make it a lattice, and do not hide the one that is there."""
    image = np.where(half((420, 560), 200), 1, lattice((420, 560), 7.0, 110))
    (frame,) = counted(image, 3)
    alone, repeated = calibrate([frame], CERIA), calibrate([frame] * 5, CERIA)
    assert repeated.pixel_pm == pytest.approx(alone.pixel_pm, rel=1e-3)
    noise = counted(np.ones((300, 380)), 2)
    assert "no lattice at all" in refusal(noise * 5)


def test_a_frame_that_is_too_small_says_so():
    assert "0.9 nm at least" in refusal(counted(lattice((64, 80), 6.3, 20), 3), pixel_pm=6.3)
