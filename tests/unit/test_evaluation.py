"""The job ``evaluate-model`` on tiny stores, end to end."""

import json

import numpy as np
import pandas as pd
import pytest
from evaluation_data import DEFOCI, PIXEL, SPECIMEN, build_data, build_images, build_model, oracle, run

from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation import evaluate
from segdepth.evaluation.examples import chosen_defoci, evenly
from segdepth.evaluation.metrics import NAMES
from segdepth.evaluation.stored import read_examples, read_metrics, read_table
from segdepth.evaluation.test_images import TestSet
from segdepth.labels.depth import read_columns
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.store.manifest import content_hash, manifest_path, read_manifest, writing


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return build_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("models") / "m", trained_on=[0, 3])


@pytest.fixture(scope="module")
def evaluation(data, model, tmp_path_factory):
    """A random network's."""
    return run(data, model, tmp_path_factory.mktemp("results") / "evaluation")


def test_everything_is_written_once_and_whole(evaluation, data):
    facts = read_metrics(evaluation)
    assert facts["images"] == 12 and facts["structures"] == 3 and facts["base_channels"] == 2
    assert facts["electrons_per_square_angstrom"] == pytest.approx(895, abs=1)
    for name in NAMES:
        for suffix in ("", "_Ce", "_O"):
            assert name + suffix in facts and name + suffix + "_interval" in facts
    pixels = 12 * 64 * 64
    assert read_table(evaluation, "confusion").to_numpy().sum() == pixels
    calibration = read_table(evaluation, "calibration")
    assert calibration[calibration["population"] == "all"]["pixels"].sum() == pixels
    by_defocus = read_table(evaluation, "by_defocus")
    assert by_defocus["defocus_nm"].tolist() == list(DEFOCI) and (by_defocus["images"] == 3).all()
    assert by_defocus["pixelwise_accuracy"].mean() == pytest.approx(facts["pixelwise_accuracy"])
    manifest = read_manifest(evaluation)
    assert manifest["content"] == content_hash(evaluation)
    assert len(manifest["inputs"]) == 7 and manifest["parameters"]["structures"] == [1, 2, 4]


def test_metrics_are_those_of_the_stored_tables(evaluation):
    facts, confusion = read_metrics(evaluation), read_table(evaluation, "confusion").to_numpy()
    assert facts["pixelwise_accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert facts["detection_rate"] == pytest.approx(confusion[1:, 1:].sum() / confusion[1:].sum())
    columns = read_table(evaluation, "columns")
    error = columns["depth"] - columns["atoms"]
    assert len(columns) == facts["columns"]
    assert facts["columns_exact"] == pytest.approx((error == 0).mean())
    assert facts["columns_mean_error_O"] == pytest.approx(error[columns["element"] == "O"].mean())


def test_sums_of_each_structure(evaluation):
    facts, sums = read_metrics(evaluation), read_table(evaluation, "by_structure")
    columns = read_table(evaluation, "columns")
    exact = (columns["atoms"] == columns["depth"]).groupby(columns["structure"])
    assert sums["structure"].tolist() == sorted(columns["structure"].unique())
    assert sums["columns_exact_right"].tolist() == exact.sum().tolist()
    assert sums["columns_exact_all"].tolist() == exact.count().tolist()
    for name in ("columns_exact", "centre_accuracy"):
        share = sums[f"{name}_right"].sum() / sums[f"{name}_all"].sum()
        assert share == pytest.approx(facts[name]) and sums[f"{name}_all"].nunique() > 1


def test_what_becomes_of_each_count(evaluation):
    """From ``columns.csv`` alone, with intervals of another bootstrap."""
    columns, table = read_table(evaluation, "columns"), read_table(evaluation, "by_atoms")
    assert table["element"].tolist() == ["Ce"] * 10 + ["O"] * 10 + ["both"] * 10
    assert table["atoms"].tolist() == [*range(1, 11)] * 3
    rng = np.random.default_rng(5)
    for row in table.itertuples():
        mine = columns[columns["atoms"] == row.atoms]
        mine = mine if row.element == "both" else mine[mine["element"] == row.element]
        error = mine["depth"] - mine["atoms"]
        assert row.columns == len(mine)
        if mine.empty:
            assert np.isnan([row.columns_exact, row.columns_within_one, row.mean_error, row.columns_exact_low]).all()
            continue
        found = row.columns_exact, row.columns_within_one, row.mean_error
        assert found == pytest.approx(((error == 0).mean(), (abs(error) <= 1).mean(), error.mean()))
        if not np.isnan(row.columns_exact_low):
            shares = drawn_again(error == 0, mine["structure"], columns["structure"].unique(), rng)
            wanted = np.quantile(shares, [0.025, 0.975])
            assert [row.columns_exact_low, row.columns_exact_high] == pytest.approx(wanted, abs=0.03)
    whole, facts = table[table["element"] == "both"], read_metrics(evaluation)
    assert whole["columns"].sum() == facts["columns"]
    weights = whole["columns"] / facts["columns"]
    assert (weights * whole["columns_exact"]).sum() == pytest.approx(facts["columns_exact"])


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
    table = read_table(run(data, model, tmp_path / "evaluation"), "by_atoms")
    seen = table[table["columns"] > 0]
    assert (seen["centre_accuracy"] == (seen["atoms"] <= 3)).all() and len(seen) > 6


def test_defocus_has_intervals(evaluation):
    columns, table = read_table(evaluation, "columns"), read_table(evaluation, "by_defocus")
    rng = np.random.default_rng(5)
    for suffix in ("", "_Ce", "_O"):
        for name in (f"columns_exact{suffix}", f"centre_accuracy{suffix}"):
            assert (table[f"{name}_low"] <= table[name]).all() and (table[name] <= table[f"{name}_high"]).all()
    for row in table.itertuples():
        mine = columns[(columns["defocus_nm"] == row.defocus_nm) & (columns["element"] == "O")]
        shares = drawn_again(mine["depth"] == mine["atoms"], mine["structure"], columns["structure"].unique(), rng)
        found = [row.columns_exact_O_low, row.columns_exact_O_high]
        assert found == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.03)


