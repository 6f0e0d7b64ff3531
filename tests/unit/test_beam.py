"""Beams with ranges: what each structure draws, and atoms that say nothing about themselves."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from conftest import SMALL_BEAM, relative

from segdepth.config import Beam, Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.beam import PARAMETRIZATIONS, resolve_beam, sample_beam, vibrations_pm
from segdepth.simulation.exit_wave import exit_wave
from segdepth.steps.form_images import form_images
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.store.zarr_store import open_zarr

CRYSTAL = {"Ce": 6.6, "O": 8.5}
RANGES = {"debye_waller_scale": (0.5, 2), "random_tilt_mrad": (2, 6), "parametrization": ("lobato", "peng")}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_carbon_vibrates_by_7_pm_where_nothing_else_is_said():
    """A support is no part of the crystal."""
    found = resolve_beam(Beam(), ["Ce", "C"], CRYSTAL, rng()).debye_waller_pm
    assert found == {"Ce": CRYSTAL["Ce"], "C": 7.0}
    assert resolve_beam(Beam(), ["C"], {"C": 5.0}, rng()).debye_waller_pm == {"C": 5.0}
    assert resolve_beam(Beam(debye_waller_pm={"C": 4.0}), ["C"], {"C": 5.0}, rng()).debye_waller_pm == {"C": 4.0}


def test_a_beam_without_ranges_draws_nothing():
    beam = Beam(tilt_mrad=(1, 2))
    assert sample_beam(beam, rng()) == beam
    assert vibrations_pm(resolve_beam(beam, ["O", "Ce"], CRYSTAL, rng())) == CRYSTAL


def test_draws_lie_in_their_ranges_and_in_every_direction():
    beams = [sample_beam(Beam(**RANGES, tilt_mrad=(10, 20)), rng(seed)) for seed in range(400)]
    scales = np.array([beam.debye_waller_scale for beam in beams])
    tilts = np.array([beam.tilt_mrad for beam in beams]) - (10, 20)
    size, turn = np.hypot(*tilts.T), np.arctan2(*tilts.T[::-1])
    assert 0.5 <= scales.min() < 0.55 and 1.95 < scales.max() <= 2
    assert 2 <= size.min() < 2.1 and 5.9 < size.max() <= 6
    assert np.abs(np.exp(1j * turn).mean()) < 0.12
    assert 150 < sum(beam.parametrization == "peng" for beam in beams) < 250


@pytest.mark.parametrize("key", RANGES)
def test_one_range_more_changes_no_other_draw(key):
    whole = sample_beam(Beam(**RANGES), rng(5))
    field = "tilt_mrad" if key == "random_tilt_mrad" else key
    assert getattr(sample_beam(Beam(**{key: RANGES[key]}), rng(5)), field) == getattr(whole, field)


def test_the_scale_is_a_factor_on_b():
    """B = 8π²u²: four times B is twice u, in the wave too."""
    atoms = Atoms("O", positions=[(3, 4, 2)], cell=(16, 16, 4), pbc=True)
    scaled = resolve_beam(Beam(debye_waller_scale=4.0), ["O"], {"O": 5.0}, rng())
    assert vibrations_pm(scaled) == {"O": 10.0}
    wave = exit_wave(atoms, scaled)
    assert np.array_equal(wave, exit_wave(atoms, Beam(debye_waller_pm={"O": 10.0})))
    assert relative(wave, exit_wave(atoms, Beam(debye_waller_pm={"O": 20.0}))) > 0.05


def test_the_block_comes_before_the_crystal_and_lacking_elements_are_named():
    beam = Beam(debye_waller_pm={"O": 3.0})
    assert vibrations_pm(resolve_beam(beam, ["Ce", "O"], CRYSTAL, rng())) == {"Ce": 6.6, "O": 3.0}
    with pytest.raises(ConfigError, match=r"debye_waller_pm: has no Ti, Sr, and neither") as told:
        resolve_beam(beam, ["Ti", "O", "Sr"], CRYSTAL, rng())
    assert "\n" not in str(told.value)
    with pytest.raises(ConfigError, match="beam.random_tilt_mrad"):
        exit_wave(Atoms("O", cell=(16, 16, 4)), Beam(random_tilt_mrad=(0, 1), debye_waller_pm=CRYSTAL))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, abtem):
    """Two structures in a rectangular cell that say nothing of themselves, their waves and images."""
    folder = tmp_path_factory.mktemp("elsewhere")
    places = [(3, 4, 2), (9, 12, 2), (5, 16, 4)]
    frames = [Atoms("OOCe", positions=np.add(places, shift), cell=(12, 20, 6), pbc=True) for shift in (0, 0.5)]
    ase.io.write(folder / "atoms.extxyz", frames, format="extxyz")
    beam = SMALL_BEAM.model_copy(update=RANGES)
    simulate_waves(beam, folder / "atoms.extxyz", folder / "waves.zarr", code="c", device="cpu")
    imaging = Imaging(defocus_nm=(5,), pixel_pm=20.0)
    form_images(imaging, folder / "waves.zarr", folder / "images.zarr", code="c", device="cpu")
    return folder, frames, beam


def test_atoms_from_elsewhere_are_simulated(elsewhere):
    folder, frames, beam = elsewhere
    with open_zarr(folder / "waves.zarr") as store:
        assert store.attrs["cell_pm"] == [1200, 2000] and store.attrs["field_pm"] == [1200, 2000]
        assert [store.attrs[name] for name in ("margin_pm", "specimen", "root_seed", "crystal")] == [0, "", 0, ""]
        for row, frame in enumerate(frames):
            one = store.isel(structure=row)
            own = beam.model_copy(
                update={
                    "tilt_mrad": (float(one["tilt_x_mrad"]), float(one["tilt_y_mrad"])),
                    "random_tilt_mrad": (0.0, 0.0),
                    "debye_waller_scale": float(one["debye_waller_scale"]),
                    "parametrization": PARAMETRIZATIONS[int(one["parametrization"])],
                }
            )
            assert np.array_equal(one["wave"].values[0], exit_wave(frame, own))
    with open_zarr(folder / "images.zarr") as store:
        assert store["intensity"].shape == (2, 1, 100, 60) and store.attrs["cell_pm"] == [1200, 2000]
