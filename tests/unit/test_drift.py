"""Films that drift: how far, and where crystal, vacuum and the distance from the edge then are."""

from __future__ import annotations

import numpy as np
import pytest
from column_data import ideal, one_hot
from conftest import CERIA, RINGS
from film_data import crystal_image
from hypothesis import given
from hypothesis import strategies as st
from test_calibration import half

from segdepth.config import PredictionOptions
from segdepth.fitting.cells import average_cells
from segdepth.micrograph import predict
from segdepth.micrograph.columns import FilmSites
from segdepth.micrograph.drift import Drift, moved
from segdepth.micrograph.edge_distance import edge_distance
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.thickness import Thickness
from segdepth.networks.bundled import bundled_network
from segdepth.networks.files import load_network

PIXEL, SHAPE, BORDER = 7.0, (260, 340), 100
OPTIONS = PredictionOptions(pixel_pm=PIXEL, false_discovery=1)
STEPS = [(5, -7), (10, 5), (-8, -4)]
"""Pixels (y, x) by which the crystal moves from frame to frame; eight times as much is 0.5 to 0.6 nm."""


def drifting(step, count=9, electrons=6.0, corner=True, turn_deg=20.0) -> np.ndarray:
    """Counts (frame, y, x) of a crystal with vacuum at its upright +y, and at -x too."""
    shape = tuple(side + 2 * BORDER for side in SHAPE)
    whole = crystal_image(shape, PIXEL, turn_deg)
    if corner:
        whole = np.where(half(shape, turn_deg + 180), 1, whole)
    frames = []
    for n in range(count):
        y, x = (BORDER - n * by for by in step)
        cut = whole[y : y + SHAPE[0], x : x + SHAPE[1]]
        frames.append(np.random.default_rng((n, 1)).poisson(electrons * cut))
    return np.stack(frames).astype("u2")


def inspected(film: np.ndarray):
    return inspect_film(recording_of(film, "film.tif"), CERIA, 21.0, OPTIONS)


def shifts_of(film: np.ndarray, electrons: float) -> np.ndarray:
    drift = Drift(PIXEL)
    return np.array([drift.onto_first(each, np.ones(SHAPE, bool), electrons) for each in film.astype(float)])


@pytest.mark.parametrize(("electrons", "most"), [(6.0, 1), (0.5, 2)])
@pytest.mark.parametrize("step", [(0, 0), *STEPS])
def test_the_drift_is_found(step, electrons, most):
    found = shifts_of(drifting(step, 5, electrons), electrons)
    assert np.abs(found + np.arange(5)[:, None] * step).max() <= most


@pytest.mark.parametrize("step", [(48, -75), (-60, 40)])
def test_more_than_a_period_between_two_frames_is_found_by_the_edges(step):
    """Inside of the crystal other places would do as well, nearer to the first frame."""
    found = shifts_of(drifting(step, 2), 6.0)
    assert np.abs(found[1] + step).max() <= 1


def test_uneven_light_does_not_hold_a_film():
    light = 1 + 0.1 * np.linspace(-1, 1, SHAPE[1])
    found = shifts_of(drifting((5, -7), 4) * light, 6.0)
    assert np.abs(found + np.arange(4)[:, None] * (5, -7)).max() <= 1


def test_frames_without_a_crystal_stay_where_they_are():
    film = np.random.default_rng(0).poisson(3.0, (6, *SHAPE))
    assert not shifts_of(film, 3.0).any()


def test_masked_pixels_do_not_hold_a_film():
    drift, usable = Drift(PIXEL), np.ones(SHAPE, bool)
    usable[90:150, 100:160], usable[:, 200:203] = False, False
    film = np.where(usable, drifting((5, -7), 3), 0).astype(float)
    found = np.array([drift.onto_first(each, usable, 6.0) for each in film])
    assert np.abs(found + np.arange(3)[:, None] * (5, -7)).max() <= 1


