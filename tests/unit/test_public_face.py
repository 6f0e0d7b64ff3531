"""``import segdepth``: what it offers works on arrays, is quick to import, and predicts with the core install alone."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from ase import Atoms
from conftest import CERIA, SMALL_BEAM, small_slab
from film_data import KNOWN, crystal_film, open_prediction, predict_micrograph, small_network, vacuum_film
from film_data import card as own_card

import segdepth
from segdepth.crystals import Crystal
from segdepth.errors import ConfigError, MicrographError, StoreError
from segdepth.micrograph.results.tables import HEADER
from segdepth.networks.files import load_network


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("a network"))


def counts(frames=2):
    return vacuum_film(frames)


def run(code: str) -> str:
    """Python in a process of its own."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names():
    assert segdepth.__version__
    for name in segdepth.__all__:
        assert callable(getattr(segdepth, name)) and name in dir(segdepth)
    with pytest.raises(AttributeError, match="no attribute 'lessons'"):
        segdepth.lessons  # noqa: B018


def test_memory_and_the_command_say_the_same(tmp_path, model):
    """To the bit; what the user should see is a warning."""
    source = tmp_path / "film of mine.npz"
    np.savez(source, counts=crystal_film(2), other=np.zeros(3))
    told = predict_micrograph(source, tmp_path / "out", model=model, false_discovery=1)
    with segdepth.read(source) as recording, pytest.warns(UserWarning, match="not known"):
        maps, columns = segdepth.predict(recording, network=model, device="cpu", false_discovery=1)
    stored = open_prediction(tmp_path / "out").load()
    attributes = {name: value for name, value in stored.attrs.items() if name in maps.attrs}
    xr.testing.assert_identical(maps, stored.drop_attrs(deep=False).assign_attrs(attributes))
    assert maps.attrs["warnings"] == list(told)
    assert not np.array_equal(maps["counts"], maps["confidence"], equal_nan=True)
    assert maps["column"].attrs["units"] == "pm"
    assert list(columns.columns) == HEADER
    stored_columns = pd.read_csv(tmp_path / "out" / "columns.csv")
    assert len(stored_columns) == len(columns) and (stored_columns["frame"] == columns["frame"].to_numpy()).all()


def test_the_lattice_of_an_array_or_a_recording(tmp_path):
    film = crystal_film(2)
    np.save(tmp_path / "film.npy", film)
    ceria = segdepth.crystal("CeO2", (1, 1, 0), (0, 0, 1))
    with segdepth.read(tmp_path / "film.npy") as recording:
        assert recording.count == 2 and recording.shape == film.shape[1:] and recording.pixel_pm is None
        for counts in (film, recording):
            found = segdepth.calibrate(counts, ceria)
            assert found.pixel_pm == pytest.approx(7.0, rel=0.007) and found.area.shape == recording.shape
    with pytest.raises(MicrographError, match="no lattice at all"):
        segdepth.calibrate(vacuum_film(), ceria)


def test_a_network_is_a_folder_or_loaded_before(model):
    network, card = segdepth.load_network(model, device="cpu")
    assert Crystal.from_dict(card.crystal) == CERIA and card.labels == own_card().labels and not network.training
    with pytest.warns(UserWarning):
        first = segdepth.predict(counts(1)[0], network=(network, card), **KNOWN).maps
        again = segdepth.predict(counts(1), network=model, device="cpu", **KNOWN).maps
    for maps, name in ((first, "given"), (again, model.name)):
        assert json.loads(maps.attrs.pop("network"))["name"] == name
    xr.testing.assert_identical(first, again)


@pytest.mark.parametrize(
    "array, options, kind, expected",
    [
        (np.ones(7), {}, MicrographError, "a line of 7"),
        (np.ones((20, 30), complex), {}, MicrographError, "complex"),
        (np.ones((20, 30)), {}, MicrographError, "it is empty: every usable pixel is 1"),
        (vacuum_film(), {"calibrate": True}, MicrographError, "no lattice at all"),
        (np.ones((20, 30)), {"pixel_pm": 0.01}, ConfigError, "pixel_pm: got 0.01"),
        (np.ones((20, 30)), {"pixel_pm": None}, ConfigError, "needs pixel_pm and rotation_deg"),
        (np.ones((20, 30)), {"rotation_deg": float("nan")}, ConfigError, "rotation_deg"),
        (np.ones((20, 30)), {"precision": "half"}, ConfigError, "precision"),
        (np.ones((20, 30)), {"vacuum_counts": 3}, ConfigError, "vacuum_counts: unknown key"),
        (np.ones((20, 30)), {"network": "nowhere"}, StoreError, "network.json"),
        (np.ones((20, 30)), {"network": 3}, ConfigError, "network: got int"),
        (None, {}, MicrographError, "numbers|objects"),
    ],
)
def test_bad_input_is_one_line(model, array, options, kind, expected):
    given = KNOWN | {"network": model, "device": "cpu"} | options
    with pytest.raises(kind, match=expected) as failure:
        segdepth.predict(array, **given)
    assert "\n" not in str(failure.value)


