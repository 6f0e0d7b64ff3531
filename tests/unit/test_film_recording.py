"""A film of known truth: the chain of its columns, the composed waves, and what is written."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import CERIA, SMALL, SMALL_BEAM, small_slab
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Beam, Film, Imaging, Specimen
from segdepth.config.fields import PAPER_PIXEL_PM
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.ideal_observer_columns import with_exit_atom, without_exit_atom
from segdepth.specimen.columns import column_table
from segdepth.specimen.surface_changes import draw_changing, markov_steps, vacuum_distance
from segdepth.steps.record_film import write_stacks

FIELD = 1352.75


def test_distance_to_the_vacuum_is_that_to_the_nearest_empty_place():
    y = np.arange(-300.0, 901.0, 100.0)
    x = np.arange(-300.0, 1701.0, 100.0)
    columns = pd.DataFrame([(a, b) for a in x for b in y], columns=["x_pm", "y_pm"])
    found = vacuum_distance(columns, (1400.0, 1600.0))
    within = columns["x_pm"].between(0, 1400).to_numpy()
    assert np.abs(found - (900 - columns["y_pm"]))[within].max() < 60  # the grid's step
    assert np.isinf(vacuum_distance(columns, (1400.0, 600.0))).all()


def test_changing_columns_are_at_the_surface_and_of_each_element():
    atoms, block = small_slab(4)
    table = column_table(atoms, block.margin_pm, block.field_pm, block.margin_pm)
    numbers = [ATOMIC_NUMBER[element] for element in CERIA.elements]
    rows = draw_changing(
        table, numbers, block.field_pm, each=2, reach_pm=500, edge_pm=200, most_atoms=10, rng=np.random.default_rng(3)
    )
    drawn = table.iloc[rows]
    assert sorted(drawn["element"]) == sorted(2 * numbers) and len(set(rows)) == 4
    top = table["y_pm"].max()
    assert (drawn["y_pm"] > top - 900).all() and drawn["x_pm"].between(200, FIELD - 200).all()
    none = draw_changing(
        table, numbers, block.field_pm, each=2, reach_pm=500, edge_pm=200, most_atoms=4, rng=np.random.default_rng(3)
    )
    assert not len(none)  # no count above is left


@given(st.floats(0.3, 3.0), st.integers(0, 100))
def test_a_chain_dwells_as_long_as_it_should(dwell, seed):
    """Steps are of one atom; changes seen are those of the rate, less what comes and goes between two frames."""
    frame, frames, columns = 0.05, 400, 200
    steps = markov_steps(np.full(columns, dwell), frame, frames, np.random.default_rng(seed))
    assert set(np.unique(steps)) <= {-1, 0, 1}
    changes = (np.diff(steps.astype(int)) != 0).mean() / frame
    # away from 0 after a time t: (1 - exp(-2t/dwell)) / 2; from -1 or 1 to the other side it is seen as a change too
    share = np.exp(-2 * frame / dwell)
    away = (1 - share) / 2
    expected = (0.5 * away + 0.5 * (away + 0.5 * (1 - away - np.exp(-frame / dwell)))) / frame
    assert abs(changes / expected - 1) < 0.12
    assert abs((steps == 0).mean() - 0.5) < 0.12


def test_waves_of_a_frame_are_composed_of_single_changes(abtem):
    """Against a multislice of the changed structure: one change is exact, several have an error of second order."""
    from segdepth.simulation.exit_wave import exit_wave
    from segdepth.simulation.film_waves import FilmWaves

    atoms, block = small_slab(4)
    table = column_table(atoms, block.margin_pm, block.field_pm)
    chosen = table.sort_values("y_pm").tail(5)["column"].tolist()  # neighbours at the surface

    def changed(given, column, step):
        return (with_exit_atom if step > 0 else without_exit_atom)(given, column, CERIA)

    waves = FilmWaves(atoms, SMALL_BEAM, chosen, changed)
    one = [0, -1, 0, 0, 0]
    assert np.abs(waves.wave(one) - exit_wave(changed(atoms, chosen[1], -1), SMALL_BEAM)).max() < 1e-6
    assert np.array_equal(waves.wave([0] * 5), waves.plain)
    steps = [1, -1, 1, 1, -1]
    every = atoms
    for column, step in zip(chosen, steps):
        every = changed(every, column, step)
    true = exit_wave(every, SMALL_BEAM)
    error = np.linalg.norm(waves.wave(steps) - true) / np.linalg.norm(true - waves.plain)
    assert error < 0.01  # 0.003 was found


def test_a_moved_wave_shows_the_image_elsewhere():
    from segdepth.simulation.film_waves import moved

    rng = np.random.default_rng(1)
    wave = np.fft.fft2(rng.normal(size=(7, 9)))  # orders -3 ... 3 and -4 ... 4
    shifted = np.fft.ifft2(moved(wave, (900.0, 700.0), 200.0, -300.0))
    assert np.allclose(shifted, np.roll(np.fft.ifft2(wave), (-3, 2), (0, 1)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, abtem):
    """A small film at two doses, and the blocks that made it."""
    import ase.io

    from segdepth.steps.record_film import record_film
    from segdepth.store.claims import release_all

    folder = tmp_path_factory.mktemp("film")
    atoms, block = small_slab(4)
    ase.io.write(folder / "atoms.extxyz", [atoms], format="extxyz")
    film = Film(
        dataset="small", frames=6, dose_lambda=(2.0, 200.0), pixel_pm=9.1, changing_columns=1, dwell_s=(0.05, 0.1),
        drift_pm_per_s=100,
    )  # fmt: skip
    imaging = Imaging(focal_steps=5)
    beam = Beam(pixel_pm=12, slice_pm=191.3)
    given = film, imaging, block, beam, 0, 10, folder / "atoms.extxyz"
    record_film(*given, folder / "film", code="c", device="cpu")
    release_all()
    return folder / "film", given


def test_a_film_is_read_as_a_camera_wrote_it(recorded):
    from segdepth.micrograph.files import open_recording

    folder, (film, *_) = recorded
    with open_recording(folder / "lambda-2.tif") as few, open_recording(folder / "lambda-200.tif") as many:
        assert few.count == 6 and few.shape == (148, 148)
        assert few.pixel_pm == pytest.approx(9.1, rel=1e-4)
        assert np.allclose(few.times_s, 0.13 * np.arange(6), atol=1e-6)
        ratio = many.read_frame(3).mean() / few.read_frame(3).mean()
    assert ratio == pytest.approx(100, rel=0.02)


def test_the_truth_names_what_changes(recorded):
    from segdepth.store.zarr_store import open_zarr

    folder, (film, *_) = recorded
    with open_zarr(folder, "record-film", part="truth.zarr") as truth:
        atoms, changes = truth["atoms"].values, truth["changes"].values
        assert 1 <= changes.sum() <= 2 and atoms.shape[1] == 6
        assert np.ptp(atoms[~changes], axis=1).max() == 0
        assert np.ptp(atoms[changes], axis=1).max() >= 1
        assert (truth["d_prime_minus"].values[changes] > 0).all()
        assert np.isnan(truth["d_prime_plus"].values[~changes]).all()
        drift = np.stack([truth["drift_x_pm"].values, truth["drift_y_pm"].values])
        assert np.allclose(np.hypot(*np.diff(drift)), 13.0) and np.allclose(drift.mean(axis=1), 0)
        assert truth["time_s"].attrs["units"] == "s" and truth["atoms"].attrs["units"] == "atoms"


def test_a_second_recording_is_the_same(recorded, tmp_path):
    from segdepth.steps.record_film import record_film
    from segdepth.store.claims import release_all
    from segdepth.store.manifest import content_hash

    folder, given = recorded
    record_film(*given, tmp_path / "film", code="c", device="cpu")
    release_all()
    assert content_hash(tmp_path / "film") == content_hash(folder)


def test_a_recording_is_the_same_whatever_other_doses_there_are(recorded, tmp_path):
    from segdepth.steps.record_film import record_film
    from segdepth.store.claims import release_all

    folder, (film, *rest) = recorded
    other = film.model_copy(update={"dose_lambda": (200.0, 3.0)})
    record_film(other, *rest, tmp_path / "film", code="c", device="cpu")
    release_all()
    name = film.stack(200.0)
    assert (tmp_path / "film" / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "film" / film.stack(2.0)).exists()


def small_film(**changes) -> Film:
    return Film(**{"dataset": "small", "frames": 500, "dose_lambda": (2.0, 7.0), "pixel_pm": PAPER_PIXEL_PM} | changes)


def flat_frames(film: Film, shape=(30, 44), level=1.0):
    return (np.full(shape, level + (n == 3), np.float32) for n in range(film.frames))


def written(film: Film, folder, **given) -> None:
    noise = [np.random.default_rng(int(dose)) for dose in film.dose_lambda]
    write_stacks(folder, flat_frames(film, **given), (30, 44), film, 1.0, noise)


def test_stacks_are_written_frame_by_frame(tmp_path):
    """Memory is that of a few frames, and a frame's counts are those of one draw over all frames."""
    film = small_film()
    written(small_film(frames=2), tmp_path)  # what tifffile imports
    tracemalloc.start()
    try:
        written(film, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < film.frames * 30 * 44 * 2
    for dose in film.dose_lambda:
        with tifffile.TiffFile(tmp_path / film.stack(dose)) as stack:
            counts = stack.asarray()
            assert stack.imagej_metadata["finterval"] == film.frame_s and stack.series[0].axes == "TYX"
        assert counts.shape == (500, 30, 44) and counts.dtype == np.uint16
        whole = np.stack(list(flat_frames(film)))
        assert np.array_equal(counts, np.random.default_rng(int(dose)).poisson(whole * dose))


def test_a_dose_that_a_stack_cannot_hold_is_refused_before_any_simulation(recorded, tmp_path):
    from segdepth.steps.record_film import check_counts, record_film

    film, imaging = small_film(dose_lambda=(2.0, 8191.0)), Imaging()
    check_counts(film, imaging)
    said = "dose_lambda: got 8192, which may make more than the 65535 electrons .* allowed: at most 8191.88$"
    with pytest.raises(ConfigError, match=said):
        check_counts(small_film(dose_lambda=(8192.0, 2.0)), imaging)
    _, (small, imaging, block, beam, structure, most, _) = recorded
    loud = small.model_copy(update={"dose_lambda": (9000.0,)})
    with pytest.raises(ConfigError, match="got 9000"):
        record_film(loud, imaging, block, beam, structure, most, tmp_path / "none", tmp_path / "film", code="c")
    with pytest.raises(ConfigError, match="electrons in a pixel; a stack holds 65535"):
        written(small_film(frames=2, dose_lambda=(8000.0,)), tmp_path, level=9.0)


def test_films_that_cannot_be_made_are_refused(recorded, tmp_path):
    from segdepth.steps.record_film import record_film

    _, (film, imaging, block, beam, *rest) = recorded
    tilted = Specimen(**{**SMALL, "tilt_deg": (0, 1)})
    fast = film.model_copy(update={"drift_pm_per_s": 900.0})
    for blocks, said in (((film, imaging, tilted, beam), "tilt_deg"), ((fast, imaging, block, beam), "drift_pm_per_s")):
        with pytest.raises(ConfigError, match=said):
            record_film(*blocks, *rest, tmp_path / "film", code="c", device="cpu")
    with pytest.raises(StoreError, match="structure 7"):
        record_film(film, imaging, block, beam, 7, *rest[1:], tmp_path / "film", code="c", device="cpu")
    with pytest.raises(ValueError, match="twice"):
        Film(dataset="small", dose_lambda=(2.0, 2.0))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"frame_s": 0.2}, "film: frame_s: got 0.2; .*film was recorded with 0.13"),
        ({"frames": 5}, "film: frames: got 5; .*film was recorded with 6"),
        ({"dose_lambda": (2.0, 20.0)}, "film: dose_lambda: got 20; .*film was recorded at 2, 200"),
    ],
)
def test_a_film_that_was_recorded_otherwise_is_not_measured(recorded, tmp_path, changes, said):
    from segdepth.steps.measure_film import measure_film

    folder, (film, *_) = recorded
    given = film.model_copy(update=changes), written_network(tmp_path), folder, tmp_path / "out"
    with pytest.raises(ConfigError, match=said) as failure:
        measure_film(*given, name="small", code="c", device="cpu")
    assert "\n" not in str(failure.value) and not (tmp_path / "out").exists()


