"""The whole job: files in, maps and columns out, and nothing written where the input is bad."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from column_data import ideal
from conftest import CERIA, RINGS
from film_data import (
    KNOWN,
    PIXEL,
    Oracle,
    card,
    crystal_film,
    open_prediction,
    predict_micrograph,
    small_network,
    vacuum_film,
    without,
)
from scipy import ndimage
from scipy.spatial import cKDTree

import segdepth
from segdepth.config import PredictionOptions
from segdepth.errors import MicrographError, SegDepthError, StoreError
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.predict import crystal_of, labels_valid, predict_film
from segdepth.micrograph.results.facts import FrameResult, LostFrame
from segdepth.micrograph.results.tables import HEADER
from segdepth.networks.files import load_network, save_network
from segdepth.steps import predict_micrograph as step
from segdepth.store.manifest import check_whole, manifest_path, write_artefact

FILES = {
    *("prediction.html", "prediction.png", "prediction.zarr", "columns.csv", "columns.parquet"),
    *("crystal.extxyz", "depth.ome.tif", "depth.hspy", "summary.json"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bundled():
    """The network that comes with the package, and its card."""
    return segdepth.load_network(device="cpu")


def items(network, film, *, lattice=True, **options):
    """What is found of a recording or an array: (film, one item a frame)."""
    recording = recording_of(film) if isinstance(film, np.ndarray) else film
    chosen = PredictionOptions(**({} if lattice else KNOWN) | options)
    trained, its_card = network
    inspected = inspect_film(recording, crystal_of(its_card), its_card.input_pixel_pm, chosen, lattice=lattice)
    return inspected, list(predict_film(trained, its_card, inspected, chosen, None))


# --- columns in the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle, flip", [(0, False), (98.3, False), (-81.7, True)])
def test_an_oracle_finds_the_columns_where_they_are_in_the_input(angle, flip):
    """An ideal depth map, turned away into an input, comes back with its columns at the input's coordinates."""
    depth, truth = ideal("stepped")
    transform = FrameTransform((500, 430), 6.3, PIXEL, angle, flip)
    left, top = 40 * PIXEL, 100 * PIXEL  # of the field that the input shows
    y, x = (np.indices(transform.shape) + 0.5) * 6.3
    u, v = transform.forward(x, y)
    seen = ndimage.map_coordinates(depth, [(v + top) / PIXEL - 0.5, (u + left) / PIXEL - 0.5], order=0, mode="nearest")
    frame = 40.5 * (seen + 1.0)
    frame[:40, :50] = -5
    options = {"rotation_deg": angle, "flip": flip, "invalid": -5, "gain": 1, "offset": 0}
    dose = 40.5 / 0.063**2
    film, (found,) = items((Oracle(), card()), frame, lattice=False, dose_e_per_a2=dose, **options)
    assert film.transform == transform and found.vacuum_level == pytest.approx(40.5)
    table = found.table
    x, y = transform.inverse(truth["x_pm"] - left, truth["y_pm"] - top)
    height, width = transform.size_pm
    well = (x > 100) & (x < width - 100) & (y > 100) & (y < height - 100) & ~((x < 50 * 6.3 + 60) & (y < 40 * 6.3 + 60))
    distance, row = cKDTree(table[["x_pm", "y_pm"]]).query(np.stack([x[well], y[well]], axis=1))
    assert (distance < 60).mean() > 0.97 and np.sqrt(np.mean(distance[distance < 60] ** 2)) < 15
    element = np.where(truth["element"][well] == 58, "Ce", "O")
    assert (table["element"].to_numpy()[row] == element)[distance < 60].mean() > 0.98
    atoms = truth["atoms"][well].to_numpy()
    assert (np.abs(table["depth"].to_numpy()[row] - atoms) <= 1)[distance < 60].mean() > 0.95
    assert not ((table["x_pm"] < 50 * 6.3) & (table["y_pm"] < 40 * 6.3)).any()


