"""Where diffusely scattered electrons arrive: the coherent wave and differences of snapshots, weighed and stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from conftest import SMALL_BEAM, cerium, relative, small_slab
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_phonon_waves import BEAM, CPU, LENS, MANY, NAME, PIXEL, SEED, SPECIMEN, dosed, opened, simulate

import segdepth
from segdepth.config import Beam, Imaging, Micrograph, Training
from segdepth.errors import ConfigError
from segdepth.evaluation.ideal_observer_images import check_upright
from segdepth.learning.samples import Source, TrainingSamples
from segdepth.learning.structures import StructureCache
from segdepth.learning.validation import fixed_batches
from segdepth.micrograph.simulated_views import Camera, SimulatedWaves, simulated_views
from segdepth.simulation.beam import vibrations_pm
from segdepth.simulation.configurations import configuration_weights, stored_weights
from segdepth.simulation.exit_wave import exit_wave, exit_waves
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields
from segdepth.simulation.optics import Lens
from segdepth.simulation.phonons import displace_in_plane
from segdepth.simulation.potential import SlicedPotential
from segdepth.simulation.scattered_atoms import ScatteredPotential
from segdepth.simulation.scattering import parametrization
from segdepth.steps.form_images import form_images
from segdepth.steps.record_micrograph import record_micrograph
from segdepth.store.zarr_store import open_zarr

WIDTHS = {"Ce": 15.0, "O": 20.0}
DIFFUSE = BEAM.model_copy(update={"absorption": True, "frozen_phonons": 0, "diffuse_snapshots": 2})


# --- waves ----------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_potential_of_scattered_atoms_is_the_usual_one(seed, dtype):
    rng = np.random.default_rng(seed)
    places = rng.random((9, 3)) * (7, 5, 1)
    atoms = Atoms("CeO2CeO2CeO2", positions=places, cell=(7, 5, 4), pbc=True)
    usual, other = (
        list(kind(atoms, (60, 48), 0.5, parametrization(SMALL_BEAM), dtype=dtype))
        for kind in (SlicedPotential, ScatteredPotential)
    )
    assert len(usual) == len(other) > 1
    for one, two in zip(usual, other):
        size = float(one.potential.abs().max())
        torch.testing.assert_close(one.potential, two.potential, rtol=0, atol=1e-6 * size + 1e-12)


def test_displaced_in_the_plane_by_the_widths():
    atoms = Atoms("Ce2000O2000", positions=np.zeros((4000, 3)) + 5, cell=(20, 20, 20))
    moved = displace_in_plane(atoms, WIDTHS, np.random.default_rng(0)).positions - atoms.positions
    assert not moved[:, 2].any()
    assert moved[:2000, :2].std(axis=0) == pytest.approx([0.15, 0.15], rel=0.05)
    assert moved[2000:, :2].std(axis=0) == pytest.approx([0.20, 0.20], rel=0.05)


def test_differences_are_those_of_snapshots_from_the_coherent_wave(abtem):
    atoms = cerium((4.0, 5.0, 2.0), (9.0, 8.0, 4.0))
    beam = DIFFUSE.model_copy(update={"debye_waller_pm": {"Ce": 15.0}})
    waves = exit_waves(atoms, beam, np.random.default_rng(3))
    assert waves.shape[0] == 3 and np.array_equal(waves[0], exit_wave(atoms, beam))
    rng = np.random.default_rng(3)
    for difference in waves[1:]:
        moved = displace_in_plane(atoms, vibrations_pm(beam), rng)
        snapshot = exit_wave(moved, beam.model_copy(update={"frozen_phonons": 1, "diffuse_snapshots": 0}))
        assert relative(waves[0] + difference, snapshot) < 5e-6
        assert relative(waves[0], snapshot) > 1e-3
    none = exit_waves(atoms, beam.model_copy(update={"diffuse_snapshots": 0}), rng)
    assert np.array_equal(none, waves[:1])


def images_of(waves: np.ndarray, block, imaging: Imaging, weights=None) -> np.ndarray:
    attrs = {
        "cell_pm": block.cell_pm,
        "margin_pm": block.margin_pm,
        "wavelength_pm": 1.96875,
        "stored_angle_mrad": 45.0,
    }
    former = image_former(imaging, attrs, waves.shape[-1] // 2, "cpu")
    defocus = imaging.defocus_values_nm
    lens = Lens.from_values(lens_fields(draw_lens_values(imaging, defocus, np.random.default_rng(0))))
    return former.form(torch.as_tensor(waves).expand(len(defocus), -1, -1, -1), lens, weights).numpy()


def percent(found: np.ndarray, expected: np.ndarray) -> float:
    return float(100 * np.sqrt(((found - expected) ** 2).mean((1, 2)) / expected.var((1, 2))).max())


def test_two_snapshots_serve_where_an_average_of_images_needs_many(abtem):
    """12 atoms a column: one and two differences are 7.4 and 6.7 % of the contrast off the mean of 32 snapshots, which
    is itself some 4 % off; the coherent wave alone is 17, a plain snapshot 23."""
    atoms, block = small_slab(12)
    imaging = Imaging(defocus_nm=(3, 8, 14))
    beam = Beam(debye_waller_pm={"Ce": 6.6, "O": 8.5})
    many = exit_waves(atoms, beam.model_copy(update={"frozen_phonons": 32, "pixel_pm": 7}), np.random.default_rng(1))
    truth = images_of(many, block, imaging)
    waves = exit_waves(atoms, beam.model_copy(update={"diffuse_snapshots": 2}), np.random.default_rng(2))
    found = percent(images_of(waves, block, imaging, (1, 0.5, 0.5)), truth)
    coherent, plain = (
        percent(images_of(waves[:1], block, imaging), truth),
        percent(images_of(many[:1], block, imaging), truth),
    )
    assert found < 8 and coherent > 14 and plain > 18
    one = percent(images_of(waves[:2], block, imaging, (1, 1)), truth)
    assert one < 9


@pytest.mark.parametrize("count", [1, 2])
def test_no_electron_is_lost(abtem, count):
    """Absorption takes as much from the coherent wave as the differences return: 1 within 1 %, at any angle stored."""
    atoms, _ = small_slab(5)
    beam = Beam(debye_waller_pm={"Ce": 20, "O": 25}, pixel_pm=7, stored_angle_mrad=100, diffuse_snapshots=count)
    power = (np.abs(exit_waves(atoms, beam, np.random.default_rng(0))) ** 2).sum((1, 2))
    assert power[0] < 0.985
    assert power @ configuration_weights(beam) == pytest.approx(1, abs=0.01)


# --- weights --------------------------------------------------------------------------------------------------------


@given(kind=st.sampled_from(["frozen_phonons", "diffuse_snapshots"]), count=st.integers(1, 8))
def test_weights_of_snapshots_add_up_to_one(kind, count):
    weights = configuration_weights(Beam(pixel_pm=7, **{kind: count}))
    of_snapshots = weights if kind == "frozen_phonons" else weights[1:]
    assert len(of_snapshots) == count and np.allclose(of_snapshots, 1 / count)
    assert kind == "frozen_phonons" or weights[0] == 1


def test_images_add_up_by_weight():
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(1, 3, 21, 21)) + 1j * rng.normal(size=(1, 3, 21, 21))
    attrs = {"cell_pm": 1000.0, "margin_pm": 0.0, "wavelength_pm": 1.97, "stored_angle_mrad": 45.0}
    former = image_former(LENS, attrs, 10, "cpu", 25.0)
    lens = Lens.from_values(lens_fields(draw_lens_values(LENS, [5], rng)))
    each = [former.form(torch.as_tensor(waves[:, one]), lens) for one in range(3)]
    found = former.form(torch.as_tensor(waves), lens, (1, 0.5, 0.25))
    torch.testing.assert_close(found, each[0] + each[1] / 2 + each[2] / 4, rtol=1e-5, atol=1e-5)
    mean = former.form(torch.as_tensor(waves), lens)
    torch.testing.assert_close(mean, former.form(torch.as_tensor(waves), lens, (1 / 3,) * 3), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="weights: got 2 for 3 configurations"):
        former.form(torch.as_tensor(waves), lens, (1, 1))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"frozen_phonons": 4, "pixel_pm": 7}, "with frozen_phonons"),
        ({"absorption": False}, "without absorption"),
    ],
)
def test_it_needs_absorption_and_no_frozen_phonons(values, words):
    with pytest.raises(ValidationError, match=f"diffuse_snapshots: got 2 {words}"):
        Beam(diffuse_snapshots=2, **values)


def test_an_ideal_observer_needs_the_coherent_wave():
    with pytest.raises(ConfigError, match="diffuse_snapshots: got 1"):
        check_upright(SPECIMEN, Beam(diffuse_snapshots=1))


# --- readers of the stored waves ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory, abtem):
    return simulate(tmp_path_factory.mktemp("diffuse"), SPECIMEN, DIFFUSE)


@pytest.fixture(scope="module")
def expected(shards) -> np.ndarray:
    """Images (structure, y, x)."""
    with open_zarr(shards["waves"][0]) as store:
        waves = torch.as_tensor(store["wave"].values)
        assert store["configuration_weight"].values.tolist() == [1, 0.5, 0.5] == list(stored_weights(store))
        former = image_former(LENS, store.attrs, waves.shape[-1] // 2, "cpu")
    lens = Lens.from_values(lens_fields(draw_lens_values(LENS, [5, 5], np.random.default_rng())))
    each = [former.form(waves[:, one], lens).numpy() for one in range(3)]
    assert each[1].max() > 0.01
    return each[0] + (each[1] + each[2]) / 2


def test_stored_images(shards, expected, tmp_path):
    form_images(LENS, shards["waves"][0], tmp_path / "images.zarr", code="c", device="cpu")
    with open_zarr(tmp_path / "images.zarr") as store:
        np.testing.assert_allclose(store["intensity"].values[:, 0], expected, atol=1e-5)


def test_samples_and_validation(shards, expected):
    cache = StructureCache(opened(shards["waves"]), opened(shards["depth"]), [0, 1])
    training = Training(crop_pixels=64, batch_size=2, epoch_samples=6, flip=False, continuous_defocus=False)
    sources = [Source(cache, LENS, MANY, NAME)]
    seen = set()
    for batch in TrainingSamples(sources, training, CPU):
        for image, depth in zip(batch.noisy[:, 0], batch.depth):
            (which,) = [one for one in (0, 1) if torch.equal(depth, cache.maps(one)["depth"])]
            np.testing.assert_allclose(image, expected[which], atol=3e-3)
            seen.add(which)
    assert seen == {0, 1}
    (batch,) = fixed_batches(sources, Training(), SEED, CPU)
    np.testing.assert_allclose(batch.noisy[:, 0], expected.repeat(4, axis=0), atol=3e-3)


def test_recordings_and_views(shards, expected, tmp_path):
    block = Micrograph(dataset="d", defocus_nm=5, pixel_pm=PIXEL)
    record_micrograph(block, LENS, dosed(MANY), 1, shards["waves"][0], tmp_path / "camera.npz", code="c")
    counts = np.load(tmp_path / "camera.npz")["counts"]
    np.testing.assert_allclose(counts / (MANY * 16), expected[1], atol=3e-3)
    camera = Camera(PIXEL, MANY * 16, (64, 64), 1.0)
    views = list(simulated_views(SimulatedWaves(*opened(shards["waves"])), LENS, camera, [5]))
    for view, image in zip(views, expected, strict=True):
        np.testing.assert_allclose(view.counts / camera.electrons, image, atol=3e-3)


def test_public_simulation(abtem):
    atoms, block = small_slab(3)
    beam = DIFFUSE.model_copy(update={"debye_waller_pm": WIDTHS})
    found = segdepth.simulate(atoms, beam=beam, imaging=LENS, seed=4).values
    coherent = segdepth.simulate(
        atoms, beam=beam.model_copy(update={"diffuse_snapshots": 0}), imaging=LENS, seed=4
    ).values
    assert 0.001 < float((found - coherent).mean()) < 0.1
    assert float((found - coherent).min()) > -1e-4
    again = segdepth.simulate(atoms, beam=beam, imaging=LENS, seed=4).values
    assert np.array_equal(found, again)


def test_stores_without_weights_share_alike(shards):
    with open_zarr(shards["waves"][0]) as store:
        assert stored_weights(store.drop_vars("configuration_weight")) is None
        even = store.assign_coords(configuration_weight=("configuration", np.full(3, 1 / 3)))
        assert stored_weights(even) is None
