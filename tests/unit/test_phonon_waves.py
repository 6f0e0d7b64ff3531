"""Waves of frozen phonons through every reader, electrons that are counted or lost, and a camera of its own pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import CERIA, CERIA_BLOCK, RINGS

from segdepth.config import Beam, Dataset, Imaging, Micrograph, Specimen, Training
from segdepth.evaluation.noisy_images import NoisyImages
from segdepth.learning.samples import Source, TrainingSamples
from segdepth.learning.structures import StructureCache
from segdepth.learning.validation import fixed_batches
from segdepth.micrograph.simulated_views import Camera, SimulatedWaves, simulated_views
from segdepth.seeds import structure_rng
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields
from segdepth.simulation.optics import Lens
from segdepth.specimen.frame_facts import crystal_text
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.form_images import form_images
from segdepth.steps.plan_specimens import plan_specimens
from segdepth.steps.project_depth import project_depth
from segdepth.steps.record_micrograph import RECORDINGS, record_micrograph
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

PIXEL = 5411 / 256
NAME, SEED = "tiny", 3
SPECIMEN = Specimen(
    crystal="ceria",
    structures=2,
    shard_size=2,
    surfaces=("flat",),
    field_pm=64 * PIXEL,
    margin_pm=16 * PIXEL,
    bulk_atoms=(3, 4),
)
BEAM = Beam(pixel_pm=8, slice_pm=200, absorption=False, frozen_phonons=2, debye_waller_pm={"Ce": 15, "O": 20})
LENS = Imaging(defocus_nm=(5,))
CPU = torch.device("cpu")
MANY = 1e6
"""A dose (λ) whose noise is below 3e-4."""


def opened(paths: list[Path]) -> list[xr.Dataset]:
    return [open_zarr(path) for path in paths]


def dosed(dose_lambda: float) -> Dataset:
    """A data set's block with any dose, also beyond what a configuration may say."""
    block = Dataset(specimen=NAME, beam="b", imaging="i", labels="l", dose_lambda=1)
    return block.model_copy(update={"dose_lambda": dose_lambda})


def simulate(folder: Path, specimen: Specimen, beam: Beam = BEAM) -> dict[str, list[Path]]:
    """Shards of atoms, waves and depth of all structures."""
    made: dict[str, list[Path]] = {"waves": [], "depth": []}
    plan_specimens(specimen, CERIA_BLOCK, NAME, SEED, folder / "plan.csv", code="c")
    for shard in range(specimen.shards):
        atoms = folder / f"atoms-{shard}.extxyz"
        build_specimens(specimen, CERIA_BLOCK, NAME, SEED, shard, folder / "plan.csv", atoms, code="c")
        made["waves"].append(folder / f"waves-{shard}.zarr")
        made["depth"].append(folder / f"depth-{shard}.zarr")
        simulate_waves(beam, atoms, made["waves"][-1], code="c", device="cpu")
        project_depth(RINGS, atoms, made["depth"][-1], code="c")
    return made


@pytest.fixture(scope="module")
def shards(tmp_path_factory, abtem):
    return simulate(tmp_path_factory.mktemp("phonons"), SPECIMEN)