def test_only_columns_whose_core_is_in_the_field_count(evaluation, data):
    columns = read_table(evaluation, "columns")
    assert set(columns["structure"]) == {1, 2, 4}
    here = columns[(columns["structure"] == 1) & (columns["defocus_nm"] == 5)]
    truth, field, core = read_columns(data["depth"][0], 1), 64 * PIXEL, {58: 85.0, 8: 64.0}
    radius = truth["element"].map(core)
    inside = (truth[["x_pm", "y_pm"]].min(axis=1) >= radius) & (truth[["x_pm", "y_pm"]].max(axis=1) <= field - radius)
    assert 0 < inside.sum() < len(truth)
    merged = truth[inside].round(2).merge(here, on=["x_pm", "y_pm"])
    assert len(merged) == len(here) == inside.sum() and (merged["atoms_x"] == merged["atoms_y"]).all()


def test_examples(evaluation):
    with read_examples(evaluation) as store:
        assert store["structure"].values.tolist() == [1, 1, 1, 2, 2, 2, 4, 4, 4]
        assert store["defocus_nm"].values.tolist() == [1, 5, 9] * 3
        assert store["noisy"].shape == store["confidence"].shape == (9, 64, 64)
        ratio = (store["noisy"] - store["intensity"]).var() / store["intensity"].mean()
        assert float(ratio) == pytest.approx(1 / electrons_per_pixel(2.5, PIXEL), rel=0.05)
        assert store.attrs["dose_lambda"] == 2.5 and store.attrs["field_pm"] == pytest.approx(64 * PIXEL)


def test_noise_depends_on_neither_batch_nor_shard(evaluation, data, model, tmp_path):
    again = run(data, model, tmp_path / "evaluation", batch_size=1)
    one = build_data(tmp_path / "data", SPECIMEN.model_copy(update={"shard_size": 5}))
    other = run(one, model, tmp_path / "other", batch_size=7)
    for path in (again, other):
        with read_examples(path) as mine, read_examples(evaluation) as theirs:
            assert (mine["noisy"] == theirs["noisy"]).all()
    names = [name + suffix for name in NAMES for suffix in ("", "_Ce", "_O")]
    for path in (again, other):
        facts, wanted = read_metrics(path), read_metrics(evaluation)
        assert {n: facts[n] for n in names} == pytest.approx({n: wanted[n] for n in names}, abs=2e-4)


