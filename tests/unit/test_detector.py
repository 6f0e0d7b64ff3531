"""Dose and shot noise (SegDepth eqs. 1 and 2)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segdepth.simulation.detector import (
    add_shot_noise,
    add_shot_noise_batch,
    electrons_per_pixel,
    electrons_per_square_angstrom,
)


def test_dose():
    assert electrons_per_pixel(2.5, 5411 / 1024) == pytest.approx(2.5)
    assert electrons_per_pixel(2.5, 21.137) == pytest.approx(40, rel=1e-4)
    assert electrons_per_square_angstrom(2.5) == pytest.approx(895, abs=0.5)


@pytest.mark.parametrize("clean", [0.2, 1.0, 1.9])
@pytest.mark.parametrize("electrons", [2.5, 40.0])
def test_mean_and_variance(clean, electrons):
    many = 400_000
    generator = torch.Generator().manual_seed(1)
    for found in (
        add_shot_noise(np.full(many, clean), electrons, np.random.default_rng(1)),
        add_shot_noise_batch(torch.full((many,), clean), electrons, generator).numpy(),
    ):
        spread = clean / electrons
        assert found.mean() == pytest.approx(clean, abs=5 * np.sqrt(spread / many))
        assert found.var() == pytest.approx(spread, rel=0.02)
        assert np.allclose(found * electrons, np.round(found * electrons), atol=1e-4)
        assert found.dtype == np.float32


def test_binned_noise_is_noise_of_the_binned_dose():
    fine = add_shot_noise(np.ones((1600, 1600)), 2.5, np.random.default_rng(0))
    binned = fine.reshape(400, 4, 400, 4).mean((1, 3))
    assert binned.var() == pytest.approx(1 / 40, rel=0.02)


def test_slightly_negative_intensities_are_dark():
    assert add_shot_noise(np.full(9, -1e-7), 40, np.random.default_rng(0)).max() == 0
    assert add_shot_noise_batch(torch.full((9,), -1e-7), 40, torch.Generator()).max() == 0


def test_doses_broadcast_over_a_batch():
    found = add_shot_noise_batch(
        torch.ones(2, 1, 300, 300), torch.tensor([2.5, 40.0])[:, None, None, None], torch.Generator()
    )
    assert found.var(dim=(1, 2, 3)).numpy() == pytest.approx([0.4, 0.025], rel=0.03)


def test_same_generator_same_noise():
    clean = np.ones((8, 8))
    assert np.array_equal(
        add_shot_noise(clean, 3, np.random.default_rng(5)), add_shot_noise(clean, 3, np.random.default_rng(5))
    )
