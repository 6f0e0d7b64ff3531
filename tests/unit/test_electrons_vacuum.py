"""Where the vacuum is and how bright, whatever the camera's gain and offset."""

import numpy as np
import pytest
from electrons_data import PIXEL_PM, SHAPE, counts, lattice
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segdepth.micrograph.electrons.vacuum import search_vacuum, vacuum_level

EVERYWHERE = np.ones(SHAPE, bool)


def crystal(edge=0.35, shape=SHAPE):
    return np.broadcast_to(np.arange(shape[1]) >= edge * shape[1], shape)


@pytest.mark.parametrize(
    "pixel_pm, level", [(6.3, 1.6), (6.3, 0.7), (12.0, 5.0), (21.14, 40.0), (21.0, 6.0), (5.28, 400.0)]
)
def test_the_vacuum_is_found_beside_a_lattice(pixel_pm, level):
    shape = (int(3200 / pixel_pm), int(4400 / pixel_pm))
    found = search_vacuum(counts(level, 12, shape=shape, pixel_pm=pixel_pm), np.ones(shape, bool), pixel_pm)
    assert abs(found.vacuum.level / level - 1) < 0.02
    assert abs(found.vacuum.dispersion - 1) < 0.1
    assert (found.area & crystal(shape=shape)).sum() < 0.12 * found.area.sum() and found.vacuum.share > 0.1


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-50, 500), st.sampled_from([0.5, 1.62, 30.0]))
def test_gain_and_offset_do_not_move_it(gain, offset, level):
    frame = counts(level, 1)
    plain = search_vacuum(frame, EVERYWHERE, PIXEL_PM)
    other = search_vacuum((gain * (frame.astype(np.float64) + offset)).astype(np.float32), EVERYWHERE, PIXEL_PM)
    assert (plain.area ^ other.area).mean() < 0.01
    assert abs(other.vacuum.level / gain - offset - plain.vacuum.level) < 0.01 * level


def test_hot_pixels_that_are_masked_do_no_harm():
    frame = counts(1.62, 2)
    bad = np.random.default_rng(0).random(SHAPE) < 0.03
    found = search_vacuum(np.where(bad, 0, frame), ~bad, PIXEL_PM)
    assert abs(found.vacuum.level / 1.62 - 1) < 0.02 and found.vacuum.share > 0.2
    assert not found.area[bad].any()


def test_a_noise_free_vacuum_is_found():
    image = lattice().astype(np.float32)
    assert abs(search_vacuum(image, EVERYWHERE, PIXEL_PM).vacuum.level - 1) < 1e-3


def test_a_strip_of_vacuum_thinner_than_a_nanometre_is_found():
    """The default specimens have vacuum on 12 % of a 5.4 nm field and more."""
    y, x = np.meshgrid(np.arange(500) * 6.3, np.arange(420) * 6.3, indexing="ij")
    waves = 1 + 0.4 * np.cos(2 * np.pi * x / 270.5) * np.cos(2 * np.pi * y / 191.3)
    image = np.where(y > (500 - 105) * 6.3, 1.0, waves)  # 0.66 nm
    frame = np.random.default_rng(5).poisson(3.5 * image).astype(np.float32)
    found = search_vacuum(frame, np.ones(image.shape, bool), 6.3).vacuum
    assert found.level == pytest.approx(3.5, rel=0.02) and 0.05 < found.share < 0.25


def test_no_vacuum_is_told_with_the_reason():
    found = search_vacuum(counts(2.0, edge=0), EVERYWHERE, PIXEL_PM)
    assert found.vacuum is None and found.area is None and "no vacuum" in found.reason
    assert "too small" in search_vacuum(counts(2.0)[:30, :30], EVERYWHERE[:30, :30], PIXEL_PM).reason
    exact = lattice(edge=0).astype(np.float32)
    assert search_vacuum(exact, EVERYWHERE, PIXEL_PM).vacuum is None


@pytest.mark.parametrize("level", [1.62, 20.0])
def test_a_dark_crystal_without_fringes_is_not_taken_for_it(level):
    """Thick parts can be smooth, and larger than the vacuum."""
    mean = np.where(crystal(0.55), 0.8, lattice(edge=0.25))
    frame = np.random.default_rng(8).poisson(level * mean).astype(np.float32)
    found = search_vacuum(frame, EVERYWHERE, PIXEL_PM)
    assert abs(found.vacuum.level / level - 1) < 0.02
    assert not (found.area & crystal(0.3)).any()
    known = search_vacuum(frame, EVERYWHERE, PIXEL_PM, crystal=crystal(0.25))
    assert abs(known.vacuum.level / level - 1) < 0.02 and not (known.area & crystal(0.25)).any()
    assert search_vacuum(frame, EVERYWHERE, PIXEL_PM, crystal=EVERYWHERE).vacuum is None


def test_vacuum_at_two_sides_is_one():
    mean = np.where(crystal(0.75), 1.0, lattice(edge=0.25))
    frame = np.random.default_rng(9).poisson(3.0 * mean).astype(np.float32)
    found = search_vacuum(frame, EVERYWHERE, PIXEL_PM)
    assert found.area[:, :100].mean() > 0.5 and found.area[:, -100:].mean() > 0.5
    assert abs(found.vacuum.level / 3 - 1) < 0.01


def test_filtered_noise_has_a_vacuum_too():
    frame = ndimage.gaussian_filter(counts(1.62, 10), 1.0)
    found = search_vacuum(frame, EVERYWHERE, PIXEL_PM)
    assert abs(found.vacuum.level / 1.62 - 1) < 0.03 and found.vacuum.ratio > 5
    assert (found.area & crystal()).sum() < 0.1 * found.area.sum()
    filtered_crystal = ndimage.gaussian_filter(counts(20.0, 10, edge=0), 1.0)
    assert search_vacuum(filtered_crystal, EVERYWHERE, PIXEL_PM).vacuum is None


def test_levels_of_other_frames_are_measured_in_the_same_area():
    area = search_vacuum(counts(1.62, 11), EVERYWHERE, PIXEL_PM).area
    usable = EVERYWHERE.copy()
    usable[50:90] = False
    other = np.where(usable, counts(2.4, 12), 0).astype(np.float32)
    level = vacuum_level(other, usable, area)
    assert level == pytest.approx(other[area & usable].mean(), rel=1e-5) and abs(level / 2.4 - 1) < 0.02
    assert np.isnan(vacuum_level(other, usable, np.zeros(SHAPE, bool)))