@pytest.fixture(scope="module")
def expected(shards) -> np.ndarray:
    """Images (structure, configuration, y, x) of single configurations."""
    with open_zarr(shards["waves"][0]) as store:
        waves = torch.as_tensor(store["wave"].values)
        former = image_former(LENS, store.attrs, waves.shape[-1] // 2, "cpu")
    lens = Lens.from_values(lens_fields(draw_lens_values(LENS, [5, 5], np.random.default_rng())))
    images = np.stack([former.form(waves[:, one], lens).numpy() for one in range(2)], axis=1)
    assert np.abs(images[:, 0] - images[:, 1]).max() > 0.1  # the two can be told apart
    return images


def write_waves(path: Path, wave: np.ndarray, cell_pm: float, margin_pm: float) -> Path:
    """A store of made-up waves (structure, configuration, ky, kx)."""
    text = {"units": "1", "long_name": "test"}
    dataset = xr.Dataset(
        {"wave": (("structure", "configuration", "ky", "kx"), wave.astype(np.complex64), text)},
        coords={"structure": ("structure", np.arange(len(wave)), text)},
        attrs={
            "cell_pm": cell_pm,
            "margin_pm": margin_pm,
            "energy_kev": 300.0,
            "grid_points": 64,
            "specimen": NAME,
            "root_seed": SEED,
            "crystal": crystal_text(CERIA),
            "wavelength_pm": wavelength_pm(300),
            "stored_angle_mrad": 45.0,
        },
    )
    with write_artefact(path, command="simulate-waves", code="c", parameters={}) as partial:
        write_zarr(dataset, partial, parameters={})
    return path


# --- frozen phonons -------------------------------------------------------------------------------------------------


def test_stored_images_are_means_over_configurations(shards, expected, tmp_path):
    form_images(LENS, shards["waves"][0], tmp_path / "images.zarr", code="c", device="cpu")
    with open_zarr(tmp_path / "images.zarr") as store:
        np.testing.assert_allclose(store["intensity"].values[:, 0], expected.mean(axis=1), atol=1e-5)


def test_samples_are_means_over_configurations(shards, expected):
    cache = StructureCache(opened(shards["waves"]), opened(shards["depth"]), [0, 1])
    training = Training(crop_pixels=64, batch_size=2, epoch_samples=6, flip=False, continuous_defocus=False)
    batches = list(TrainingSamples([Source(cache, LENS, MANY, NAME)], training, CPU))
    seen = set()
    for batch in batches:
        for image, depth in zip(batch.noisy[:, 0], batch.depth):
            (which,) = [one for one in (0, 1) if torch.equal(depth, cache.maps(one)["depth"])]
            np.testing.assert_allclose(image, expected[which].mean(axis=0), atol=3e-3)
            seen.add(which)
    assert seen == {0, 1}


def test_validation_images_are_means_over_configurations(shards, expected):
    cache = StructureCache(opened(shards["waves"]), opened(shards["depth"]), [0, 1])
    (batch,) = fixed_batches([Source(cache, LENS, MANY, NAME)], Training(), SEED, CPU)
    np.testing.assert_allclose(batch.noisy[:, 0], expected.mean(axis=1).repeat(4, axis=0), atol=3e-3)


def test_a_recording_is_the_mean_over_configurations(shards, expected, tmp_path):
    block = Micrograph(dataset="d", defocus_nm=5, pixel_pm=PIXEL)
    record_micrograph(block, LENS, dosed(MANY), 1, shards["waves"][0], tmp_path / "camera.npz", code="c")
    counts = np.load(tmp_path / "camera.npz")["counts"]
    np.testing.assert_allclose(counts / (MANY * 16), expected[1].mean(axis=0), atol=3e-3)


def test_views_of_a_comparison_are_means_over_configurations(shards, expected):
    camera = Camera(PIXEL, MANY * 16, (64, 64), 1.0)
    views = list(simulated_views(SimulatedWaves(*opened(shards["waves"])), LENS, camera, [5]))
    assert [view.structure for view in views] == [0, 1]
    for view, image in zip(views, expected.mean(axis=1)):
        np.testing.assert_allclose(view.counts / camera.electrons, image, atol=3e-3)


def test_snapshots_do_not_depend_on_the_shard(shards, tmp_path):
    apart = simulate(tmp_path, SPECIMEN.model_copy(update={"shard_size": 1}))
    assert len(apart["waves"]) == 2
    with open_zarr(shards["waves"][0]) as together:
        assert together["wave"].shape[:2] == (2, 2)
        for index, path in enumerate(apart["waves"]):
            with open_zarr(path) as alone:
                assert alone["structure"].values.tolist() == [index]
                assert np.array_equal(alone["wave"].values[0], together["wave"].values[index])


# --- electrons that are counted -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vacuum(shards, tmp_path_factory) -> Path:
    """The shard with nothing in it."""
    with open_zarr(shards["waves"][0]) as store:
        wave = np.zeros_like(store["wave"].values)
    wave[..., 0, 0] = 1
    place = tmp_path_factory.mktemp("vacuum") / "waves.zarr"
    return write_waves(place, wave, SPECIMEN.cell_pm, SPECIMEN.margin_pm)


@pytest.mark.parametrize("efficiency", [0.4, 1.0])
def test_noise_is_that_of_the_electrons_that_are_counted(shards, vacuum, tmp_path, efficiency):
    dose, electrons = 2.5, 2.5 * efficiency * 16  # a pixel is 4 by 4 of those that λ counts in
    lens = LENS.model_copy(update={"detection_efficiency": efficiency})
    cache = StructureCache(opened([vacuum]), opened(shards["depth"]), [0, 1])
    training = Training(crop_pixels=64, batch_size=4, epoch_samples=4)
    found = {
        "training": next(iter(TrainingSamples([Source(cache, lens, dose, NAME)], training, CPU))).noisy,
        "validation": fixed_batches([Source(cache, lens, dose, NAME)], Training(), SEED, CPU)[0].noisy,
    }
    form_images(lens, vacuum, tmp_path / "images.zarr", code="c", device="cpu")
    test_set = NoisyImages(opened([tmp_path / "images.zarr"]), opened(shards["depth"]), [0, 1])
    found["evaluation"] = np.stack([sample.noisy for sample in test_set.samples(dose)])
    block = Micrograph(dataset="d", defocus_nm=5, pixel_pm=PIXEL)
    record_micrograph(block, lens, dosed(dose), 0, vacuum, tmp_path / "camera.npz", code="c")
    counts = np.load(tmp_path / "camera.npz")["counts"]
    assert counts.mean() == pytest.approx(electrons, rel=0.02)
    found["recording"] = counts / electrons
    for name, values in found.items():
        values = np.asarray(values, float)
        assert values.mean() == pytest.approx(1, abs=0.02), name
        assert values.var() == pytest.approx(1 / electrons, rel=5 * np.sqrt(2 / values.size)), name


# --- lens and camera ------------------------------------------------------------------------------------------------


def test_a_recording_draws_its_lens_from_the_stream_of_lenses(shards, vacuum, tmp_path):
    """The noise of vacuum is the same whatever the lens draws; the lens is the stream's."""
    block, ranges = Micrograph(dataset="d", defocus_nm=5, pixel_pm=PIXEL), Imaging(c3_um=(-40, 40), a1_nm=(0, 9))
    counts = []
    for number, lens in enumerate((LENS, ranges)):
        out = tmp_path / f"{number}.npz"
        record_micrograph(block, lens, dosed(2.5), 0, vacuum, out, code="c")
        counts.append(np.load(out)["counts"])
    assert np.mean(counts[0] != counts[1]) < 1e-3
    record_micrograph(block, ranges, dosed(MANY), 1, shards["waves"][0], tmp_path / "drawn.npz", code="c")
    values = draw_lens_values(ranges, [5.0], structure_rng(SEED, NAME, 1, "lens", RECORDINGS))
    with open_zarr(shards["waves"][0]) as store:
        wave = torch.as_tensor(store["wave"].values[1:])
        former = image_former(ranges, store.attrs, wave.shape[-1] // 2, "cpu")
    expected = former.form(wave, Lens.from_values(lens_fields(values)))[0].numpy()
    found = np.load(tmp_path / "drawn.npz")["counts"] / (MANY * 16)
    np.testing.assert_allclose(found, expected, atol=3e-3)


@pytest.mark.parametrize("nyquist", [0.5, 1.0])
def test_a_recordings_mtf_is_of_its_own_pixel(tmp_path, nyquist):
    """A weak fringe of four pixels' period: half the Nyquist frequency of the micrograph's pixel."""
    pixel, cell, order, weak = 20.0, 1280.0, 16, 0.05
    wave = np.zeros((1, 1, 2 * order + 3, 2 * order + 3))
    wave[..., 0, 0] = 1
    wave[..., 0, [order, -order]] = weak
    waves = write_waves(tmp_path / "waves.zarr", wave, cell, 8 * pixel)
    lens = Imaging(
        defocus_nm=(0,), c3_um=0, c5_mm=0, focal_spread_nm=0, convergence_mrad=0, image_spread_pm=0, mtf_nyquist=nyquist
    )
    block = Micrograph(dataset="d", defocus_nm=0, pixel_pm=pixel)
    record_micrograph(block, lens, dosed(MANY), 0, waves, tmp_path / "camera.npz", code="c")
    counts = np.load(tmp_path / "camera.npz")["counts"]
    assert counts.shape == (48, 48)
    fringe = 2 * np.abs(np.fft.fft2(counts / counts.mean())[0, 12]) / counts.size
    clean = 4 * weak / (1 + 2 * weak**2) * np.sinc(0.25)  # of |1 + 2ε cos|², over a pixel's width
    assert fringe == pytest.approx(clean * nyquist**0.5, rel=2e-3)


def test_ranges_of_spread_and_convergence_are_drawn_for_each_image(shards, vacuum):
    """Images of a batch of many lenses are those of each lens by itself, and vacuum is 1."""
    block = Imaging(defocus_nm=(5,), focal_spread_nm=(3, 5), convergence_mrad=(0.1, 0.4))
    values = draw_lens_values(block, [5.0] * 4, structure_rng(SEED, NAME, 0, "lens"))
    for name in ("focal_spread_nm", "convergence_mrad"):
        low, high = getattr(block, name)
        assert len(set(values[name])) == 4 and low <= values[name].min() <= values[name].max() <= high
    lens = Lens.from_values(lens_fields(values))
    images = {}
    for place in (vacuum, shards["waves"][0]):
        with open_zarr(place) as store:
            wave = torch.as_tensor(store["wave"].values[:1]).expand(4, -1, -1, -1)
            former = image_former(block, store.attrs, wave.shape[-1] // 2, "cpu")
        images[place] = former.form(wave, lens)
        together = former._form(wave, lens)  # as on a GPU: all in one batch
        torch.testing.assert_close(together, images[place], atol=1e-5, rtol=0)
    torch.testing.assert_close(images[vacuum], torch.ones(4, 64, 64), atol=1e-5, rtol=0)
    specimen = images[shards["waves"][0]]
    assert torch.isfinite(specimen).all()
    for one in range(4):
        fixed = block.model_copy(update={name: values[name][one] for name in ("focal_spread_nm", "convergence_mrad")})
        own = Lens.from_values(lens_fields(draw_lens_values(fixed, [5.0], np.random.default_rng())))
        torch.testing.assert_close(former.form(wave[:1], own), specimen[one : one + 1], atol=1e-5, rtol=0)
    assert (specimen[0] - specimen[1]).abs().max() > 1e-3
