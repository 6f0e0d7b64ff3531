"""The job ``evaluate-model`` on tiny stores, end to end."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RINGS
from evaluation_data import (
    DATASET,
    DEFOCI,
    PIXEL,
    SPECIMEN,
    TESTED,
    build_data,
    build_images,
    build_model,
    oracle,
    record,
    run,
    shares,
)

from segdepth.config import ALL, ALL_ONLY, METRIC_NAMES
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation import evaluate, tallies
from segdepth.evaluation.calibration import POPULATIONS
from segdepth.evaluation.examples import chosen_defoci, evenly_spaced
from segdepth.evaluation.metrics import ratio
from segdepth.evaluation.noisy_images import NoisyImages
from segdepth.evaluation.results import chosen
from segdepth.labels.column_depths import confidence_of
from segdepth.labels.depth import read_columns
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.steps.stored_evaluation import read_evaluation
from segdepth.store.manifest import content_hash, manifest_path, read_manifest
from segdepth.store.run_record import run_path
from segdepth.store.zarr_store import open_zarr

ELEMENTS = (ALL, "Ce", "O")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return build_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("models") / "m")


@pytest.fixture(scope="module")
def folder(data, model, tmp_path_factory):
    """A random network's."""
    return run(data, model, tmp_path_factory.mktemp("results") / "evaluation")


@pytest.fixture(scope="module")
def evaluation(folder):
    return read_evaluation(folder, columns=True, examples=True)


def test_everything_is_written_once_and_whole(evaluation, folder):
    facts = evaluation.facts
    assert facts["images"] == 12 and facts["structures"] == 3 and facts["base_channels"] == 2
    assert facts["electrons_per_square_angstrom"] == pytest.approx(895, abs=1)
    assert facts["crystal"] == "CeO2 [110]" and facts["elements"] == ["Ce", "O"] and facts["classes"] == 11
    table = evaluation.metrics
    assert list(table) == ["metric", "element", "value", "low", "high"]
    wanted = [(name, element) for element in ELEMENTS for name in METRIC_NAMES] + [(name, ALL) for name in ALL_ONLY]
    wanted += [(name, ALL) for name in POPULATIONS.values() if name not in ALL_ONLY]
    assert list(zip(table["metric"], table["element"])) == wanted
    table = table[table["metric"] != "columns_relative_error_thick"]  # there are none
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    pixels = 12 * 64 * 64
    assert chosen(evaluation.confusion, {"element": ALL})["pixels"].sum() == pixels
    assert chosen(evaluation.calibration, {"population": "pixels"})["number"].sum() == pixels
    atomic = chosen(evaluation.confusion, {"element": ALL}).query("true > 0")["pixels"].sum()
    assert chosen(evaluation.calibration, {"population": "pixels_of_columns"})["number"].sum() == atomic
    by_defocus = chosen(evaluation.by_defocus, {"metric": "pixelwise_accuracy", "element": ALL})
    assert by_defocus["defocus_nm"].tolist() == list(DEFOCI) and (by_defocus["images"] == 3).all()
    assert by_defocus["value"].mean() == pytest.approx(evaluation.value("pixelwise_accuracy"))
    assert len(evaluation.by_defocus) == 4 * len([name for name, _ in wanted if name in (*METRIC_NAMES, *ALL_ONLY)])
    manifest = read_manifest(folder)
    assert manifest["content"] == content_hash(folder)
    assert len(manifest["inputs"]) == 7 and manifest["seeds"] == {"root_seed": 0, "specimen": "w"}
    assert manifest["parameters"] == {"dataset": DATASET.model_dump(mode="json"), "name": "d", "planned_structures": 6}


