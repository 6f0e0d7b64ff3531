"""The distance from the edge on frames with masked pixels."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CERIA
from film_data import crystal_film

from segdepth.config import PredictionOptions
from segdepth.micrograph.edge_distance import edge_distance
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.phase_analysis import THIN_PX, largest_area

FRAME = np.array(crystal_film(1, electrons=12), dtype=np.float32)


def distance_of(frame: np.ndarray) -> np.ndarray:
    options = PredictionOptions(pixel_pm=7.0, invalid=-1.0)
    return edge_distance(inspect_film(recording_of(frame, "frame"), CERIA, 21.0, options))


@pytest.fixture(scope="module")
def whole():
    return distance_of(FRAME)


@pytest.mark.parametrize("place", [np.s_[..., 199:201], np.s_[..., 30:90, 170:230]], ids=["dead columns", "beam stop"])
def test_masked_pixels_are_no_vacuum(whole, place):
    frame = FRAME.copy()
    frame[place] = -1
    found = distance_of(frame)
    masked = (frame == -1).reshape(found.shape)
    assert np.isnan(found[masked]).all()
    both = np.isfinite(found) & np.isfinite(whole)
    assert both.sum() > 0.95 * (np.isfinite(whole) & ~masked).sum()
    assert np.quantile(np.abs(found - whole)[both], 0.98) < 20


@pytest.mark.parametrize(("width", "parts"), ((THIN_PX, 2), (THIN_PX + 4, 1)))
def test_thin_masked_lines_do_not_cut_an_area(width, parts):
    amplitude = np.zeros((40, 90))
    amplitude[5:35, 10:80] = 1
    usable = np.ones(amplitude.shape, dtype=bool)
    usable[:, 30 : 30 + width] = False
    area = largest_area(amplitude, usable)
    assert not (area & ~usable).any()
    assert area.sum() == 30 * (50 - width + (20 if parts == 2 else 0))


def test_a_masked_border_does_not_fill_the_vacuum():
    amplitude = np.zeros((60, 80))
    amplitude[2:58, 2:40] = 1
    usable = np.zeros(amplitude.shape, dtype=bool)
    usable[2:58, 2:78] = True
    assert np.array_equal(largest_area(amplitude, usable), amplitude > 0)