@pytest.mark.parametrize("more", [False, True])
def test_columns_that_the_network_cannot_count_are_told_as_its_card_names_them(more):
    depth, _ = ideal("stepped")
    labels = RINGS.model_copy(update={"most_atoms": 10 - more, "more": more}).model_dump(mode="json")
    frame = 40.5 * (np.maximum(depth + 3 * (depth > 0), 0).clip(max=10)[:250, :250] + 1.0)
    options = {"invalid": -5, "gain": 1, "offset": 0, "pixel_pm": PIXEL}
    its_card = replace(card(), labels=labels)
    _, (found,) = items((Oracle(), its_card), frame, lattice=False, dose_e_per_a2=40.5 / (PIXEL / 100) ** 2, **options)
    wanted = "may have more than 9 atoms" if more else "have at least 10 atoms"
    assert any(f"% of the columns {wanted}: more cannot be told apart" in line for line in found.lines)
    last = found.depth == 10
    assert last.any() and (found.confidence[last].max() < 1) == more and found.confidence[~last].max() == 1
    assert (found.table["confidence"][found.table["depth"] == 10].max() <= 0.999) == more


def test_a_frame_of_which_gain_and_offset_are_not_known_is_not_reliable(model):
    counts = crystal_film(1)
    for frame, level in ((counts, "unknown"), (counts.max() - counts, "outside")):
        film, (found,) = items(load_network(model, "cpu"), frame)
        assert found.familiarity == level and film.camera.sure == found.reliable
        assert any("gain and offset of the camera are not known" in line for line in found.lines) != found.reliable


def test_labels_are_valid_where_half_of_their_input_is():
    valid = np.zeros((9, 13), bool)
    valid[:, :6] = True
    assert np.array_equal(labels_valid(valid, (9, 13), card()), valid)
    coarse = labels_valid(valid, (3, 4), card("full"))
    assert coarse.tolist() == [[True, True, False, False]] * 2 + [[False] * 4]  # a quarter of the last row is input


@pytest.mark.parametrize(
    "turned", [lambda film: film[:, ::-1, ::-1], lambda film: film[:, :, ::-1]], ids=["180", "mirror"]
)
def test_a_turned_or_mirrored_film_has_the_same_columns(bundled, turned):
    """To the shot noise, which falls on other pixels of the network."""
    film = crystal_film(1, electrons=12)
    _, (plain,) = items(bundled, film)
    _, (other,) = items(bundled, np.ascontiguousarray(turned(film)))
    y, x = np.indices(film.shape[1:])
    x, y = (np.ascontiguousarray(turned(axis[None]))[0] for axis in (x, y))  # where each pixel has come from
    j, i = (np.floor(other.table[name] / 7.0).astype(int) for name in ("x_pm", "y_pm"))
    there = np.stack([(x[i, j] + 0.5) * 7.0, (y[i, j] + 0.5) * 7.0], axis=1)
    distance, row = cKDTree(plain.table[["x_pm", "y_pm"]]).query(there)
    same = distance < 40
    assert len(plain.table) > 60 and abs(len(other.table) / len(plain.table) - 1) < 0.1
    assert same.mean() > 0.9
    assert (other.table["element"].to_numpy() == plain.table["element"].to_numpy()[row])[same].mean() > 0.95
    off = other.table["depth"].to_numpy() - plain.table["depth"].to_numpy()[row]
    assert (np.abs(off) <= 1)[same].mean() > 0.9


def test_noise_has_no_column_whatever_geometry_is_forced_on_it(bundled):
    noise = np.random.default_rng(0).poisson(4, (3, 300, 380)).astype(np.uint16)
    for geometry in ({}, {"pixel_pm": 9.0, "rotation_deg": 77.0}):
        _, found = items(bundled, noise, lattice=False, **geometry)
        assert [len(item.table) for item in found] == [0, 0, 0]
        assert all("no column of CeO2 [110] was found" in item.lines for item in found)


# --- films -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [(0,), (1, 3), (4,)])
def test_a_lost_frame_keeps_its_number_and_the_others_are_predicted(bundled, lost):
    film = crystal_film(5, electrons=12)
    _, whole = items(bundled, film)
    _, found = items(bundled, without(film, *lost))
    assert [item.number for item in found] == list(range(5))
    assert [item.number for item in found if isinstance(item, LostFrame)] == list(lost)
    assert {item.reason for item in found if isinstance(item, LostFrame)} == {"it is cut off"}
    for item, other in zip(found, whole):
        if isinstance(item, FrameResult):  # the geometry is measured in other frames
            assert abs(len(item.table) / len(other.table) - 1) < 0.2 and len(item.table) > 50


