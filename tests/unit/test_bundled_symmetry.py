"""Mirror images and half turns of a frame: what the networks of the package answer to them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from conftest import CERIA

import segdepth
from segdepth.config import RESERVED, Specimen
from segdepth.networks.bundled import folder_of
from segdepth.networks.files import load_network
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge

ELECTRONS = 40.0


@cache
def answer_of(name: str):
    network, card = load_network(folder_of(name))
    network.eval()

    def answer(counts: np.ndarray) -> np.ndarray:
        """Atoms (y, x), the most probable ones."""
        with torch.no_grad():
            return network(torch.as_tensor(counts.copy(), dtype=torch.float32)[None, None])[0].argmax(0).numpy()

    return answer, card.input_pixel_pm


@pytest.mark.parametrize("name", RESERVED)
def test_the_mirror_image_has_the_same_answer(name):
    """Whatever is in it, since both are averaged."""
    answer, _ = answer_of(name)
    counts = np.random.default_rng(0).poisson(3.0, (64, 128)) / 3.0
    found = answer(counts)
    assert np.array_equal(answer(counts[:, ::-1])[:, ::-1], found) and len(np.unique(found)) > 1


def test_a_half_turn_changes_the_answer_of_the_particles_network_less_than_other_noise_does(abtem):
    """It has learnt vacuum on every side; nothing makes this exact."""
    answer, pixel_pm = answer_of("bundled_particles")
    block = Specimen(
        crystal="ceria", structures=1, field_pm=128 * pixel_pm, margin_pm=32 * pixel_pm, bulk_atoms=(9, 9),
        surface_atoms=(2, 2), thickest_atoms=14, facets=("{111}",), facet_count=(1, 1), vacuum_fraction=(0.3, 0.3),
    )  # fmt: skip
    atoms = build_wedge(plan_row(block, CERIA, "t", 0, 0), block, CERIA, "t", 0)
    image = np.asarray(segdepth.simulate(atoms, defocus_nm=5.0, pixel_pm=pixel_pm, device="cpu")).squeeze()
    one, other = (np.random.default_rng(seed).poisson(ELECTRONS * image) / ELECTRONS for seed in (0, 1))
    found, turned, noise = answer(one), answer(one[::-1, ::-1])[::-1, ::-1], answer(other)
    crystal = found > 0
    assert 0.4 < crystal.mean() < 0.9 and found.max() >= 4
    assert (turned != found)[crystal].mean() < 0.8 * (noise != found)[crystal].mean()
    assert np.abs(turned.astype(int) - found)[crystal].mean() < 0.3
