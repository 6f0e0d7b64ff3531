"""Which files belong to a name of the configuration."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml

from segdepth.config import Config, PredictionOptions, validate
from segdepth.errors import ConfigError
from segdepth.steps.layout import Layout, distinct, manifests, repeated

TEXT = """
crystals:
  ceria: {structure: CeO2, zone_axis: [1, 1, 0], x_axis: [0, 0, 1]}
  mine: {structure: my files/SrTiO3.cif, zone_axis: [0, 0, 1], x_axis: [1, 0, 0]}
specimens:
  thin: {crystal: ceria, structures: 50, shard_size: 20}
  other: {crystal: mine, structures: 3, shard_size: 1}
beams: {b: {}}
imaging: {lens: {}}
labels: {rings: {core_radius_pm: {Ce: 85}, outer_radius_pm: {Ce: 120}}}
datasets:
  d: &d {specimen: thin, beam: b, imaging: lens, labels: rings, splits: {test: 0.3, validation: 0.1, train: 0.6}}
  e: {<<: *d, dose_lambda: 1}
models:
  net: {datasets: [d, e]}
  later: {datasets: [d], init_weights: results/models/net}
evaluations: {net: [d, e], later: []}
figures: {model: net, dataset: d, confusion_dataset: e}
micrographs: {camera: {dataset: d, structure: 1, defocus_nm: 5, pixel_pm: 6.76375}}
predictions:
  camera: {model: net, micrograph: camera}
  mine: {model: net, input: my movie.tif, pixel_pm: 6.3, rotation_deg: -82, flip: true, dose_e_per_a2: 400}
"""


@pytest.fixture
def layout() -> Layout:
    return Layout(Config.model_validate(yaml.safe_load(TEXT)))


def test_shards_are_listed_from_the_plan(layout):
    assert layout.wave_shards("d") == [f"data/waves/thin/b/shard-00{n}.zarr" for n in range(3)]
    assert layout.image_shards("e") == [f"data/images/thin/b/lens/shard-00{n}.zarr" for n in range(3)]
    assert layout.depth_shards("d")[-1] == "data/depth/thin/rings/shard-002.zarr"
    assert layout.atoms_shards("d")[0] == "data/specimens/thin/shard-000.extxyz"
    assert layout.plan_of("d") == "data/specimens/thin/plan.csv"


def test_a_training_reads_the_shards_of_all_its_data_sets_in_order(layout):
    assert layout.training_shards("net", layout.wave_shards) == 2 * layout.wave_shards("d")
    assert layout.init_weights_of("net") == [] and layout.init_weights_of("later") == ["results/models/net"]
    words = shlex.split(layout.training_options("net"))
    kinds = ["--dataset", "--specimen", "--imaging", "--labels"]
    assert words[::2] == 2 * kinds and words[1] == layout.config.datasets["d"].as_json()
    assert '"dose_lambda":1.0' in words[9]


def test_a_crystals_file_is_an_input_and_a_known_structure_is_none(layout):
    assert layout.structure_file("thin") == [] and layout.structure_file("other") == ["my files/SrTiO3.cif"]
    assert layout.crystal_of("thin") is layout.config.crystals["ceria"]


def test_test_structures_are_counted_round(layout):
    dataset, specimen = layout.config.datasets["d"], layout.config.specimens["thin"]
    test = dataset.structures_of("test", specimen)
    assert layout.test_structure("d", 1) == test[1] == layout.test_structure("d", 1 + len(test))
    assert layout.micrograph_structure("camera") == test[1]
    assert layout.micrograph_waves("camera") == f"data/waves/thin/b/shard-{test[1] // 20:03d}.zarr"


def test_options_of_a_micrograph(layout):
    predictions = layout.config.predictions
    assert layout.micrograph_input(predictions["camera"]) == "data/micrographs/camera.npz"
    assert layout.micrograph_options(predictions["camera"]) == PredictionOptions(pixel_pm=6.76375, image="counts")
    assert layout.micrograph_input(predictions["mine"]) == "my movie.tif"
    options = PredictionOptions(pixel_pm=6.3, dose_e_per_a2=400, rotation_deg=-82, flip=True)
    assert layout.micrograph_options(predictions["mine"]) == options
    assert validate(PredictionOptions, json.loads(options.as_json())) == options  # as the rule hands it over


def test_targets_are_what_the_blocks_ask_for(layout):
    wanted = layout.targets()
    assert {"results/evaluation/net/d", "results/evaluation/net/e", "results/tables/table1.csv"} <= set(wanted)
    assert {"results/predictions/camera", "results/predictions/mine", "results/figures/training_net.png"} <= set(wanted)
    assert "results/figures/fig6_confusion.png" in wanted and "results/figures/montage.png" not in wanted
    assert not [path for path in wanted if "later" in path] and len(set(wanted)) == len(wanted)


def test_what_only_some_targets_need_is_refused_when_they_ask(layout):
    with pytest.raises(ConfigError, match="export: config.yaml has no such block"):
        layout.exported_evaluations()
    with pytest.raises(ConfigError, match="convergence: config.yaml has no such block"):
        layout.study_atoms()
    with pytest.raises(ConfigError, match="benchmark_net.png: shows the data sets benchmark_smooth and"):
        layout.benchmark_evaluations("net")


def test_a_bundled_network_that_is_not_there(layout, monkeypatch):
    def gone(name):
        raise ConfigError(f"no network {name} comes with this version")

    monkeypatch.setattr("segdepth.steps.layout.bundled_network", gone)
    for name in ("bundled", "bundled_particles"):
        with pytest.raises(ConfigError, match=f"model '{name}': no network {name} comes"):
            layout.network_of(name)
    assert layout.network_of("net") == "results/models/net"


def test_blocks_are_written_out_once(layout):
    block = layout.config.beams["b"]
    assert layout.as_json(block) == block.as_json() and layout.as_json(block) is layout.as_json(block)


def test_lists_for_rules():
    assert manifests(["a", "b.zarr"]) == ["a.manifest.json", "b.zarr.manifest.json"]
    assert repeated("--waves", ["a", "my waves"]) == "--waves a --waves 'my waves'"
    assert distinct(["b", "a", "b"]) == ["b", "a"]


def test_a_bundled_network_in_the_projects_folder_is_named_from_there(layout, monkeypatch, tmp_path):
    """So that a folder may be moved; one elsewhere has its whole path."""
    network = tmp_path / "project" / "pipeline" / "network"
    network.mkdir(parents=True)
    monkeypatch.setattr("segdepth.steps.layout.bundled_network", lambda name: network)
    monkeypatch.chdir(tmp_path / "project")
    assert layout.network_of("bundled") == "pipeline/network"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert layout.network_of("bundled") == str(network)
