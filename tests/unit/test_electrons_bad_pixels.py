"""Hot, dead and stuck pixels: found whatever the gain, and never an atom."""

import numpy as np
import pytest
from electrons_data import SHAPE, lattice

from segdepth.micrograph.electrons.bad_pixels import find_bad_pixels
from segdepth.micrograph.electrons.masks import Masked, mask_frame


def film(level, number, seed, **options):
    rng = np.random.default_rng(seed)
    mean = level * lattice(contrast=0.6, **options)
    return [rng.poisson(mean).astype(np.float32) for _ in range(number)]


@pytest.mark.parametrize("pixel_pm", [6.3, 21.0, 38.0])
@pytest.mark.parametrize("level", [0.3, 1.62, 50.0])
def test_clean_frames_of_a_lattice_have_hardly_any(level, pixel_pm):
    for number in (1, 8):
        found = find_bad_pixels([mask_frame(f) for f in film(level, number, 1, pixel_pm=pixel_pm)])
        assert found.sum() <= 6, (number, found.sum())  # 1e-5 of 208,000 are 2


@pytest.mark.parametrize("gain, offset", [(1, 0), (37, 100), (0.0173, -0.3)])
@pytest.mark.parametrize("level, number, hot", [(1.62, 1, 30), (0.3, 8, 4), (1.62, 8, 9), (50, 1, 250), (8, 1, 60)])
def test_two_per_cent_of_hot_pixels_are_found(level, number, hot, gain, offset):
    frames = film(level, number, 2)
    rng = np.random.default_rng(3)
    where = rng.random(SHAPE) < 0.02
    for frame in frames:
        frame[where] = rng.poisson(hot, where.sum())
    found = find_bad_pixels([mask_frame(gain * f + np.float32(offset)) for f in frames])
    assert found[where].mean() > 0.98 and found[~where].mean() < 2e-5


def test_very_hot_pixels_side_by_side_are_found():
    frame = film(1.62, 1, 4)[0]
    frame[100:103, 200:203] = frame[300, 20:26] = 5000
    found = find_bad_pixels([mask_frame(frame)])
    assert found[100:103, 200:203].all() and found[300, 20:26].all() and found.sum() <= 17


@pytest.mark.parametrize("level, number", [(20, 8), (1.62, 40), (100, 1)])
def test_dead_pixels_are_found(level, number):
    frames = film(level, number, 5)
    where = np.random.default_rng(6).random(SHAPE) < 0.001
    for frame in frames:
        frame[where] = 0
    found = find_bad_pixels([mask_frame(f) for f in frames])
    bright = where & (lattice(contrast=0.6) > 0.6)  # in the dark between columns no electron is no wonder
    assert found[bright].mean() > 0.97 and found[~where].mean() < 2e-5


def test_pixels_that_never_change_are_found_and_masked_ones_are_left():
    frames = film(12.0, 12, 7)
    for frame in frames:
        frame[50, 60:70] = 12
    usable = np.ones(SHAPE, bool)
    usable[:30] = False
    masked = [Masked(np.where(usable, f, 0).astype(np.float32), usable) for f in frames]
    found = find_bad_pixels(masked)
    assert found[50, 60:70].all() and found.sum() <= 12 and not found[:30].any()