def test_a_film_of_which_an_empty_frame_is_left_out(tmp_path, model):
    film = vacuum_film(4)
    film[2] = 0
    np.save(tmp_path / "film.npy", film)
    lines = predict_micrograph(tmp_path / "film.npy", tmp_path / "out", model=model, **KNOWN)
    assert any(line.startswith("frame 2 is lost: it is empty") for line in lines)
    store = open_prediction(tmp_path / "out")
    assert store["lost"].values.tolist() == [False, False, True, False] and store["frame"].values.tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert np.isnan(store["dose"].values[2]) and not store["valid"].values[2].any()
    assert store["valid"].values[[0, 1, 3]].mean() > 0.95
    assert np.array_equal(np.isfinite(store["confidence"].values), store["valid"].values)


def test_a_film_without_any_frame_is_refused_and_nothing_is_written(tmp_path, model):
    np.save(tmp_path / "film.npy", np.zeros((3, 40, 50), np.uint16))
    with pytest.raises(MicrographError, match="no frame can be used; it is empty"):
        predict_micrograph(tmp_path / "film.npy", tmp_path / "out", model=model, **KNOWN)
    assert [path.name for path in tmp_path.iterdir()] == ["film.npy"]


def test_a_columns_name_stays_over_the_film(bundled):
    _, found = items(bundled, crystal_film(3, electrons=12))
    first = found[0].table.set_index("column")
    for item in found[1:]:
        table = item.table.set_index("column")
        both = first.index.intersection(table.index)
        assert len(both) > 0.7 * len(first)
        away = np.hypot(*(first.loc[both, name] - table.loc[both, name] for name in ("x_pm", "y_pm")))
        assert away.max() < 60 and (first.loc[both, "element"] == table.loc[both, "element"]).all()


def test_a_films_frames_are_predicted_by_themselves(tmp_path, model):
    film = vacuum_film(2)
    np.save(tmp_path / "film.npy", film)
    np.save(tmp_path / "frame.npy", film[0])
    for name in ("film", "frame"):
        predict_micrograph(tmp_path / f"{name}.npy", tmp_path / name, model=model, dose_e_per_a2=750, **KNOWN)
    both, one = open_prediction(tmp_path / "film"), open_prediction(tmp_path / "frame")
    assert both.sizes["frame"] == 2
    np.testing.assert_array_equal(both["counts"].values[0], one["counts"].values[0])
    np.testing.assert_allclose(both["probabilities"].values[0], one["probabilities"].values[0], atol=2e-3)
    assert not np.allclose(both["probabilities"].values[0], both["probabilities"].values[1], atol=2e-3)


# --- the folder ------------------------------------------------------------------------------------------------------


def test_the_job_writes_what_it_promises(tmp_path, model):
    counts = vacuum_film()[0]
    counts[0:10, 0:20] = 255
    np.savez(tmp_path / "in.npz", counts=counts)
    out, told = tmp_path / "new" / "out", []
    arguments = KNOWN | {"model": model, "invalid": 255, "rotation_deg": -30.0}
    lines = predict_micrograph(tmp_path / "in.npz", out, tell=told.append, **arguments)
    assert {path.name for path in out.iterdir()} == FILES
    assert (out / "columns.csv").read_text().splitlines()[0].replace('"', "") == ",".join(HEADER)
    manifest = check_whole(out)
    assert manifest["command"] == "predict-micrograph" and len(manifest["inputs"]) == 2
    assert manifest["parameters"]["rotation_deg"] == -30.0 and "bfloat16" in manifest["parameters"]
    store = open_prediction(out)
    assert store["probabilities"].dtype == np.float16 and store["probabilities"].shape[:2] == (1, 11)
    valid = store["valid"].values[0]
    assert (store["depth"].values[0][~valid] == 255).all() and (store["depth"].values[0][valid] < 11).all()
    assert np.array_equal(np.isfinite(store["confidence"].values[0]), valid)
    assert np.array_equal(np.isfinite(store["probabilities"].values[0, 3]), valid)
    transform = FrameTransform((150, 230), 6.3, PIXEL, -30.0)
    y, x = (np.indices(valid.shape) + 0.5) * PIXEL
    x, y = transform.inverse(x, y)
    masked = (x > 0) & (x < 20 * 6.3) & (y > 0) & (y < 10 * 6.3)
    assert masked.sum() > 5 and valid[masked].mean() < 0.3
    level = store["vacuum_level"].values[0]
    assert level == pytest.approx(3.0, rel=0.02) and store["dose"].values[0] == pytest.approx(3.0 / 0.063**2, rel=0.02)
    assert np.nanmean(store["counts"].values) == pytest.approx(1, abs=0.02)
    assert list(store.attrs["warnings"]) == list(lines) and any("no column of" in line for line in lines)
    assert set(told) <= set(lines) and any("electrons per Å² and frame, from the vacuum" in line for line in told)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["warnings"] == list(lines)


