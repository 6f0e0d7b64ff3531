"""``prediction.zarr``, and the way between the network's grid and the file's pixels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from results_data import GRID_PM, make_facts, make_frames, open_folder
from scipy import ndimage

from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.file_grid import FileGrid, affine_matrices, nearest_labels, on_file_grid
from segdepth.micrograph.results.maps import STORE, MapsWriter, empty_maps
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr


@pytest.fixture(scope="module", params=(False, True))
def stored(tmp_path_factory, request):
    """A finished store with a lost frame in the middle, with and without maps on the file's pixels."""
    facts = make_facts(frames=(3, 4, 6))
    results = list(make_frames(facts))
    folder = tmp_path_factory.mktemp("maps") / "prediction"
    with write_artefact(folder, command="predict-micrograph", code="c", parameters={}) as partial:
        writer = open_folder(partial, facts, file_grid=request.param)
        writer.put(results[0])
        writer.lose(4, "half written")
        writer.put(results[2])
        writer.close(["a line"])
    return folder, facts, results, request.param


def test_maps_are_stored_as_they_are(stored):
    folder, facts, results, _ = stored
    with open_zarr(folder, "predict-micrograph", part=STORE) as maps:
        assert maps["frame"].values.tolist() == [3, 4, 6]
        assert maps["probabilities"].dtype == np.float16 and maps["depth"].dtype == np.uint8
        assert maps["probabilities"].dims == ("frame", "class", "row", "column")
        for place, result in ((0, results[0]), (2, results[2])):
            valid = result.valid
            assert 0.5 < valid.mean() < 1  # turned, so that corners of the grid are outside
            np.testing.assert_array_equal(maps["valid"][place], valid)
            depth = maps["depth"][place].values
            np.testing.assert_array_equal(depth[valid], result.depth[valid])
            assert (depth[~valid] == 255).all()
            for name, wanted in (("confidence", result.confidence), ("counts", result.counts)):
                values = maps[name][place].values
                np.testing.assert_array_equal(values[valid], wanted[valid])
                assert np.isnan(values[~valid]).all()
            probabilities = maps["probabilities"][place].values
            np.testing.assert_allclose(probabilities[:, valid], result.probabilities[:, valid], rtol=5e-4, atol=1e-7)
            assert np.isnan(probabilities[:, ~valid]).all()


def test_a_lost_frame_keeps_its_place_without_values(stored):
    folder, _, results, file_grid = stored
    with open_zarr(folder, part=STORE) as maps:
        lost = maps.isel(frame=1)
        assert int(lost["frame"]) == 4 and bool(lost["lost"]) and not bool(lost["reliable"])
        assert (lost["depth"] == 255).all() and not lost["valid"].any() and int(lost["familiarity"]) == 255
        for name in ("probabilities", "confidence", "counts", "dose", "vacuum_level"):
            assert np.isnan(lost[name]).all()
        assert maps["lost"].values.tolist() == [False, True, False]
        np.testing.assert_array_equal(maps["dose"].values[[0, 2]], results[0].dose_e_per_a2)
        assert maps["familiarity"].values.tolist() == [0, 255, 0] and maps["reliable"].values.tolist() == [1, 0, 1]
        assert ("file_depth" in maps) == file_grid


def test_a_consumer_finds_all_it_needs_in_the_attributes(stored):
    folder, facts, results, _ = stored
    with open_zarr(folder, part=STORE) as maps:
        attrs = maps.attrs
        assert Crystal.from_dict(json.loads(attrs["crystal"])) == facts.crystal
        assert json.loads(attrs["labels"]) == facts.labels and json.loads(attrs["network"]) == {"name": "bundled"}
        assert (attrs["pixel_pm"], attrs["label_pixel_pm"], attrs["energy_kev"]) == (12.0, GRID_PM, 300.0)
        assert attrs["warnings"] == ["frame 4 is lost: half written", "a line"] and attrs["classes"] == 11
        (a, b, c), (d, e, f) = attrs["affine_to_file_pm"]
        x, y = maps["column"].values[None, :], maps["row"].values[:, None]
        inside = (a * x + b * y + c > 0) & (a * x + b * y + c < 90 * 12) & (d * x + e * y + f > 0)
        inside &= d * x + e * y + f < 60 * 12
        np.testing.assert_array_equal(inside, maps["valid"][0])  # the map says which labels lie in the file


def test_maps_on_the_files_pixels(stored):
    folder, facts, results, file_grid = stored
    if not file_grid:
        assert not (folder / STORE / "file_depth").exists()
        return
    depth, confidence = on_file_grid(results[2].probabilities, facts.transform, GRID_PM)
    with open_zarr(folder, part=STORE) as maps:
        assert maps["file_depth"].dims == ("frame", "y", "x") and maps["file_depth"].shape == (3, 60, 90)
        np.testing.assert_array_equal(maps["file_depth"][2], depth)
        np.testing.assert_array_equal(maps["file_confidence"][2], confidence)
        assert (maps["file_depth"][1] == 255).all()
        np.testing.assert_allclose(maps["x"].values, (np.arange(90) + 0.5) * 12)


