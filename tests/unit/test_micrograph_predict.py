"""The whole job: files in, maps and columns on the input's pixels out, and nothing written where the input is bad."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import CERIA, RINGS
from scipy.spatial import cKDTree
from test_micrograph_columns import ideal, one_hot

from segdepth.config import PredictionOptions
from segdepth.errors import SegDepthError, StoreError
from segdepth.micrograph import predict
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.predict import crystal_of, map_back, predict_frame
from segdepth.micrograph.preparation import Prepared
from segdepth.networks.files import NetworkCard, load_network, save_network
from segdepth.networks.unet import UNet
from segdepth.steps import predict_micrograph as step
from segdepth.store.manifest import check_whole, manifest_path, write_artefact

LABELS = RINGS
CLASSES = LABELS.classes
PIXEL = LABELS.pixel_pm


def card(variant="binned"):
    pixel = {"binned": PIXEL, "full": PIXEL / 4}[variant]
    labels = LABELS.model_dump(mode="json")
    return NetworkCard(variant, 4, CLASSES, pixel, PIXEL, 5411.0, 2.5, labels, crystal=CERIA.to_dict())


def predict_micrograph(source, out, *, model, **options):
    return step.predict_micrograph(PredictionOptions(**options), Path(source), Path(model), Path(out), device="cpu")


def open_prediction(folder):
    return xr.open_zarr(folder / "prediction.zarr", consolidated=False, chunks=None)


@pytest.fixture(scope="module", params=["binned"])
def model(tmp_path_factory, request):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_network(UNet(4, request.param, 11), card(request.param), folder)
    return folder


class Oracle(torch.nn.Module):
    """Answers ``round(intensity) - 1``: an image that holds the depth + 1 is its own label."""

    def forward(self, image):
        depth = (image[:, 0].round().long() - 1).clamp(0, CLASSES - 1)
        return 20 * torch.nn.functional.one_hot(depth, CLASSES).permute(0, 3, 1, 2).float()


def poisson_frame(shape=(150, 230), level=3.0, seed=0):
    """Vacuum and some counts, not square."""
    return np.random.default_rng(seed).poisson(level, shape).astype(np.uint16)


@pytest.mark.parametrize("angle, flip", [(0, False), (90, False), (-90, True), (180, True), (-81.7, False)])
def test_maps_come_back_onto_the_inputs_pixels(angle, flip):
    """Probabilities that vary linearly over the network's frame are linear over the input, in its own order."""
    transform = FrameTransform((90, 150), 6.3, PIXEL, angle, flip)
    rows, columns = transform.grid_shape
    v, u = (np.indices((rows, columns)) + 0.5) * PIXEL
    share = (0.2 + 0.5 * u / u.max() * v / v.max()).astype(np.float32)
    maps = map_back(np.stack([share, 1 - share]), transform, PIXEL)
    y, x = (np.indices((90, 150)) + 0.5) * 6.3
    a, b = transform.forward(x, y)
    expected = 0.2 + 0.5 * a / u.max() * b / v.max()
    inside = (a > PIXEL) & (a < u.max() - PIXEL) & (b > PIXEL) & (b < v.max() - PIXEL)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(maps.probabilities[0][inside], expected[inside], atol=2e-3)
    assert np.array_equal(maps.depth[inside], (expected[inside] < 0.5).astype(np.uint8))
    np.testing.assert_allclose(maps.confidence, np.maximum(*maps.probabilities.astype(float)), atol=1e-3)


def test_the_identity_maps_back_to_itself():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(CLASSES), (20, 33)).transpose(2, 0, 1).astype(np.float32)
    maps = map_back(probabilities, FrameTransform((20, 33), PIXEL, PIXEL), PIXEL)
    np.testing.assert_allclose(maps.probabilities, probabilities, atol=1e-3)
    assert np.array_equal(maps.depth, probabilities.argmax(axis=0))