def test_two_runs_give_the_same_bytes(tmp_path, model):
    np.save(tmp_path / "in.npy", crystal_film(3))
    kept = []
    for place in ("a", "b", "b"):  # the last one replaces an earlier prediction
        predict_micrograph(tmp_path / "in.npy", tmp_path / place, model=model, false_discovery=1)
        kept.append({name: (tmp_path / place / name).read_bytes() for name in ("columns.csv", "crystal.extxyz")})
        kept[-1] |= {"maps": open_prediction(tmp_path / place)["probabilities"].values.tobytes()}
    assert kept[0] == kept[1] == kept[2]


def test_columns_of_every_frame_are_in_one_table(tmp_path, model, monkeypatch):
    depth, truth = ideal("flat")
    np.save(tmp_path / "in.npy", np.stack([depth, depth]).astype(np.float32) * 4 + 4)
    monkeypatch.setattr("segdepth.micrograph.choice.load_network", lambda folder, device: (Oracle(), card()))
    level = {"dose_e_per_a2": 4 / (PIXEL / 100) ** 2, "gain": 1, "offset": 0}
    predict_micrograph(tmp_path / "in.npy", tmp_path / "out", model=model, **KNOWN | {"pixel_pm": PIXEL}, **level)
    table = pd.read_csv(tmp_path / "out" / "columns.csv")
    assert set(table["frame"]) == {0, 1} and set(table["element"]) == {"Ce", "O"}
    assert len(table) > 1.9 * len(truth) and table["depth"].between(1, 10).all()
    first, second = (table[table["frame"] == n].drop(columns="frame").reset_index(drop=True) for n in (0, 1))
    pd.testing.assert_frame_equal(first, second)
    np.testing.assert_array_equal(open_prediction(tmp_path / "out")["depth"].values[1], depth)


def test_maps_on_the_files_own_pixels_are_made_on_request(tmp_path, model):
    np.save(tmp_path / "in.npy", vacuum_film())
    for name in (False, True):
        predict_micrograph(tmp_path / "in.npy", tmp_path / str(name), model=model, file_grid=name, **KNOWN)
    assert "file_depth" not in open_prediction(tmp_path / "False")
    store = open_prediction(tmp_path / "True")
    assert store["file_depth"].shape == store["file_confidence"].shape == (1, 150, 230)
    assert np.isfinite(store["file_confidence"].values).all()


def test_a_network_can_be_asked_to_leave_the_mirror_image_out(tmp_path, model):
    np.save(tmp_path / "frame.npy", vacuum_film())
    twice = tmp_path / "flip_average"
    twice.mkdir()
    save_network(load_network(model)[0], card(flip_average=True), twice)
    found, noted = {}, {}
    for name, network, average in (("plain", model, True), ("once", twice, False), ("twice", twice, True)):
        out = tmp_path / name
        predict_micrograph(tmp_path / "frame.npy", out, model=network, flip_average=average, **KNOWN)
        found[name] = open_prediction(out)["probabilities"].values
        noted[name] = check_whole(out)["parameters"]["flip_average"]
    np.testing.assert_array_equal(found["plain"], found["once"])
    assert not np.array_equal(found["plain"], found["twice"], equal_nan=True)
    assert noted == {"plain": True, "once": False, "twice": True}


