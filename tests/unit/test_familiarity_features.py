"""Features of a frame: true on lattices whose components are known, whatever their dose, and alike in mirror images."""

import math

import numpy as np
import pytest
from conftest import CERIA, TITANATE
from hypothesis import given
from hypothesis import strategies as st

from segdepth.micrograph.familiarity import features
from segdepth.micrograph.familiarity.windows import finer_orders, make_windows, reflection_orders
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card

CARD = read_card(bundled_network())
PIXEL = CARD.input_pixel_pm
WAVES = {(1, 1): (0.06, 0.3), (1, -1): (0.06, 1.1), (2, 0): (0.05, 0.2), (0, 2): (0.09, 2.0), (2, 2): (0.03, 1.0)}
"""Amplitude and phase by order of the crystal."""


def lattice(shape=(150, 174), waves=WAVES, stretch=1.0, turn_deg=0.0, brightness=0.95, crystal=CERIA):
    """Noise-free image (row, column), vacuum = 1: waves of the crystal's orders, larger by ``stretch`` and turned."""
    y, x = ((np.indices(shape) + 0.5) * PIXEL) / stretch
    turn = math.radians(-turn_deg)
    x, y = math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y
    image = np.ones(shape)
    for (h, k), (amplitude, phase) in waves.items():
        image += amplitude * np.cos(2 * np.pi * (h * x / crystal.periods_pm[0] + k * y / crystal.periods_pm[1]) + phase)
    return brightness * image


def answer(shape, depth=5, vacuum_rows=0):
    """Probabilities (class, row, column) of a network that sees ``depth`` atoms in two thirds of the pixels."""
    p = np.zeros((11, *shape), np.float32)
    crystal = np.indices(shape).sum(axis=0) % 3 > 0
    crystal[shape[0] - vacuum_rows :] = False
    p[0] = ~crystal
    p[depth] = 0.8 * crystal
    p[depth - 1] = 0.2 * crystal
    return p


def of(image, electrons=1e9, seed=None, p=None, valid=None, crystal=CERIA):
    counts = image * electrons if seed is None else np.random.default_rng(seed).poisson(image * electrons)
    valid = np.ones(image.shape, bool) if valid is None else valid
    return features(counts, electrons, answer(image.shape) if p is None else p, valid, crystal, CARD)


def test_components_of_known_waves_on_a_grid_that_is_not_square():
    windows = make_windows((96, 150), PIXEL, CERIA.periods_pm[:2], (3, 3))
    image = lattice((96, 150))
    orders = reflection_orders(CERIA) + finer_orders(CERIA)
    found = dict(zip(orders, windows.components(image, orders)))
    for order in reflection_orders(CERIA):
        amplitude, phase = WAVES[order]
        expected = 0.95 * amplitude / 2 * np.exp(1j * phase)
        assert np.abs(found[order] - expected).max() < 0.04 * 0.95 * 0.09
    assert windows.means(image) == pytest.approx(0.95, abs=2e-3)


def test_there_is_no_window_on_a_grid_smaller_than_one():
    assert make_windows((30, 150), PIXEL, CERIA.periods_pm[:2], (3, 3)) is None
    assert of(lattice((30, 150))) == {}


def test_features_of_a_known_lattice():
    found = of(lattice())
    assert found["brightness"] == pytest.approx(0.95, abs=1e-3)
    power = sum(amplitude**2 / 2 for amplitude, _ in WAVES.values())
    assert found["contrast"] == pytest.approx(math.sqrt(power), rel=0.01)
    assert found["amplitude 1-11"] == pytest.approx(0.03, rel=0.03)
    assert found["amplitude 002"] == pytest.approx(0.025, rel=0.03)
    assert found["amplitude 2-20"] == pytest.approx(0.045, rel=0.03)
    assert found["amplitude finer"] == pytest.approx(0.015, rel=0.1)
    assert abs(found["remainder"]) < 0.25 * found["contrast"]
    assert found["imbalance"] < 0.1 * found["amplitude 1-11"]
    phase = 0.3 + 1.1 - 0.2
    product = 0.03 * 0.03 * 0.025
    assert found["triple -111 002 1-11"] == pytest.approx(np.cbrt(product * math.cos(phase)), rel=0.05)
    assert found["depth"] == pytest.approx(4.8, abs=1e-5) and found["confidence"] == pytest.approx(0.8, abs=1e-5)
    assert max(found["last class"], found["depth spread"]) < 1e-5