@pytest.mark.parametrize("variant, shape", [("binned", (70, 300)), ("full", (300, 130))])
def test_both_variants_answer_on_label_pixels(variant, shape):
    torch.manual_seed(1)
    network = UNet(4, variant, 11).eval()
    answer = predict_frame(network, card(variant), np.ones(shape, np.float32))
    shrink = {"binned": 1, "full": 4}[variant]
    assert answer.shape == (CLASSES, -(-shape[0] // shrink), -(-shape[1] // shrink))
    np.testing.assert_allclose(answer.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("angle, flip", [(0, False), (98.3, False), (-81.7, True)])
def test_an_oracle_finds_the_columns_where_they_are_in_the_input(angle, flip):
    """An ideal depth map, turned away into an input, comes back with its columns at the input's coordinates."""
    depth, truth = ideal("stepped")
    # the network's frame of this transform holds the ideal field; its input is cut out of the middle of it
    transform = FrameTransform((500, 430), 6.3, PIXEL, angle, flip)
    rows, columns = transform.grid_shape
    top, left = 100, 40
    prepared = Prepared(
        depth[top : top + rows, left : left + columns] + np.float32(1),
        np.ones((rows, columns), bool),
        transform,
        40.0,
    )
    assert prepared.image.shape == (rows, columns)
    probabilities = predict_frame(Oracle(), card(), prepared.image)
    np.testing.assert_allclose(probabilities, one_hot(depth[top : top + rows, left : left + columns]), atol=1e-3)
    usable = np.ones(transform.shape, bool)
    usable[:40, :50] = False
    table = predict.frame_columns(probabilities, card(), CERIA, prepared, usable)
    x, y = transform.inverse(truth["x_pm"] - left * PIXEL, truth["y_pm"] - top * PIXEL)
    height, width = transform.size_pm
    well = (x > 100) & (x < width - 100) & (y > 100) & (y < height - 100) & ~((x < 50 * 6.3 + 60) & (y < 40 * 6.3 + 60))
    distance, row = cKDTree(table[["x_pm", "y_pm"]]).query(np.stack([x[well], y[well]], axis=1))
    assert (distance < 60).mean() > 0.98 and np.sqrt(np.mean(distance[distance < 60] ** 2)) < 15
    element = np.where(truth["element"][well] == 58, "Ce", "O")
    assert (table["element"].to_numpy()[row] == element).mean() > 0.98
    assert not ((table["x_pm"] < 50 * 6.3) & (table["y_pm"] < 40 * 6.3)).any()


def test_the_job_writes_what_it_promises(tmp_path, model):
    counts = poisson_frame()
    counts[0:10, 0:20] = 255
    np.savez(tmp_path / "in.npz", counts=counts)
    out = tmp_path / "new" / "out"
    arguments = {"pixel_pm": 6.3, "model": model, "invalid": 255, "rotation_deg": -30.0}
    warnings = predict_micrograph(tmp_path / "in.npz", out, **arguments)
    assert sorted(path.name for path in out.iterdir()) == ["columns.csv", "prediction.zarr"]
    assert (out / "columns.csv").read_text().splitlines()[0] == "frame,x_pm,y_pm,element,depth,confidence"
    manifest = check_whole(out)
    assert manifest["command"] == "predict-micrograph" and len(manifest["inputs"]) == 2
    assert manifest["parameters"]["rotation_deg"] == -30.0
    store = open_prediction(out)
    assert store["probabilities"].dtype == np.float16 and store["probabilities"].shape == (1, CLASSES, 150, 230)
    valid = store["valid"].values[0]
    assert np.array_equal(valid, counts != 255)
    assert (store["depth"].values[0][~valid] == 255).all() and (store["depth"].values[0][valid] < CLASSES).all()
    assert np.array_equal(np.isfinite(store["confidence"].values[0]), valid)
    assert np.array_equal(np.isfinite(store["probabilities"].values[0, 3]), valid)
    level = store["vacuum_level"].values[0]
    np.testing.assert_allclose(store["counts"].values[0][valid], counts[valid] / level, rtol=1e-6)
    assert level == pytest.approx(3.0, rel=0.02)
    assert store.attrs["dose_lambda"][0] == pytest.approx(3.0 * (5411 / 1024 / 6.3) ** 2, rel=0.02)
    assert list(store.attrs["warnings"]) == warnings and any("no columns" in line for line in warnings)
    first = store["probabilities"].values
    predict_micrograph(tmp_path / "in.npz", out, **arguments)  # replaces an earlier prediction, bit for bit
    np.testing.assert_array_equal(open_prediction(out)["probabilities"].values, first)


def test_a_movies_frames_are_predicted_by_themselves(tmp_path, model):
    movie = np.stack([poisson_frame(seed=s) for s in range(2)])
    np.save(tmp_path / "movie.npy", movie)
    np.save(tmp_path / "frame.npy", movie[0])
    for name in ("movie", "frame"):
        predict_micrograph(tmp_path / f"{name}.npy", tmp_path / name, pixel_pm=6.3, model=model, vacuum_counts=3.0)
    both, one = open_prediction(tmp_path / "movie"), open_prediction(tmp_path / "frame")
    assert both["depth"].shape == (2, 150, 230)
    np.testing.assert_array_equal(both["probabilities"].values[0], one["probabilities"].values[0])
    assert not np.array_equal(both["probabilities"].values[0], both["probabilities"].values[1])


def test_a_network_can_be_asked_to_leave_the_mirror_image_out(tmp_path, model):
    np.save(tmp_path / "frame.npy", poisson_frame())
    twice = tmp_path / "flip_average"
    twice.mkdir()
    save_network(load_network(model)[0], replace(card(), flip_average=True), twice)
    found, looks = {}, {}
    for name, network, once in (("plain", model, False), ("once", twice, True), ("twice", twice, False)):
        out = tmp_path / name
        predict_micrograph(
            tmp_path / "frame.npy", out, pixel_pm=6.3, model=network, vacuum_counts=3.0, flip_average=not once
        )
        found[name] = open_prediction(out)["probabilities"].values
        looks[name] = check_whole(out)["parameters"]["looks"]
    np.testing.assert_array_equal(found["plain"], found["once"])
    assert not np.array_equal(found["plain"], found["twice"]) and looks == {"plain": 1, "once": 1, "twice": 2}


def test_columns_of_every_frame_are_in_one_table(tmp_path, model, monkeypatch):
    depth, _ = ideal("flat")
    np.save(tmp_path / "in.npy", np.stack([depth, depth]).astype(np.float32) + 1)
    monkeypatch.setattr(step, "load_network", lambda folder, device: (Oracle(), card()))
    predict_micrograph(tmp_path / "in.npy", tmp_path / "out", pixel_pm=PIXEL, model=model, vacuum_counts=1.0)
    table = pd.read_csv(tmp_path / "out" / "columns.csv")
    assert set(table["frame"]) == {0, 1} and set(table["element"]) == {"Ce", "O"}
    assert table["depth"].between(1, 10).all()
    store = open_prediction(tmp_path / "out")
    np.testing.assert_array_equal(store["depth"].values[1], depth)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"pixel_pm": None}, "pixel_pm"),
        ({"vacuum_counts": None}, "vacuum_counts"),
        ({"key": "counts"}, "key"),
        ({"invalid": 1}, "masked"),
        ({"model": "nowhere"}, "network.json"),
        ({"source": "nowhere.npy"}, "does not exist"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, model, change, expected):
    np.save(tmp_path / "in.npy", np.ones((20, 30)))
    before = sorted(tmp_path.rglob("*"))
    arguments = {"source": tmp_path / "in.npy", "pixel_pm": 6.3, "model": model, "vacuum_counts": 1.0, **change}
    with pytest.raises(SegDepthError, match=expected) as failure:
        predict_micrograph(out=tmp_path / "out", **arguments)
    assert "\n" not in str(failure.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_prediction_is_never_replaced(tmp_path, model):
    np.save(tmp_path / "in.npy", np.ones((20, 30)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("")
    with write_artefact(tmp_path / "other", command="build-specimens", code="x", parameters={}) as partial:
        partial.mkdir()
        (partial / "a").write_text("")
    for out in (tmp_path, tmp_path / "mine", tmp_path / "file", tmp_path / "other", model):
        with pytest.raises(StoreError, match="--out"):
            predict_micrograph(tmp_path / "in.npy", out, pixel_pm=6.3, model=model, vacuum_counts=1.0)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    predict_micrograph(tmp_path / "in.npy", tmp_path / "empty", pixel_pm=6.3, model=model, vacuum_counts=1.0)
    assert manifest_path(tmp_path / "empty").exists()


def test_a_failure_on_the_way_leaves_nothing(tmp_path, model, monkeypatch):
    np.save(tmp_path / "in.npy", np.ones((20, 30)))

    def fail(table, path):
        raise StoreError("no ink")

    monkeypatch.setattr(step, "write_columns", fail)
    with pytest.raises(StoreError, match="no ink"):
        predict_micrograph(tmp_path / "in.npy", tmp_path / "out", pixel_pm=6.3, model=model, vacuum_counts=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_a_network_that_names_no_crystal_is_refused():
    assert crystal_of(card()) == CERIA
    with pytest.raises(StoreError, match="'crystal' is empty"):
        crystal_of(replace(card(), crystal={}))