def test_a_crystal():
    """The function has the name of a room, which stays a room."""
    made = segdepth.crystal("CeO2", zone_axis=(1, 1, 0), x_axis=(0, 0, 1))
    assert isinstance(made, Crystal) and made.columns == CERIA.columns and made.periods_pm == CERIA.periods_pm
    assert segdepth.crystal("CeO2", (1, 1, 0), (0, 0, 1), lattice_pm=550).periods_pm[0] == pytest.approx(550)
    with pytest.raises(ConfigError, match="not perpendicular"):
        segdepth.crystal("CeO2", (1, 1, 0), (1, 0, 0))
    out = run("import segdepth; print(segdepth.crystal('CeO2', (1, 1, 0), (0, 0, 1)).title)")
    assert out.strip() == "CeO2 [110]"


def test_atoms_to_images(abtem):
    """Vacuum is 1, thicker crystal is stronger contrast, and with electrons the image is Poisson counts."""
    atoms, block = small_slab(4)
    image = segdepth.simulate(atoms, beam=SMALL_BEAM, defocus_nm=[3, 6], pixel_pm=6.3, device="cpu")
    assert image.dims == ("defocus", "y", "x") and image.shape == (2, 214, 214)
    assert list(image["defocus"].values) == [3, 6] and image["x"].attrs["units"] == "pm" == image["y"].attrs["units"]
    vacuum = image.isel(y=slice(-30, None))
    assert float(vacuum.mean()) == pytest.approx(1, abs=0.02) and float(image.std()) > 3 * float(vacuum.std())
    assert atoms.info["crystal"] == image.attrs["crystal"]
    noisy = segdepth.simulate(
        atoms, beam=SMALL_BEAM, defocus_nm=6, pixel_pm=6.3, electrons_per_pixel=20, seed=1, device="cpu"
    )
    assert noisy.attrs["units"] == "electrons" and noisy.dtype == np.int64
    off = (noisy.values[0] - 20 * image.values[1]) / np.sqrt(20 * image.values[1])
    assert abs(off.mean()) < 0.02 and off.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"defocus_nm": float("nan")}, "defocus_nm"),
        ({"defocus_nm": [3, "far"]}, "defocus_nm"),
        ({"defocus_nm": []}, "defocus_nm"),
        ({"pixel_pm": 0}, "pixel_pm"),
        ({"electrons_per_pixel": -1}, "electrons_per_pixel"),
        ({"seed": -1}, "seed"),
        ({"device": "tpu", "beam": {"debye_waller_pm": {"Au": 8}}}, "device"),
        ({"beam": "300 kV"}, "beam"),
        ({"imaging": {"c1": 3}}, "c1"),
        ({"atoms": "CeO2"}, "atoms: got str"),
    ],
)
def test_bad_values_of_a_simulation_are_one_line(options, expected):
    given = {"atoms": Atoms("Au", positions=[(8, 6, 4)], cell=(16, 12, 8))} | options
    with pytest.raises(ConfigError, match=expected) as failure:
        segdepth.simulate(**given)
    assert "\n" not in str(failure.value)


def test_atoms_from_elsewhere_need_vibrations(abtem):
    gold = Atoms("Au", positions=[(8, 6, 4)], cell=(16, 12, 8), pbc=True)
    with pytest.raises(ConfigError, match="has no Au"):
        segdepth.simulate(gold, pixel_pm=20)
    image = segdepth.simulate(gold, beam={"debye_waller_pm": {"Au": 8}}, defocus_nm=5, pixel_pm=20, device="cpu")
    peak = np.unravel_index(np.argmax(image.values[0]), image.shape[1:])
    assert image.shape == (1, 60, 80) and np.allclose(peak, (29.5, 39.5), atol=0.6)


def test_the_import_brings_nothing_heavy():
    heavy = ("torch", "scipy", "pandas", "xarray", "zarr", "matplotlib", "ase", "abtem", "lightning", "snakemake")
    out = run(f"""
        import sys
        from segdepth import predict, read, calibrate, simulate, load_network
        print([name for name in {heavy!r} if name in sys.modules])
    """)
    assert out.strip() == "[]"


def test_prediction_needs_the_core_alone(tmp_path, model):
    """With ASE, abTEM, Lightning, Snakemake and the optimizer's package locked away."""
    np.save(tmp_path / "a frame.npy", crystal_film(1)[0])
    out = run(f"""
        import sys

        LOCKED = {{"ase", "abtem", "lightning", "snakemake", "pytorch_optimizer", "numba"}}

        class Lock:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in LOCKED:
                    raise ModuleNotFoundError(f"{{name}} is locked away")

        sys.meta_path.insert(0, Lock())
        from segdepth.cli import main

        arguments = ["--model", {str(model)!r}, "--device", "cpu"]
        sys.argv = ["segdepth", "predict", *arguments, "--out", {str(tmp_path / "out")!r}, {str(tmp_path / "a frame.npy")!r}]
        try:
            main()
        except SystemExit as done:
            print("status", done.code)
    """)  # noqa: E501
    assert out.strip().endswith("status 0")
    assert (tmp_path / "out" / "columns.csv").exists()


def test_a_card_without_a_crystal_is_refused(tmp_path, model):
    network, card = load_network(model)
    with pytest.raises(StoreError, match="'crystal' is empty"):
        segdepth.predict(counts(1), **KNOWN, network=(network, replace(card, crystal={})))