def test_the_time_of_an_image_is_known_and_decides_nothing(evaluation, folder, data, model, tmp_path, monkeypatch):
    assert 0 < evaluation.run["seconds_per_image"] < 60 and evaluation.run["device"] == "cpu"
    assert read_manifest(folder)["notes"] == evaluation.run
    assert not any("seconds" in path.read_text() for path in [manifest_path(folder), *folder.glob("*.json")])
    clock = iter(range(0, 10**6, 7))
    monkeypatch.setattr(evaluate, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    again = run(data, model, tmp_path / "evaluation")
    assert read_evaluation(again).run["seconds_per_image"] == 7 / 5  # five images at a time
    assert manifest_path(again).read_bytes() == manifest_path(folder).read_bytes()
    run_path(again).unlink()
    assert read_evaluation(again).run == {}


def test_metrics_are_those_of_the_stored_tables(evaluation):
    for element in ELEMENTS:
        rows = chosen(evaluation.confusion, {"element": element})
        confusion = rows.pivot(index="true", columns="estimate", values="pixels").to_numpy()
        assert confusion.shape == (11, 11)
        assert evaluation.value("pixelwise_accuracy", element) == pytest.approx(np.trace(confusion) / confusion.sum())
        found = confusion[1:, 1:].sum() / confusion[1:].sum()
        assert evaluation.value("detection_rate", element) == pytest.approx(found)
    columns = evaluation.columns
    error = columns["depth"] - columns["atoms"]
    assert len(columns) == evaluation.facts["columns"]
    assert evaluation.value("columns_exact") == pytest.approx((error == 0).mean())
    covered = columns["atoms"].between(columns["depth_low"], columns["depth_high"])
    assert evaluation.value("columns_covered") == pytest.approx(covered.mean())
    assert columns["depth"].between(columns["depth_low"], columns["depth_high"]).all()
    assert evaluation.value("columns_mean_error", "O") == pytest.approx(error[columns["element"] == "O"].mean())


def test_sums_of_each_structure(evaluation):
    columns = evaluation.columns
    for element in ELEMENTS:
        mine = columns if element == ALL else columns[columns["element"] == element]
        exact = (mine["atoms"] == mine["depth"]).groupby(mine["structure"])
        sums = chosen(evaluation.by_structure, {"metric": "columns_exact", "element": element})
        assert sums["structure"].tolist() == sorted(columns["structure"].unique()) == TESTED
        assert sums["right"].tolist() == exact.sum().tolist()
        assert sums["total"].tolist() == exact.count().tolist() and sums["total"].nunique() > 1
        for name in METRIC_NAMES:
            sums = chosen(evaluation.by_structure, {"metric": name, "element": element})
            assert sums["structure"].tolist() == TESTED
            share = ratio(sums["right"].sum(), sums["total"].sum())
            assert share == pytest.approx(evaluation.value(name, element))
    sums = chosen(evaluation.by_structure, {"metric": "false_columns_per_100_nm2"})
    assert sums["right"].sum() / sums["total"].sum() == pytest.approx(evaluation.value("false_columns_per_100_nm2"))


def test_what_becomes_of_each_count(evaluation):
    """From ``columns.csv`` alone, with intervals of another bootstrap."""
    columns, long = evaluation.columns, evaluation.by_atoms
    exact = chosen(long, {"metric": "columns_exact"})
    assert exact["element"].tolist() == [ALL] * 10 + ["Ce"] * 10 + ["O"] * 10
    assert exact["atoms"].tolist() == [*range(1, 11)] * 3
    rng = np.random.default_rng(5)
    for (element, atoms), rows in long.groupby(["element", "atoms"]):
        mine = columns[columns["atoms"] == atoms]
        mine = mine if element == ALL else mine[mine["element"] == element]
        error, values = mine["depth"] - mine["atoms"], rows.set_index("metric")["value"]
        assert (rows["columns"] == len(mine)).all() and len(rows) == 6
        row = rows[rows["metric"] == "columns_exact"].iloc[0]
        names = ["columns_exact", "columns_within_one", "columns_mean_error", "columns_mean_absolute_error"]
        if mine.empty:
            assert values[names].isna().all() and np.isnan(row["low"])
            continue
        wanted = [(error == 0).mean(), (abs(error) <= 1).mean(), error.mean(), abs(error).mean()]
        assert values[names].tolist() == pytest.approx(wanted)
        if not np.isnan(row["low"]):
            drawn = drawn_again(error == 0, mine["structure"], columns["structure"].unique(), rng)
            assert [row["low"], row["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    whole = exact[exact["element"] == ALL]
    assert whole["columns"].sum() == evaluation.facts["columns"]
    weights = whole["columns"] / evaluation.facts["columns"]
    assert (weights * whole["value"]).sum() == pytest.approx(evaluation.value("columns_exact"))


def drawn_again(exact, structure, structures, rng, draws=1000):
    """Shares of exact columns where whole structures are drawn with replacement, the plain way."""
    groups = {s: exact[structure == s].to_numpy() for s in structures}
    chosen = (np.concatenate([groups[s] for s in rng.choice(structures, len(structures))]) for _ in range(draws))
    return [one.mean() for one in chosen if len(one)]


def test_centre_accuracy_of_each_count(data, model, tmp_path, monkeypatch):
    """A network that is right about thin columns only."""

    def thin(network, batch, device):
        depth = np.stack([sample.truth.depth for sample in batch])
        return (np.where(depth > 3, 0, depth)[:, None] == np.arange(11)[None, :, None, None]).astype(np.float32)

    monkeypatch.setattr(evaluate, "_probabilities", thin)
    table = read_evaluation(run(data, model, tmp_path / "evaluation")).by_atoms
    seen = chosen(table[table["columns"] > 0], {"metric": "centre_accuracy"})
    assert (seen["value"] == (seen["atoms"] <= 3)).all() and len(seen) > 6


def test_defocus_has_intervals(evaluation):
    columns, table = evaluation.columns, evaluation.by_defocus
    rng = np.random.default_rng(5)
    for name in ("columns_exact", "centre_accuracy"):
        rows = chosen(table, {"metric": name})
        assert len(rows) == 3 * 4
        assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()
    assert chosen(table, {"metric": "detection_rate"})["low"].isna().all()
    for row in chosen(table, {"metric": "columns_exact", "element": "O"}).itertuples():
        mine = columns[(columns["defocus_nm"] == row.defocus_nm) & (columns["element"] == "O")]
        drawn = drawn_again(mine["depth"] == mine["atoms"], mine["structure"], columns["structure"].unique(), rng)
        assert [row.low, row.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def test_only_columns_whose_core_is_in_the_field_count(evaluation, data):
    columns = evaluation.columns
    assert set(columns["structure"]) == set(TESTED)
    here = columns[(columns["structure"] == 1) & (columns["defocus_nm"] == 5)]
    field, core = 64 * PIXEL, {58: 85.0, 8: 64.0}
    with open_zarr(data["depth"][0]) as store:
        truth = read_columns(store, 1)
    radius = truth["element"].map(core)
    inside = (truth[["x_pm", "y_pm"]].min(axis=1) >= radius) & (truth[["x_pm", "y_pm"]].max(axis=1) <= field - radius)
    assert 0 < inside.sum() < len(truth)
    merged = truth[inside].round(2).merge(here, on=["x_pm", "y_pm"])
    assert len(merged) == len(here) == inside.sum() and (merged["atoms_x"] == merged["atoms_y"]).all()


def test_examples(evaluation):
    store = evaluation.examples
    assert store["structure"].values.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3]
    assert store["defocus_nm"].values.tolist() == [1, 5, 9] * 3
    assert store["noisy"].shape == store["confidence"].shape == (9, 64, 64)
    ratio = (store["noisy"] - store["intensity"]).var() / store["intensity"].mean()
    assert float(ratio) == pytest.approx(1 / electrons_per_pixel(2.5, PIXEL), rel=0.05)
    assert store.attrs["dose_lambda"] == 2.5 and store.attrs["field_pm"] == pytest.approx(64 * PIXEL)
    assert json.loads(store.attrs["crystal"])["formula"] == "CeO2"
    assert json.loads(store.attrs["labels"])["most_atoms"] == 10


def test_noise_depends_on_neither_batch_nor_shard(evaluation, data, model, tmp_path):
    again = run(data, model, tmp_path / "evaluation", batch_size=1)
    specimen = SPECIMEN.model_copy(update={"shard_size": 5})
    other = run(build_data(tmp_path / "data", specimen), model, tmp_path / "other", batch_size=7, specimen=specimen)
    for path in (again, other):
        found = read_evaluation(path, examples=True)
        assert (found.examples["noisy"] == evaluation.examples["noisy"]).all()
        known = ~found.metrics["metric"].isin(POPULATIONS.values())
        assert found.metrics["value"][known].tolist() == pytest.approx(
            evaluation.metrics["value"][known], abs=2e-4, nan_ok=True
        )


def test_a_perfect_network(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "_probabilities", oracle)
    found = read_evaluation(run(data, model, tmp_path / "evaluation"), columns=True)
    for element in ELEMENTS:
        assert [found.value(n, element) for n in METRIC_NAMES] == [1, 1, 1, 0, 1, 1, 0, 0, None, 1]
    assert found.value("false_columns_per_100_nm2") == 0
    assert found.interval("centre_accuracy") == (1, 1)
    for name in POPULATIONS.values():  # always right with confidence 0.9
        assert found.value(name) == pytest.approx(0.1, abs=1e-6)
    columns = found.columns
    assert (columns["depth"] == columns["atoms"]).all() and np.allclose(columns["confidence"], 0.9)


def test_calibration_before_temperature_scaling(data, tmp_path, monkeypatch):
    """Probabilities 0.9 and 0.1 of a network whose logits were halved were 0.81 and 0.01, over their sum."""
    monkeypatch.setattr(evaluate, "_probabilities", oracle)
    found = read_evaluation(run(data, build_model(tmp_path / "m", temperature=2.0), tmp_path / "evaluation"))
    assert found.facts["temperature"] == 2
    for population, metric in POPULATIONS.items():
        confidence = 0.81 / 0.82 if population.endswith("_before") else 0.9
        assert found.value(metric) == pytest.approx(1 - confidence, abs=1e-6)
        (curve,) = chosen(found.calibration, {"population": population}).query("number > 0").itertuples()
        assert curve.mean_confidence == pytest.approx(confidence, abs=1e-6) and curve.accuracy == 1
    for population in ("columns", "columns_before"):
        assert chosen(found.calibration, {"population": population})["number"].sum() == found.facts["columns"]


@pytest.mark.parametrize(("temperature", "times"), [(1.0, 1), (2.0, 2)])
def test_the_most_probable_depth_is_sought_once(data, tmp_path, monkeypatch, temperature, times):
    """And once more before temperature scaling."""
    sought = []
    monkeypatch.setattr(evaluate, "_probabilities", oracle)
    monkeypatch.setattr(tallies, "confidence_of", lambda *given: sought.append(given[0].ndim) or confidence_of(*given))
    run(data, build_model(tmp_path / "m", temperature=temperature), tmp_path / "evaluation")
    assert sought.count(2) == sought.count(1) == 12 * times  # maps, and columns, of each image


def test_columns_beyond_the_counts_are_right_in_the_class_of_more(tmp_path, monkeypatch):
    """Counts to 2 and more: a perfect network is, and one that never says more is one atom off for those."""
    labels = RINGS.model_copy(update={"most_atoms": 2, "more": True})
    data = build_data(tmp_path / "data", labels=labels)
    model = build_model(tmp_path / "models" / "m", classes=4, labels=labels.model_dump(mode="json"))
    monkeypatch.setattr(evaluate, "_probabilities", partial(oracle, classes=4, right=1.0))
    found = read_evaluation(run(data, model, tmp_path / "perfect"), columns=True)
    columns = found.columns
    thick = columns["atoms"] > 2
    assert found.facts["classes"] == 4 and found.facts["more"] and 0 < thick.mean() < 1
    assert columns["atoms"].max() > 3 and (columns["depth"] == np.minimum(columns["atoms"], 3)).all()
    assert (columns["confidence"][thick] == 0.999).all() and (columns["confidence"][~thick] == 1).all()
    names = ("columns_exact", "columns_covered", "columns_mean_absolute_error", "pixelwise_accuracy")
    assert [found.value(name) for name in names] == [1, 1, 0, 1]
    assert sorted(found.by_atoms["atoms"].unique()) == [1, 2, 3]

    def modest(network, batch, device):
        probabilities = oracle(network, batch, device, 1.0, 4)
        probabilities[:, 2] += probabilities[:, 3]
        probabilities[:, 3] = 0
        return probabilities

    monkeypatch.setattr(evaluate, "_probabilities", modest)
    found = read_evaluation(run(data, model, tmp_path / "modest"), columns=True)
    assert found.value("columns_exact") == pytest.approx(1 - thick.mean())
    assert found.value("columns_mean_error") == pytest.approx(-thick.mean())


def test_nothing_found_leaves_empty_cells(data, model, tmp_path, monkeypatch):
    def blind(network, batch, device):
        found = np.zeros((len(batch), 11, 64, 64), np.float32)
        found[:, 0] = 1
        return found

    monkeypatch.setattr(evaluate, "_probabilities", blind)
    out = run(data, model, tmp_path / "evaluation", dataset=shares(0.2))
    found = read_evaluation(out)
    assert found.facts["structures"] == 1
    assert found.value("detection_rate") == 0 and found.value("hallucinated_rate") is None
    assert "hallucinated_rate,all,,,\n" in (out / "metrics.csv").read_text()
    assert found.interval("pixelwise_accuracy") is None  # one structure says nothing about the spread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_pixel_pm": 10.0}, "data set 'd' does not fit the network 'm': the image pixel is 21.1367 pm, not 10"),
        ({"label_pixel_pm": 10.0}, "the label pixel is 21.1367 pm, not 10 pm"),
        (
            {"labels": {"core_radius_pm": {"Ce": 50, "O": 40}, "outer_radius_pm": {"Ce": 120, "O": 90}}},
            "data set 'd' does not fit .* the labels differ: ",
        ),
        ({"classes": 8, "labels": {}}, "depth classes are 0 to 10, not 0 to 7"),
        ({"training_record": record(shares(0.4, train=0.6))}, "trained on 1 of its 3 structures .the first is 0"),
    ],
)
def test_networks_that_do_not_fit_are_refused(data, tmp_path, changes, message):
    model = build_model(tmp_path / "m", **changes)
    with pytest.raises(ConfigError, match=message) as failure:
        run(data, model, tmp_path / "evaluation")
    assert "\n" not in str(failure.value) and not manifest_path(tmp_path / "evaluation").exists()


def test_a_network_of_another_version_is_told(data, tmp_path):
    model = build_model(tmp_path / "m", training_record=[])
    with pytest.raises(StoreError, match="training_record cannot be read .* train the network with") as told:
        run(data, model, tmp_path / "evaluation")
    assert "\n" not in str(told.value) and not manifest_path(tmp_path / "evaluation").exists()


def test_structures_of_another_specimen_do_not_overlap(data, tmp_path):
    model = build_model(tmp_path / "m", training_record=record(shares(0, train=1), specimen="other"))
    run(data, model, tmp_path / "evaluation", dataset=shares(0.2))


def test_the_full_variant_reads_finer_images(data, tmp_path):
    fine = tmp_path / "images.zarr"
    build_images(data["depth"][0], fine, defoci=(1.0, 5.0), finer=4)
    model = build_model(tmp_path / "m", variant="full", input_pixel_pm=PIXEL / 4)
    given = {"images": [fine], "depth": data["depth"][:1], "specimen": SPECIMEN.model_copy(update={"structures": 2})}
    found = read_evaluation(run(given, model, tmp_path / "evaluation"), examples=True)
    assert found.facts["variant"] == "full"
    assert chosen(found.confusion, {"element": ALL})["pixels"].sum() == 4 * 64 * 64
    assert found.examples["noisy"].shape == (4, 256, 256) and found.examples["estimate"].shape == (4, 64, 64)


def test_data_that_do_not_belong_together_are_refused(data, model, tmp_path):
    with pytest.raises(StoreError, match="no structures are left"):
        run(data, model, tmp_path / "e", dataset=shares(0, train=1))
    more = SPECIMEN.model_copy(update={"structures": 8})
    with pytest.raises(StoreError, match="1 of 4 structures to evaluate are in none of the 3 shards, the first is 6"):
        run(data, model, tmp_path / "e", specimen=more)
    other = tmp_path / "images.zarr"
    build_images(data["depth"][1], other, defoci=(1.0, 2.0))
    images, depth = ([open_zarr(path) for path in data[kind]] for kind in ("images", "depth"))
    with pytest.raises(StoreError, match="do not hold the same structures"):
        NoisyImages(images[:1], depth[1:2], [1])
    with pytest.raises(StoreError, match="one depth store for each"):
        NoisyImages(images, depth[:1], [1])
    with pytest.raises(StoreError, match="defocus values differ"):
        NoisyImages([images[0], open_zarr(other)], depth[:2], [1, 2])
    with pytest.raises(StoreError, match="another root_seed .1 and 0"):
        NoisyImages([images[0].assign_attrs(root_seed=1)], depth[:1], [1])
    with pytest.raises(StoreError, match="an evaluation needs a square one"):
        NoisyImages(images[:1], [depth[0].assign_attrs(field_pm=[1200.0, 2000.0])], [1])
    for name in ("crystal", "labels"):
        bare = depth[0].drop_attrs().assign_attrs({k: v for k, v in depth[0].attrs.items() if k != name})
        with pytest.raises(StoreError, match=f"has no attribute '{name}'"):
            NoisyImages(images[:1], [bare], [1])


def test_choosing_examples():
    assert evenly_spaced(1, 1) == [0] and evenly_spaced(2, 2) == [0, 1] and evenly_spaced(9, 3) == [0, 4, 8]
    assert evenly_spaced(2, 3) == [0, 0, 1]
    assert chosen_defoci((9.0, 1.0, 5.0, 3.0, 7.0)) == [1, 2, 0]