def test_the_last_class_is_counted():
    assert of(lattice(), p=answer((150, 174), depth=10))["last class"] == pytest.approx(0.8, abs=1e-5)


def test_a_tilted_crystals_pairs_of_reflections_differ():
    tilted = WAVES | {(1, 1): (0.08, 0.3), (1, -1): (0.04, 1.1)}
    assert of(lattice(waves=tilted))["imbalance"] == pytest.approx(math.sqrt(0.04**2 - 0.02**2), rel=0.05)


@pytest.mark.parametrize("electrons", [8, 40, 400])
def test_shot_noise_is_taken_out(electrons):
    clean = of(lattice())
    noisy = [of(lattice(), electrons, seed) for seed in range(8)]
    for name in ("brightness", "contrast", "amplitude 1-11", "amplitude 2-20", "triple -111 002 1-11"):
        assert np.mean([one[name] for one in noisy]) == pytest.approx(clean[name], rel=0.06, abs=2e-3), name
    assert noisy[0]["dose"] == pytest.approx(math.log10(electrons / 16), abs=1e-6)


@pytest.mark.parametrize("stretch", [0.92, 1.0, 1.07])
@pytest.mark.parametrize("turn_deg", [-4.0, 0.0, 3.0])
def test_a_lattice_that_is_not_where_it_should_be_is_noticed(stretch, turn_deg):
    found = of(lattice(stretch=stretch, turn_deg=turn_deg), 40, seed=1)
    turn = math.radians(turn_deg)
    assert found["scale"] == pytest.approx(math.cos(turn) / stretch - 1, abs=0.005)
    assert abs(found["turn"]) == pytest.approx(abs(math.sin(turn)) / stretch, abs=0.004)
    assert found["shear"] < 0.01


def test_noise_shows_no_lattice():
    for electrons in (4, 400):
        z = [math.sinh(of(np.ones((150, 174)), electrons, seed)["evidence"]) for seed in range(40)]
        assert abs(np.mean(z)) < 0.5 and 0.5 < np.std(z) < 1.7
    assert of(lattice(), 40, seed=0)["evidence"] > math.asinh(30)


@given(st.integers(0, 1000), st.sampled_from(["x", "y", "both"]))
def test_mirror_images_have_the_same_features(seed, axis):
    image = lattice((90, 120), turn_deg=1.0)
    counts = np.random.default_rng(seed).poisson(30 * image).astype(float)
    p = np.random.default_rng(seed).dirichlet(np.ones(11), counts.shape).transpose(2, 0, 1)
    cut = {"x": np.s_[..., ::-1], "y": np.s_[..., ::-1, :], "both": np.s_[..., ::-1, ::-1]}[axis]
    valid = np.ones(counts.shape, bool)
    one = features(counts, 30.0, p, valid, CERIA, CARD)
    other = features(counts[cut], 30.0, p[cut], valid, CERIA, CARD)
    turned = one.pop("turn"), other.pop("turn")
    assert turned[0] == pytest.approx(turned[1] if axis == "both" else -turned[1], abs=1e-4)
    assert other == pytest.approx(one, rel=1e-3, abs=2e-4)


def test_windows_in_vacuum_and_on_filled_pixels_do_not_count():
    image = lattice((200, 140))
    image[120:] = 1
    found = of(image, p=answer(image.shape, vacuum_rows=80))
    assert found["brightness"] == pytest.approx(0.95, abs=0.005)
    filled = lattice()
    filled[:60] = 3
    valid = np.ones(filled.shape, bool)
    valid[:60] = False
    assert of(filled, valid=valid)["brightness"] == pytest.approx(0.95, abs=0.02)


def test_a_frame_that_is_all_vacuum_has_none():
    p = np.zeros((11, 150, 174), np.float32)
    p[0] = 1
    assert of(np.ones((150, 174)), p=p) == {}


def test_another_crystal_has_its_own_features():
    waves = {order: (0.05, 0.4) for order in reflection_orders(TITANATE)}
    found = of(lattice(waves=waves, crystal=TITANATE), crystal=TITANATE)
    amplitudes = {name: value for name, value in found.items() if name.startswith("amplitude") and "finer" not in name}
    assert len(amplitudes) >= 2
    assert all(value == pytest.approx(0.025, rel=0.1) for value in amplitudes.values())
