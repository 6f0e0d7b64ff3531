"""SrTiO3 along [001], from a CIF: three kinds of column, one of them mixed, from the plan to a prediction."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.spatial import cKDTree

from segdepth.config import Config, validate
from segdepth.crystals import Crystal
from segdepth.labels.depth import depth_maps, read_columns
from segdepth.micrograph.columns import find_columns
from segdepth.micrograph.results.tables import HEADER
from segdepth.specimen.frame_facts import FrameFacts
from segdepth.steps.atoms_files import read_atoms, read_plan
from segdepth.store.trace import trace
from segdepth.store.zarr_store import open_zarr

from .conftest import ROOT, Project

pytestmark = pytest.mark.workflow

CIF = "my files/SrTiO3.cif"
SIDE = 2705.5
CONFIG = f"""
root_seed: 7
device: cpu
crystals:
  titanate:
    structure: {CIF}
    zone_axis: [0, 0, 1]
    x_axis: [1, 0, 0]
    debye_waller_pm: {{Sr: 8.9, Ti: 7.5, O: 9.6}}
specimens:
  tiny:
    crystal: titanate
    structures: 6
    shard_size: 2
    field_pm: {SIDE}
    margin_pm: 338.1875
    bulk_atoms: [3, 5]
    decay_nm: [0.3, 0.6]
    terminations: [cut, Sr, Ti]
    vacancy_fraction: [0.02, 0.05]
beams:
  coarse: {{pixel_pm: 12, slice_pm: 196}}
imaging:
  lens: {{defocus_nm: [2, 6], focal_steps: 5}}
labels:
  rings:
    most_atoms: 6
    core_radius_pm: {{Sr: 85, Ti: 65, O: 45}}
    outer_radius_pm: {{Sr: 110, Ti: 90, O: 70}}
datasets:
  small:
    specimen: tiny
    beam: coarse
    imaging: lens
    labels: rings
    dose_lambda: 25
    splits: {{test: 0.4, validation: 0.15, train: 0.45}}
models:
  net:
    datasets: [small]
    architecture: {{variant: space_to_depth, base_channels: 8}}
    training:
      {{crop_pixels: 64, batch_size: 8, epoch_samples: 320, epochs: 12, precision: float32, learning_rate: 0.003,
        optimizer: muon, noise_repeats: 8}}
evaluations:
  net: [small]
micrographs:
  camera: {{dataset: small, defocus_nm: 6, pixel_pm: 6.76375}}
predictions:
  camera:
    {{model: net, micrograph: camera, calibrate: false, pixel_pm: 6.76375, rotation_deg: 0, dose_e_per_a2: 8962,
      file_grid: true}}
