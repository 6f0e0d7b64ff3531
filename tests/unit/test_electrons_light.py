"""Uneven light: found where it is, only there, and taken out without spoiling the noise."""

import numpy as np
import pytest
from electrons_data import SHAPE

from segdepth.micrograph.electrons.camera import Camera, to_electrons
from segdepth.micrograph.electrons.light import describe_light, find_light
from segdepth.micrograph.electrons.masks import Masked

Y, X = (np.linspace(-1, 1, n) for n in SHAPE)
LIGHTS = {
    "slope": 1 + 0.1 * Y[:, None] + 0 * X,
    "slopes": 1 + 0.08 * Y[:, None] - 0.06 * X,
    "dome": 1 - 0.12 * Y[:, None] ** 2 - 0.1 * X**2 + 0.05 * X,
}
EVERYWHERE = np.ones(SHAPE, bool)


def frames(level, light, number, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.poisson(level * light).astype(np.float32) for _ in range(number)]


def search(electrons, area):
    return find_light(electrons, [EVERYWHERE] * len(electrons), [area] * len(electrons))


@pytest.mark.parametrize("kind", LIGHTS)
@pytest.mark.parametrize("level, number", [(1.62, 4), (20.0, 1)])
def test_uneven_light_is_found(kind, level, number):
    light = LIGHTS[kind] / LIGHTS[kind].mean()
    area = np.broadcast_to((np.arange(SHAPE[1]) < 150) | (np.arange(SHAPE[1]) > 400), SHAPE)  # two sides
    found = search(frames(level, light, number), area)
    assert found.shape == SHAPE and found.dtype == np.float32 and abs(found.mean() - 1) < 1e-5
    assert np.abs(found - light).max() < 0.02
    assert "%" in describe_light(found)


def test_frames_of_other_brightness_weigh_alike():
    light = LIGHTS["slopes"] / LIGHTS["slopes"].mean()
    films = frames(5.0, light, 2) + frames(50.0, light, 2, seed=1)
    assert np.abs(search(films, EVERYWHERE) - light).max() < 0.01


def test_even_light_is_left_as_it_is():
    for seed in range(10):
        for level in (0.3, 1.62, 50.0):
            assert search(frames(level, np.ones(SHAPE), 1, seed), EVERYWHERE) is None
    assert search(frames(500.0, 1 + 0.005 * Y[:, None] + 0 * X, 1), EVERYWHERE) is None  # 1 % is none
    assert search([np.ones(SHAPE, np.float32)], EVERYWHERE) is None


def test_a_strip_tells_nothing_about_what_is_far_from_it():
    light = 1 + 0.1 * X + 0 * Y[:, None]
    strip = np.broadcast_to(np.arange(SHAPE[1]) < 100, SHAPE)
    assert search(frames(20.0, light, 1), strip) is None
    both = 1 + 0.1 * Y[:, None] + 0.1 * X
    found = search(frames(20.0, both, 1), strip)
    assert np.ptp(found, axis=1).max() < 1e-5 and 0.1 < np.ptp(found) < 0.3
    assert search(frames(20.0, light, 1), np.zeros(SHAPE, bool)) is None


@pytest.mark.parametrize("level", [1.62, 30.0])
def test_whole_electrons_stay_whole_and_poisson_in_flattened_light(level):
    light = (LIGHTS["dome"] / LIGHTS["dome"].mean()).astype(np.float32)
    raw = frames(level, light, 1)[0]
    flat = to_electrons(Masked(raw, EVERYWHERE), Camera(), light, np.random.default_rng(1))
    assert (flat == flat.round()).all() and (flat <= raw).all()
    assert flat.mean() == pytest.approx(level * light.min(), rel=0.01)
    assert flat.var() / flat.mean() == pytest.approx(1, abs=0.02)
    parts = [flat[:130].mean(), flat[135:265].mean(), flat[-130:].mean()]
    assert np.ptp(parts) < 0.02 * level
    other = to_electrons(Masked(raw, EVERYWHERE), Camera(whole=False), light)
    np.testing.assert_allclose(other, raw / light, rtol=1e-6)
