"""Sets with a promise and tables of limits, from stored images and structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import CERIA
from evaluation_data import DATASET, SPECIMEN, TESTED, build_data, build_model, run

from segdepth.cli import main
from segdepth.config import PredictionSets
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.conformal import split_structures
from segdepth.evaluation.ideal_observer_images import COLUMNS
from segdepth.evaluation.results import OBSERVER_TABLES, IdealObserver
from segdepth.steps.measure_sets import _unseen, measure_sets
from segdepth.steps.stored_evaluation import write_ideal_observer
from segdepth.steps.tabulate_limits import IDEAL, tabulate_limits
from segdepth.store.claims import release_all
from segdepth.store.manifest import read_manifest, write_artefact


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Folder, shards and an untrained network."""
    folder = tmp_path_factory.mktemp("limits")
    data = build_data(folder)
    return folder, data, build_model(folder / "m")


def test_sets_are_calibrated_on_one_half_and_measured_on_the_other(project, tmp_path):
    _, data, model = project
    block = PredictionSets(calibration="d", tests=("dim",), coverage=0.8, images=2)
    both = [(DATASET, SPECIMEN), (DATASET.model_copy(update={"dose_lambda": 0.5}), SPECIMEN)]
    given = block, both, model, [*data["images"], *data["images"]], [*data["depth"], *data["depth"]]
    measure_sets(*given, tmp_path / "sets.csv", name="s", code="c", device="cpu")
    release_all()
    table = pd.read_csv(tmp_path / "sets.csv")
    assert table["dataset"].tolist() == ["d"] * 3 + ["dim"] * 3 and set(table["element"]) == {"all", "Ce", "O"}
    assert table["coverage"].between(0, 1).all() and (table["size"] >= 1).all() and (table["promised"] == 0.8).all()
    one = table[(table["element"] == "Ce") & (table["dataset"] == "d")].iloc[0]
    assert table.loc[table["element"] == "Ce", "threshold"].nunique() == 1  # the shift has the calibration's
    # an untrained network says much the same of every column: sets large enough to hold 0.8 of them
    assert one["coverage"] > 0.5 and one["columns"] % 2 == 0  # one structure, two images
    assert read_manifest(tmp_path / "sets.csv")["parameters"]["prediction_sets"]["coverage"] == 0.8


def test_sets_need_two_structures(project, tmp_path):
    _, data, model = project
    single = DATASET.model_copy(update={"splits": type(DATASET.splits)(test=0.1, train=0, validation=0)})
    block = PredictionSets(calibration="d", coverage=0.8)
    with pytest.raises(StoreError, match="at least 2"):
        measure_sets(
            block, [(single, SPECIMEN)], model, data["images"], data["depth"], tmp_path / "s.csv", name="s", code="c",
            device="cpu",
        )  # fmt: skip


def test_a_shift_of_other_splits_is_not_measured_on_structures_of_the_calibration(project, tmp_path):
    """Its own half would hold some of them; the whole of it is left out with one line."""
    _, data, model = project
    block = PredictionSets(calibration="d", tests=("few",), coverage=0.8, images=2)
    structures = DATASET.structures_of("test", SPECIMEN)
    calibration, _ = split_structures(structures)
    assert _unseen(structures, calibration, "few") == sorted(set(structures) - set(calibration))
    with pytest.raises(StoreError, match="'few': sets are calibrated on all structures"):
        _unseen(calibration, calibration, "few")
    given = [(DATASET, SPECIMEN)], model, data["images"], data["depth"], tmp_path / "sets.csv"
    with pytest.raises(ConfigError, match="prediction_sets.s: got 1 data sets, 2 are needed"):
        measure_sets(block, *given, name="s", code="c", device="cpu")


def test_a_data_set_without_its_specimen_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    block = PredictionSets(calibration="d", coverage=0.8).as_json()
    dataset, specimen = ["--dataset", DATASET.as_json()], ["--specimen", SPECIMEN.as_json()]
    files = [f"--{name}={tmp_path}" for name in ("model", "images", "depth")]
    given = ["--prediction-sets", block, *dataset, *specimen, *specimen, *files, "--name=s", f"--out={tmp_path}/s.csv"]
    monkeypatch.setattr("sys.argv", ["segdepth", "measure-sets", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    line = "segdepth: error: got 1 --dataset, 2 --specimen; each is needed once for every data set\n"
    assert (ended.value.code, capsys.readouterr().err) == (2, line)


def test_the_limit_stands_beside_the_network(project, tmp_path):
    folder, data, model = project
    evaluation = run(data, model, tmp_path / "evaluation")
    found = pd.read_csv(evaluation / "columns.csv")
    drawn = found.drop_duplicates(["structure", "x_pm", "y_pm"]).assign(
        columns_exact=0.5, binary_error=0.1, d_prime_minus=2.0, d_prime_plus=2.0
    )
    facts = {"dataset": "d", "specimen": "w", "crystal": CERIA.title, "elements": ["Ce", "O"], "dose_lambda": 2.5}
    empty = pd.DataFrame({"metric": ["columns_exact"]})
    tables = dict.fromkeys(OBSERVER_TABLES, empty) | {"columns": drawn[list(COLUMNS)]}
    with write_artefact(tmp_path / "ideal", command="estimate-ideal-observer", code="c", parameters={}) as partial:
        partial.mkdir()
        write_ideal_observer(IdealObserver(facts=facts | {"structures": 3, "columns": len(drawn)}, **tables), partial)
    atoms = sorted((folder / "specimens" / "w").glob("shard-*.extxyz"))
    tabulate_limits(tmp_path / "ideal", [evaluation], atoms, tmp_path / "limits.csv", code="c")
    release_all()
    table = pd.read_csv(tmp_path / "limits.csv")
    assert set(table["source"]) == {IDEAL, "m"} and set(table["by"]) == {"dose_lambda", "defocus_nm", "atoms", "place"}
    mine = table[(table["source"] == "m") & (table["by"] == "dose_lambda") & (table["element"] == "all")]
    exact = (found["depth"] == found["atoms"]).mean()
    assert mine.set_index("metric")["value"]["columns_exact"] == pytest.approx(exact, rel=1e-5)
    ideal = table[(table["source"] == IDEAL) & (table["by"] == "dose_lambda") & (table["element"] == "Ce")]
    exact = ideal[ideal["metric"] == "columns_exact"].astype({"at": float}).sort_values("at")["value"].to_numpy()
    assert (np.diff(exact) > 0).all() and len(exact) == 11
    places = table[(table["by"] == "place") & (table["source"] == "m")]
    assert set(places["at"]) <= {"edge", "bulk"} and len(TESTED) == 3
    other = dict(facts, specimen="another")
    with write_artefact(tmp_path / "other", command="estimate-ideal-observer", code="c", parameters={}) as partial:
        partial.mkdir()
        write_ideal_observer(IdealObserver(facts=other | {"structures": 3, "columns": 1}, **tables), partial)
    with pytest.raises(StoreError, match="another"):
        tabulate_limits(tmp_path / "other", [evaluation], atoms, tmp_path / "x.csv", code="c")