def written_network(folder, seen="another"):
    """A network that has learnt nothing, of structures of the specimen ``seen``, as an artefact."""
    from film_data import small_network

    from segdepth.store.manifest import write_artefact

    (folder / "source").mkdir()
    record = {"specimen": seen, "root_seed": 0, "structures": 1, "splits": {"test": 0, "validation": 0, "train": 1}}
    network = small_network(folder / "source", training_record=[record])
    with write_artefact(folder / "network", command="train-model", code="c", inputs=[], parameters={}) as partial:
        network.rename(partial)
    return folder / "network"


def test_a_film_of_what_the_network_was_trained_on_is_not_measured(recorded, tmp_path):
    from segdepth.steps.measure_film import measure_film
    from segdepth.store.manifest import read_manifest

    folder, (film, *_) = recorded
    seeds = read_manifest(folder)["seeds"]
    assert seeds["root_seed"] == 0
    given = film, written_network(tmp_path, seeds["specimen"]), folder, tmp_path / "out"
    with pytest.raises(
        ConfigError, match=r"film 'small': the network 'network' was trained on 1 .* \(the first is 0\)"
    ):
        measure_film(*given, name="small", code="c", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_network_that_sees_all_finds_all_events(recorded, tmp_path, monkeypatch):
    """The step from the recording to the tables, with tracks that are the truth itself."""
    import xarray as xr

    from segdepth.crystals.elements import SYMBOLS
    from segdepth.steps import measure_film as step
    from segdepth.steps.tabulate_film import tabulate_film
    from segdepth.store.claims import release_all
    from segdepth.store.manifest import check_whole
    from segdepth.store.zarr_store import open_zarr

    folder, (film, *_) = recorded
    with open_zarr(folder, "record-film", part="truth.zarr") as stored:
        truth = stored.load()

    def seen(self, block):
        count = film.frames // block
        atoms = truth["atoms"].values[:, : count * block].reshape(-1, count, block)[..., 0]
        drift = [truth[f"drift_{axis}_pm"].values[: count * block].reshape(-1, block).mean(1) for axis in "xy"]
        probability = np.full((*atoms.shape, 12), 0.002)
        np.put_along_axis(probability, atoms[..., None].astype(int), 0.978, axis=2)
        places = {f"{a}_pm": truth[f"{a}_pm"].values[:, None] + d for a, d in zip("xy", drift)}

        def text(unit="1"):
            return {"units": unit, "long_name": "made up"}

        names = [f"{n},0,X" for n in range(len(atoms))]
        return xr.Dataset(
            {"probability": (("column", "frame", "class"), probability, text())}
            | {name: (("column", "frame"), values, text("pm")) for name, values in places.items()},
            {
                "column": ("column", names, text()),
                "element": ("column", [SYMBOLS[n] for n in truth["element"].values], text()),
                "place": ("column", ["edge"] * len(atoms), text()),
                "frame": ("frame", np.arange(count), text()),
                "time_s": ("frame", np.arange(count) * film.frame_s * block, text("s")),
            },
            {"frame_s": film.frame_s * block, "title": "made up"},
        )

    monkeypatch.setattr(step._Predicted, "tracks", seen)
    step.measure_film(film, written_network(tmp_path), folder, tmp_path / "out", name="small", code="c", device="cpu")
    release_all()
    scores = pd.read_csv(tmp_path / "out" / "scores.csv").query("element == 'all'")
    assert set(scores["dose_lambda"]) == {2, 200} and set(scores["method"]) == {"frame", "hmm", "hmm_listed"}
    first = scores.iloc[0][["film", "network", "frames", "frame_s", "columns"]].tolist()
    assert first == ["small", "network", 6, 0.13, truth["changes"].values.sum()]
    single = scores[scores["method"] == "frame"]
    assert (single["precision"] == 1).all() and (single["recall"] == 1).all() and (single["timing_s"] < 1e-9).all()
    told = pd.read_csv(tmp_path / "out" / "detectability.csv")
    both = told.sort_values("dose_lambda")["d_prime"].to_numpy()
    assert both[1] / both[0] == pytest.approx(10) and (told["frames_needed"] > 0).all()
    for table in ("scores", "dwell", "detectability"):
        kept = tmp_path / f"film_{table}.csv"
        tabulate_film(table, tmp_path / "out", kept, code="c")
        assert kept.read_bytes() == (tmp_path / "out" / f"{table}.csv").read_bytes()
        check_whole(kept, "tabulate-film")
    with pytest.raises(ConfigError, match="TABLE: got 'tracks'; allowed: scores, dwell, detectability"):
        tabulate_film("tracks", tmp_path / "out", tmp_path / "tracks.csv", code="c")
    with open_zarr(tmp_path / "out", "measure-film", part="lambda-2/tracks.zarr") as tracks:
        assert (tracks.attrs["film"], tracks.attrs["network"], tracks.attrs["dose_lambda"]) == ("small", "network", 2)
        assert np.array_equal(tracks["true_atoms"].values, truth["atoms"].values)
        assert sum(tracks.attrs[f"changing_{name}"] for name in ("Ce", "O")) == truth["changes"].values.sum()
        assert np.array_equal(tracks["changes"].values, truth["changes"].values)