def test_a_perfect_network(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "_probabilities", oracle)
    facts = read_metrics(run(data, model, tmp_path / "evaluation"))
    assert [facts[n] for n in NAMES] == [1, 1, 1, 0, 1, 1, 0, 0]
    assert facts["centre_accuracy_interval"] == [1, 1]
    for suffix in ("", "_columns"):  # always right with confidence 0.9
        assert facts[f"expected_calibration_error{suffix}"] == pytest.approx(0.1, abs=1e-6)
    columns = pd.read_csv(tmp_path / "evaluation" / "columns.csv")
    assert (columns["depth"] == columns["atoms"]).all() and np.allclose(columns["confidence"], 0.9)


def test_nothing_found_leaves_null(data, model, tmp_path, monkeypatch):
    def blind(network, batch, device):
        found = np.zeros((len(batch), 11, 64, 64), np.float32)
        found[:, 0] = 1
        return found

    monkeypatch.setattr(evaluate, "_probabilities", blind)
    out = run(data, model, tmp_path / "evaluation", structures=[2])
    facts = json.loads((out / "metrics.json").read_text())
    assert facts["detection_rate"] == 0 and facts["hallucinated_rate"] is None
    assert facts["pixelwise_accuracy_interval"] is None  # one structure says nothing about the spread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_pixel_pm": 10.0}, "images with a pixel of 10 pm"),
        ({"label_pixel_pm": 10.0}, "labels with a pixel of 10 pm"),
        (
            {"labels": {"core_radius_pm": {"Ce": 50, "O": 40}}},
            "the labels of data set .* not those it learned from: core_",
        ),
        ({"trained_on": [4, 5]}, "trained on 1 of the 3 structures"),
    ],
)
def test_networks_that_do_not_fit_are_refused(data, tmp_path, changes, message):
    model = build_model(tmp_path / "m", **changes)
    with pytest.raises(ConfigError, match=message) as failure:
        run(data, model, tmp_path / "evaluation")
    assert "\n" not in str(failure.value) and not manifest_path(tmp_path / "evaluation").exists()


def test_a_network_of_another_version_is_told(data, tmp_path):
    model = tmp_path / "m"
    notes = {"training_structures": {"specimen": "w", "root_seed": 0, "indices": [1]}}
    with writing(model, command="train-model", code="c", parameters={}, notes=notes) as partial:
        partial.mkdir()
    with pytest.raises(StoreError, match="m: was trained by another version.*train it again") as told:
        run(data, model, tmp_path / "evaluation")
    assert "\n" not in str(told.value) and not manifest_path(tmp_path / "evaluation").exists()


def test_structures_of_another_specimen_do_not_overlap(data, tmp_path):
    model = build_model(tmp_path / "m", trained_on=[1, 2], specimen="other")
    run(data, model, tmp_path / "evaluation", structures=[1])


def test_the_full_variant_reads_finer_images(data, tmp_path):
    fine = tmp_path / "images.zarr"
    build_images(data["depth"][0], fine, defoci=(1.0, 5.0), finer=4)
    model = build_model(tmp_path / "m", variant="full", input_pixel_pm=PIXEL / 4)
    out = run({"images": [fine], "depth": data["depth"][:1]}, model, tmp_path / "evaluation", structures=[0, 1])
    assert read_metrics(out)["variant"] == "full"
    assert read_table(out, "confusion").to_numpy().sum() == 4 * 64 * 64
    with read_examples(out) as store:
        assert store["noisy"].shape == (4, 256, 256) and store["estimate"].shape == (4, 64, 64)


def test_data_that_do_not_belong_together_are_refused(data, model, tmp_path):
    with pytest.raises(StoreError, match="no structures are left"):
        run(data, model, tmp_path / "e", structures=[])
    with pytest.raises(StoreError, match="1 of 2 structures to evaluate are in none of the 3 shards"):
        run(data, model, tmp_path / "e", structures=[1, 17])
    with pytest.raises(StoreError, match="do not hold the same structures"):
        TestSet(data["images"][:1], data["depth"][1:2], [1])
    with pytest.raises(StoreError, match="one depth store for each"):
        TestSet(data["images"], data["depth"][:1], [1])
    other = tmp_path / "images.zarr"
    build_images(data["depth"][1], other, defoci=(1.0, 2.0))
    with pytest.raises(StoreError, match="defocus values differ"):
        TestSet([data["images"][0], other], data["depth"][:2], [1, 2])


def test_choosing_examples():
    assert evenly(1) == [0] and evenly(2) == [0, 1] and evenly(9) == [0, 4, 8]
    assert chosen_defoci((9.0, 1.0, 5.0, 3.0, 7.0)) == [1, 2, 0]