@given(st.tuples(st.integers(-12, 12), st.integers(-12, 12)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_map_is_moved_without_wrapping(shift, shape):
    values = 1.0 + np.arange(np.prod(shape)).reshape(shape)
    found = moved(values, shift)
    for (i, j), value in np.ndenumerate(values):
        y, x = i + shift[0], j + shift[1]
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            assert found[y, x] == value
    assert np.count_nonzero(found) == max(shape[0] - abs(shift[0]), 0) * max(shape[1] - abs(shift[1]), 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_film_is_measured_where_its_first_frame_is(step):
    """Pixel, crystal, vacuum, dose and distance are those of the first frame alone."""
    film = drifting(step)
    found, first = inspected(film), inspected(film[:1])
    assert found.transform.pixel_pm == pytest.approx(PIXEL, rel=0.003)
    assert found.level == pytest.approx(6.0, rel=0.02)
    assert (found.crystal_area ^ first.crystal_area).mean() < 0.02
    assert not (found.vacuum & first.crystal_area).mean() > 0.005
    distances = edge_distance(found), edge_distance(first)
    both = np.isfinite(distances).all(axis=0)
    assert np.quantile(np.abs(np.subtract(*distances))[both], 0.9) < 60


def test_where_the_first_frame_cannot_be_read_the_next_one_is_the_first():
    film = drifting((5, -7))
    film[:2] = 0
    found, first = inspected(film), inspected(film[2:3])
    assert (found.crystal_area ^ first.crystal_area).mean() < 0.02


@pytest.mark.parametrize("step", STEPS)
def test_the_average_cells_lie_where_the_crystal_is(step):
    """The strip next to the edge has as much lattice as in the first frame alone: no vacuum has come into it."""
    film = drifting(step, corner=False)
    allowed = np.array([(h, k) for h in range(-4, 5) for k in range(-4, 5) if (h + k) % 2 == 0])
    several, one = (average_cells(inspected(each), CERIA, allowed) for each in (film, film[:1]))
    assert several.frames == 9
    for here, there in zip(several.bins[:4], one.bins):
        strongest = np.argsort(-np.abs(there.values[1:]))[:6] + 1
        error = np.sqrt(np.diag(there.covariance))[strongest]
        assert here.distance_pm == there.distance_pm
        assert np.abs(here.values[strongest] - there.values[strongest]).max() < 4 * error.max() + 0.01


def true_distance(step, number: int, turn_deg=20.0) -> np.ndarray:
    """Distance in pm from the only edge (y, x) of ``drifting`` without a corner, in a frame; below 0 in the vacuum."""
    height, width = (side + 2 * BORDER for side in SHAPE)
    y, x = (i + BORDER - number * by for i, by in zip(np.indices(SHAPE), step))
    towards = np.radians(turn_deg + 90)
    across = np.cos(towards) * (x - width / 2) + np.sin(towards) * (y - height / 2)
    return PIXEL * (0.1 * min(height, width) - across)


def joined_at(film: np.ndarray, monkeypatch) -> tuple[list[np.ndarray], predict.Film, tuple]:
    """Distances (y, x) on label pixels that each frame is joined at."""
    seen = []
    monkeypatch.setattr(predict, "joined", lambda answer, distance, *_: seen.append(distance) or answer)
    network, card = load_network(bundled_network())
    known = Thickness(np.array([0.0]), np.array([6.0]), np.array([0.5]), "")
    found = inspected(film)
    list(predict.predict_film(predict.serve(network, OPTIONS), card, found, OPTIONS, None, known))
    return seen, found, card


@pytest.mark.parametrize("step", STEPS)
def test_every_frame_is_joined_at_its_own_distance_from_the_edge(monkeypatch, step):
    """Also where the crystal has come into the frame, and in a group of frames that the network takes at once."""
    seen, found, card = joined_at(drifting(step, corner=False), monkeypatch)
    assert len(seen) == 9
    usual = None
    for number, distance in enumerate(seen):
        true = predict.on_labels(true_distance(step, number), distance.shape, found, card, np.nan)
        inside, known = true > 150, np.isfinite(distance)
        assert (inside & ~known).sum() < 0.01 * inside.sum()
        away = (distance - true)[inside & known]
        usual = np.median(away) if usual is None else usual  # the lattice shows 0.1 nm beyond the edge
        assert abs(np.median(away) - usual) < 40 and np.quantile(np.abs(away - usual), 0.8) < 120


def test_the_vacuum_moves_with_the_crystal(monkeypatch):
    """A column that has come to where vacuum was needs no proof of its own; one in today's vacuum does."""
    depth, _ = ideal("flat", 0)
    labels = RINGS.model_dump(mode="json")
    cut = [depth[60 + by : 180 + by, 50:194] for by in (0, 4, 8)]
    vacuum = np.zeros(cut[0].shape, bool)
    vacuum[80:] = True
    sites = FilmSites.start([one_hot(cut[0])], RINGS.pixel_pm, CERIA, labels)
    plain, borders = FilmSites._lay_in, []

    def watched(self, area, pooled):
        found = plain(self, area, pooled)
        borders.append(pooled.y[found].min() / RINGS.pixel_pm)
        return found

    monkeypatch.setattr(FilmSites, "_lay_in", watched)
    for each in cut:
        sites.columns(one_hot(each), np.where(each > 0, 30.0, 10.0), 10.0, vacuum=vacuum)
    assert borders[0] == pytest.approx(80, abs=10)
    np.testing.assert_allclose(np.subtract(borders[0], borders), (0, 4, 8), atol=0.5)