"""


@pytest.fixture(scope="module")
def titanate(tmp_path_factory) -> Project:
    folder = tmp_path_factory.mktemp("titanate")
    (folder / CIF).parent.mkdir()
    shutil.copy(ROOT / "tests" / "data" / "SrTiO3.cif", folder / CIF)
    project = Project(folder, yaml.safe_load(CONFIG))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def one_depth_store(project: Project) -> Path:
    return project.folder / "data/depth/tiny/rings/shard-000.zarr"


def test_plan_and_atoms(titanate):
    """Sr, Ti with O, and O, as the CIF has them; the frames carry the whole crystal."""
    folder = titanate.folder / "data/specimens/tiny"
    plan = read_plan(folder / "plan.csv")
    assert len(plan) == 6 and set(plan["termination"]) <= {"cut", "Sr", "Ti"}
    assert plan["origin_x_pm"].between(0, 390.5).all() and (plan["vacancy_fraction"] > 0).all()
    for frame in read_atoms(folder / "shard-000.extxyz"):
        crystal = FrameFacts.of(frame).crystal
        assert crystal.title == "SrTiO3 [001]" and [c.label for c in crystal.columns] == ["Sr", "Ti-O", "O", "O"]
        column = frame.get_array("column")
        kinds = {"".join(sorted(set(frame.symbols[column == one]))) for one in np.unique(column)}
        assert {"Sr", "OTi", "O"} <= kinds <= {"Sr", "OTi", "O", "Ti"}  # a Ti column may have lost its O
    chain = json.loads((folder / "plan.csv.manifest.json").read_text())
    assert [Path(given["path"]).name for given in chain["inputs"]] == ["SrTiO3.cif"]


def test_waves_and_images_say_what_they_show(titanate):
    data = titanate.folder / "data"
    for path in (data / "waves/tiny/coarse/shard-000.zarr", data / "images/tiny/coarse/lens/shard-000.zarr"):
        with open_zarr(path) as store:
            crystal = Crystal.from_dict(json.loads(store.attrs["crystal"]))
            assert crystal.elements == ("Sr", "Ti", "O") and store.attrs["field_pm"] == SIDE
            assert store.attrs["specimen"] == "tiny" and store.attrs["root_seed"] == 7
            values = max(store.data_vars.values(), key=lambda variable: variable.size).values
            assert np.isfinite(values).all() and np.ptp(np.abs(values)) > 0.01


def test_depth_maps_end_at_the_thickest_column(titanate):
    """Three elements, at most five atoms, six classes besides vacuum."""
    with open_zarr(one_depth_store(titanate)) as store:
        assert set(np.unique(store["column_element"])) == {38, 22, 8}
        assert 3 <= store["depth"].max() <= 5
        assert set(np.unique(store["region"])) == {0, 38, 22, 8}
        assert json.loads(store.attrs["labels"])["most_atoms"] == 6


def test_the_network_has_the_labels_classes(titanate):
    card = json.loads((titanate.folder / "results/models/net/network.json").read_text())
    assert card["classes"] == 7
    assert Crystal.from_dict(card["crystal"]).elements == ("Sr", "Ti", "O")


def test_evaluation_is_by_element(titanate):
    table = pd.read_csv(titanate.folder / "results/evaluation/net/small/metrics.csv", keep_default_na=False)
    assert {"metric", "element", "value", "low", "high"} <= set(table.columns)
    assert set(table["element"]) == {"all", "Sr", "Ti", "O"}
    assert not set(map(str, table.to_numpy().ravel())) & {"Ce", "_Ce"}


def test_prediction_has_the_classes_and_is_traced_to_the_file(titanate):
    """The output has the sizes, classes and words of the crystal, and depth and confidence are the probabilities'."""
    folder = titanate.folder / "results/predictions/camera"
    assert not trace(folder).broken
    with open_zarr(folder, part="prediction.zarr") as store:
        pixel, side = store.attrs["pixel_pm"], int(SIDE / 6.76375)
        assert pixel == pytest.approx(6.76375)
        sizes = dict(store.sizes)
        assert (sizes["frame"], sizes["class"], sizes["y"], sizes["x"]) == (1, 7, side, side)
        assert store.attrs["file_shape"] == [side, side]
        assert store["vacuum_level"].values == pytest.approx(41, rel=1e-3)
        crystal = Crystal.from_dict(json.loads(store.attrs["crystal"]))
        assert crystal.title == "SrTiO3 [001]" and crystal.all_elements == ("Sr", "Ti", "O")
        assert json.loads(store.attrs["labels"])["core_radius_pm"] == {"Sr": 85, "Ti": 65, "O": 45}
        valid = store["valid"].values[0]
        assert valid.mean() > 0.95
        probabilities = store["probabilities"].values[0].astype(float)[:, valid]
        assert np.allclose(probabilities.sum(axis=0), 1, atol=5e-3)
        assert np.allclose(probabilities.max(axis=0), store["confidence"].values[0][valid], atol=1e-3)
        depth = store["depth"].values[0][valid].astype(int)
        chosen = np.take_along_axis(probabilities, depth[None], axis=0)[0]
        assert np.allclose(chosen, probabilities.max(axis=0), atol=1e-3)
        assert store["file_depth"].values.max() <= 6
        warnings = store.attrs["warnings"]
    columns = pd.read_csv(folder / "columns.csv", keep_default_na=False)
    assert list(columns) == HEADER and columns["column"].str.fullmatch(r"-?\d+,-?\d+,(Sr|Ti|O)\d").all()
    assert len(columns) and not any("no column of" in line for line in warnings)
    assert columns["element"].isin(["Sr", "Ti", "O"]).all() and columns["depth"].between(1, 6).all()
    assert columns[["x_pm", "y_pm"]].stack().between(0, SIDE).all()