def test_a_network_of_which_nothing_is_known_says_so(tmp_path, model):
    np.save(tmp_path / "frame.npy", vacuum_film())
    lines = predict_micrograph(tmp_path / "frame.npy", tmp_path / "out", model=model, **KNOWN)
    assert any("what this network has learnt is not known" in line for line in lines)
    store = open_prediction(tmp_path / "out")
    assert store.attrs["familiarity_levels"][int(store["familiarity"].values[0])] == "unknown"
    with pytest.warns(UserWarning, match="what this network has learnt is not known"):
        segdepth.predict(vacuum_film(), network=model, device="cpu", **KNOWN)
    (tmp_path / "learnt.json").write_text("{}")
    with pytest.raises(StoreError, match="no familiarity of a network"):
        predict_micrograph(
            tmp_path / "frame.npy", tmp_path / "other", model=model, familiarity=tmp_path / "learnt.json", **KNOWN
        )
    assert not (tmp_path / "other").exists()


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"calibrate": True}, "no lattice at all"),
        ({"pixel_pm": 600}, "too coarse"),
        ({"image": "nothing"}, "nothing"),
        ({"invalid": 3}, "masked|empty"),
        ({"model": "nowhere"}, "network.json"),
        ({"source": "nowhere.npy"}, "does not exist"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, model, change, expected):
    np.save(tmp_path / "in.npy", np.where(vacuum_film() > 2, 3, 3) if "invalid" in change else vacuum_film())
    before = sorted(tmp_path.rglob("*"))
    arguments = {"source": tmp_path / "in.npy", "model": model, **KNOWN, **change}
    with pytest.raises(SegDepthError, match=expected) as failure:
        predict_micrograph(out=tmp_path / "out", **arguments)
    assert "\n" not in str(failure.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_prediction_is_never_replaced(tmp_path, model):
    np.save(tmp_path / "in.npy", vacuum_film(shape=(40, 50)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("")
    with write_artefact(tmp_path / "other", command="build-specimens", code="x", parameters={}) as partial:
        partial.mkdir()
        (partial / "a").write_text("")
    for out in (tmp_path, tmp_path / "mine", tmp_path / "file", tmp_path / "other", model):
        with pytest.raises(StoreError, match="--out"):
            predict_micrograph(tmp_path / "in.npy", out, model=model, **KNOWN)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    predict_micrograph(tmp_path / "in.npy", tmp_path / "empty", model=model, **KNOWN)
    assert manifest_path(tmp_path / "empty").exists()


@pytest.mark.parametrize("place", ["draw", "ResultWriter"])
def test_a_failure_on_the_way_leaves_nothing(tmp_path, model, monkeypatch, place):
    np.save(tmp_path / "in.npy", vacuum_film())

    def fail(*given):
        raise StoreError("no ink")

    monkeypatch.setattr(step, place, fail)
    with pytest.raises(StoreError, match="no ink"):
        predict_micrograph(tmp_path / "in.npy", tmp_path / "out", model=model, **KNOWN)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_a_network_that_names_no_crystal_is_refused():
    assert crystal_of(card()) == CERIA
    with pytest.raises(StoreError, match="'crystal' is empty"):
        crystal_of(replace(card(), crystal={}))


def test_memory_gives_the_maps_of_the_folder(tmp_path, model):
    film = crystal_film(2)
    np.save(tmp_path / "in.npy", film)
    predict_micrograph(tmp_path / "in.npy", tmp_path / "out", model=model)
    with pytest.warns(UserWarning):
        maps, _ = segdepth.predict(film, network=model, device="cpu")
    stored = open_prediction(tmp_path / "out").load()
    stored.attrs = {name: value for name, value in stored.attrs.items() if name in maps.attrs}
    for dataset in (maps, stored):
        dataset.attrs.pop("source")
    xr.testing.assert_identical(maps, stored)
    assert not np.array_equal(maps["counts"], maps["confidence"], equal_nan=True)