def test_damage_is_noticed(stored, tmp_path):
    folder, *_ = stored
    chunk = folder / STORE / "confidence" / "c" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    try:
        chunk.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        with open_zarr(folder, part=STORE) as maps, pytest.raises(StoreError, match="confidence/c/0/0/0 is damaged"):
            maps["confidence"][0].load()
    finally:
        chunk.write_bytes(whole)


def test_an_empty_store_takes_no_room(tmp_path):
    facts = make_facts(shape=(600, 900), frames=tuple(range(1000)))
    maps = empty_maps(facts, facts.transform.grid_shape)
    write_zarr(maps, tmp_path / STORE, leading=("frame",), parameters={}, compute=False)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 200_000
    assert zarr.open_group(tmp_path / STORE)["probabilities"].shape[:2] == (1000, 11)


def test_a_store_with_other_codecs_is_refused(tmp_path):
    facts = make_facts()
    maps = empty_maps(facts, facts.transform.grid_shape)
    maps.to_zarr(tmp_path / STORE, zarr_format=3, consolidated=False)
    with pytest.raises(AssertionError, match="probabilities: chunks are written as zstd"):
        MapsWriter(tmp_path / STORE, facts)


def test_a_map_of_another_shape_is_refused(tmp_path):
    facts = make_facts(frames=(0,))
    (result,) = make_frames(facts)
    writer = open_folder(tmp_path / "p", facts)
    with pytest.raises(ValueError, match=r"counts: got float32 \(40, 56\), the store has float32 \(41, 56\)"):
        writer.put(replace(result, counts=result.counts[1:]))


angles, pixels = st.floats(-360, 360), st.floats(3, 40)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 60))


@given(sizes, pixels, angles, st.booleans(), st.floats(-500, 500), st.floats(-500, 500))
def test_the_affine_matrices_are_the_transform(shape, pixel_pm, angle, flip, x, y):
    transform = FrameTransform(shape, pixel_pm, GRID_PM, rotation_deg=angle, flip=flip)
    to_file, to_grid = (np.array(m) for m in affine_matrices(transform))
    for matrix, function in ((to_file, transform.inverse), (to_grid, transform.forward)):
        wanted = [float(v) for v in function(np.float64(x), np.float64(y))]
        np.testing.assert_allclose(matrix @ [x, y, 1], wanted, atol=1e-6)
    np.testing.assert_allclose(to_file @ [*(to_grid @ [x, y, 1]), 1], [x, y], atol=1e-6)


@given(sizes, pixels, angles, st.booleans())
def test_each_pixel_of_the_file_takes_the_label_in_which_it_lies(shape, pixel_pm, angle, flip):
    transform = FrameTransform(shape, pixel_pm, GRID_PM, rotation_deg=angle, flip=flip)
    rows, columns = transform.grid_shape
    found = nearest_labels(transform, GRID_PM, (rows, columns))
    for i in {0, shape[0] // 2, shape[0] - 1}:
        for j in {0, shape[1] // 2, shape[1] - 1}:
            u, v = transform.forward(np.float64((j + 0.5) * pixel_pm), np.float64((i + 0.5) * pixel_pm))
            row, column = divmod(int(found[i, j]), columns)
            assert abs((column + 0.5) * GRID_PM - u) <= GRID_PM / 2 + 1e-6
            assert abs((row + 0.5) * GRID_PM - v) <= GRID_PM / 2 + 1e-6


@pytest.mark.parametrize("flip", (False, True))
def test_interpolated_maps_are_scipys(flip):
    transform = FrameTransform((31, 44), 8.0, GRID_PM, rotation_deg=31.0, flip=flip)
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), transform.grid_shape).transpose(2, 0, 1).astype(np.float32)
    x, y = (np.arange(44)[None, :] + 0.5) * 8.0, (np.arange(31)[:, None] + 0.5) * 8.0
    u, v = transform.forward(x, y)
    places = np.stack([v / GRID_PM - 0.5, u / GRID_PM - 0.5])
    wanted = np.stack([ndimage.map_coordinates(p, places, order=1, mode="nearest") for p in probabilities])
    depth, confidence = on_file_grid(probabilities, transform, GRID_PM)
    np.testing.assert_allclose(confidence, (wanted / wanted.sum(0)).max(0), atol=1e-5)
    top = np.sort(wanted, axis=0)
    clear = top[-1] - top[-2] > 1e-4
    np.testing.assert_array_equal(depth[clear], wanted.argmax(0)[clear])


def test_planes_of_a_frame_lie_on_its_columns():
    """The depth of the pixel under a column is the column's, and what is not valid is NaN."""
    facts = make_facts(frames=(0,))
    (result,) = make_frames(facts)
    planes = FileGrid(facts).planes(result)
    assert planes.depth.shape == planes.confidence.shape == planes.counts.shape == facts.shape
    table = result.table
    inner = table[table["x_pm"].between(60, 1020) & table["y_pm"].between(60, 660)]
    i, j = (np.floor(inner[f"{axis}_pm"] / facts.pixel_pm).astype(int) for axis in "yx")
    assert len(inner) > 8
    np.testing.assert_array_equal(planes.depth[i, j], inner["depth"])
    masked = FileGrid(facts).planes(type(result)(**{**vars(result), "valid": np.zeros_like(result.valid)}))
    assert np.isnan(masked.depth).all() and np.isnan(masked.confidence).all()