def test_a_network_finds_columns_where_the_atoms_are(titanate):
    """From the micrograph, after half a minute of training: nearly all columns, their counts within one atom. Sr and
    Ti–O columns may be interchanged, but only with a warning."""
    folder = titanate.folder / "results/predictions/camera"
    found = pd.read_csv(folder / "columns.csv", keep_default_na=False)
    manifest = json.loads((titanate.folder / "data/micrographs/camera.npz.manifest.json").read_text())
    with open_zarr(folder, part="prediction.zarr") as store:
        warned = any("elements may be interchanged" in line for line in store.attrs["warnings"])
    (shard,) = (Path(given["path"]) for given in manifest["inputs"] if "shard" in given["path"])
    with open_zarr(titanate.folder / "data/depth/tiny/rings" / f"{shard.stem}.zarr") as store:
        true = read_columns(store, manifest["parameters"]["structure"])
    wanted = true[["x_pm", "y_pm"]].to_numpy()
    inside = ((wanted > 50) & (wanted < SIDE - 50)).all(axis=1)
    distance, match = cKDTree(found[["x_pm", "y_pm"]]).query(wanted[inside])
    assert np.mean(distance < 60) > 0.9 and len(found) < 1.2 * len(true)
    near = distance < 60
    counts = found["depth"].to_numpy()[match] - true["atoms"][inside].to_numpy()
    assert np.mean(np.abs(counts[near]) <= 1) > 0.9
    symbols = np.array([{38: "Sr", 22: "Ti", 8: "O"}[z] for z in true["element"][inside]])
    assert warned or np.mean(found["element"].to_numpy()[match][near] == symbols[near]) > 0.9


def test_columns_are_found_in_a_perfect_depth_map(titanate):
    """The true depth maps for a network's: each column that is whole in the map stands within 20 pm, with its element
    and count, and none is found that is not there."""
    config = validate(Config, yaml.safe_load(CONFIG), "test")
    labels = config.labels["rings"]
    symbols = {38: "Sr", 22: "Ti", 8: "O"}
    with open_zarr(one_depth_store(titanate)) as store:
        crystal = Crystal.from_dict(json.loads(store.attrs["crystal"]))
        maps = {int(i): store["depth"].sel(structure=i).values for i in store["structure"].values}
        truth = {index: read_columns(store, index) for index in maps}
        pixel = store.attrs["pixel_pm"]
    for index, depth in maps.items():
        probabilities = (np.arange(labels.classes)[:, None, None] == depth).astype(np.float32)
        found = find_columns(probabilities, pixel, crystal, labels.model_dump(mode="json"))
        true = truth[index]
        places, wanted = found[["x_pm", "y_pm"]].to_numpy(), true[["x_pm", "y_pm"]].to_numpy()
        inside = ((wanted > 50) & (wanted < SIDE - 50)).all(axis=1)
        distance, match = cKDTree(places).query(wanted[inside])
        assert inside.sum() > 80 and distance.max() < 20
        assert found["element"].to_numpy()[match].tolist() == [symbols[z] for z in true["element"][inside]]
        assert np.mean(found["depth"].to_numpy()[match] == true["atoms"][inside].to_numpy()) > 0.99
        there = ((places > 50) & (places < SIDE - 50)).all(axis=1)
        assert cKDTree(wanted).query(places[there])[0].max() < 20


def test_depth_maps_are_those_of_the_frames(titanate):
    """The store's maps are what the library makes of the atoms file."""
    labels = validate(Config, yaml.safe_load(CONFIG), "test").labels["rings"]
    frame = read_atoms(titanate.folder / "data/specimens/tiny/shard-000.extxyz")[1]
    facts = FrameFacts.of(frame)
    maps, _ = depth_maps(frame, labels, facts.margin_pm, facts.field_pm)
    with open_zarr(one_depth_store(titanate)) as store:
        for name, values in maps.items():
            assert np.array_equal(store[name].sel(structure=facts.index).values, values)
