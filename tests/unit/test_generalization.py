"""Networks under each other's conditions: the block, the table from made-up evaluations, and the figure."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_config import changed
from test_network_table import by_structure, evaluation, network

from segdepth.config import Config, Generalization, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.generalization import COLUMNS
from segdepth.figures.generalization import draw
from segdepth.steps.generalization_layout import generalization_evaluations, generalization_models
from segdepth.steps.plot_generalization import plot_generalization, read_matrix
from segdepth.steps.pretrained import check_pretrained
from segdepth.steps.tabulate_generalization import tabulate_generalization
from segdepth.steps.tabulate_networks import Folders
from segdepth.store.manifest import read_manifest
from segdepth.store.trace import trace

BLOCK = {
    "networks": {
        "small": {"trained_on": "quick", "tuned": {"hazy": "small_hazy"}},
        "blurred": {"trained_on": "hazy"},
    }
}


def config(block: dict | None = None, **models) -> dict:
    """GOOD with a second data set, its network, and one that is tuned to it; ``models`` change these blocks."""
    data = changed("generalization", {"lens": copy.deepcopy(BLOCK) if block is None else block})
    data["imaging"]["hazy"] = {"image_spread_pm": 50}
    data["datasets"]["hazy"] = data["datasets"]["quick"] | {"imaging": "hazy"}
    data["models"] |= {
        "blurred": {"datasets": ["hazy"]},
        "small_hazy": {"datasets": ["hazy"], "init_weights": "results/models/small"},
    }
    for name, change in models.items():
        data["models"][name] |= change
    return data


def test_a_matrix_asks_for_every_network_on_every_data_set_and_for_what_is_tuned():
    made = validate(Config, config())
    cells = [tuple(cell) for cell in made.generalization["lens"].cells]
    assert cells == [
        ("small", "quick", None, None),
        ("small", "hazy", None, "blurred"),
        ("blurred", "quick", None, "small"),
        ("blurred", "hazy", None, None),
        ("small_hazy", "hazy", "small", "small"),
    ]
    evaluations = generalization_evaluations(made, "lens")
    assert evaluations[0] == "results/evaluation/small/quick" and len(evaluations) == 5
    assert generalization_models(made, "lens") == [f"results/models/{m}" for m in ("small", "blurred", "small_hazy")]


ROW = {"label": "a", "models": ["small"], "dataset": "quick"}


def block(**networks) -> dict:
    return {"networks": copy.deepcopy(BLOCK["networks"]) | networks}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (config(block(blurred={"trained_on": "quick"})), "networks: two have trained_on 'quick'"),
        (config({"networks": {"small": {"trained_on": "quick"}}}), "generalization.lens.networks"),
        (config(block(misty={"trained_on": "mist"})), "no block is called 'mist'"),
        (config(block(small={"trained_on": "quick", "tuned": {"quick": "blurred"}})), "dataset 'quick'; allowed: hazy"),
        (config(block(small={"trained_on": "quick", "tuned": {"hazy": "blurred"}})), "'blurred', which is one of the"),
        (config(small_hazy={"init_weights": None}), "init_weights None; results/models/small is needed"),
        (config(small_hazy={"datasets": ["quick"]}), "'small_hazy' is trained on quick, not on 'hazy'"),
        (config(blurred={"datasets": ["quick"]}), "'blurred' is trained on quick, not on 'hazy'"),
        (config(small={"datasets": ["quick", "hazy"]}),
         "(small on hazy): 'small' is trained on 'hazy', too, which is that of 'blurred'"),
        (config() | {"tables": {"generalization_lens": {"rows": [ROW]}}},
         "tables.generalization_lens: results/tables/generalization_lens.csv is another table"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_matrix_that_cannot_be_made_is_refused_in_one_line(data, says):
    with pytest.raises(ConfigError) as told:
        validate(Config, data)
    assert says in str(told.value) and len(str(told.value).splitlines()) == 1


def test_a_network_that_began_with_one_of_another_condition_is_refused():
    data = config(small={"init_weights": "results/models/second"})
    data["models"] |= {
        "second": {"datasets": ["quick"], "init_weights": "results/models/first"},
        "first": {"datasets": ["quick"], "init_weights": "workflow/networks/first/network"},
    }
    validate(Config, data)
    data["models"]["first"]["datasets"] = ["quick", "hazy"]
    with pytest.raises(ConfigError) as told:
        validate(Config, data)
    said = "(small on hazy): 'small' begins with 'first', which is trained on 'hazy', that of 'blurred'"
    assert said in str(told.value) and len(str(told.value).splitlines()) == 1


def test_trainings_that_begin_with_each_other_end():
    """Which is refused where they are checked."""
    data = config(small={"init_weights": "results/models/first"})
    data["models"]["first"] = {"datasets": ["quick"], "init_weights": "results/models/small"}
    with pytest.raises(ConfigError, match="leads back to itself: small <- first <- small"):
        check_pretrained(validate(Config, data))


def test_a_chain_of_trainings_that_has_seen_the_test_structures_is_refused():
    data = config(small={"init_weights": "results/models/first"})
    data["datasets"]["whole"] = data["datasets"]["quick"] | {"splits": {"test": 0, "validation": 0.2, "train": 0.8}}
    data["models"]["first"] = {"datasets": ["whole"]}
    with pytest.raises(
        ConfigError, match=r"^generalization.lens: \d+ test structures of 'quick' .*results/models/first"
    ):
        check_pretrained(validate(Config, data))


RIGHT = {
    ("small", "quick"): 0.95, ("small", "hazy"): 0.7, ("blurred", "quick"): 0.8, ("blurred", "hazy"): 0.9,
    ("small_hazy", "hazy"): 0.88,
}  # fmt: skip


@pytest.fixture
def tabulated(tmp_path):
    """The CSV of made-up evaluations."""
    for (model, dataset), right in RIGHT.items():
        changes = {f"columns_exact_{element}": right for element in ("all", "Ce", "O")}
        evaluation(tmp_path, model, dataset, sums=by_structure(right), **changes)
    for model, seconds in (("small", 300), ("blurred", 360), ("small_hazy", 30)):
        network(tmp_path, model, seconds)
    out = tmp_path / "tables" / "generalization_lens.csv"
    folders = Folders(tmp_path / "evaluation", tmp_path / "models", tmp_path / "ideal_observer")
    tabulate_generalization(Generalization.model_validate(BLOCK), folders, out, code="c")
    return out


def test_changes_are_to_the_network_trained_on_the_data_set_and_to_what_was_tuned(tabulated):
    table = pd.read_csv(tabulated)
    assert tuple(table.columns) == COLUMNS
    assert set(table["metric"]) == {"columns_exact", "columns_within_one", "columns_exact_change"}
    exact = table[(table["metric"] == "columns_exact") & (table["element"] == "all")]
    assert {(row.network, row.dataset): row.value for row in exact.itertuples()} == RIGHT
    assert (exact["low"] < exact["value"]).all() and (exact["value"] < exact["high"]).all()
    assert exact.set_index(["network", "dataset"])["own_data"].eq("yes").tolist() == [True, False, False, True, True]
    change = table[(table["metric"] == "columns_exact_change") & (table["element"] == "Ce")]
    found = {(row.network, row.against): row.value for row in change.itertuples()}
    assert found == pytest.approx(
        {("small", "blurred"): -0.2, ("blurred", "small"): -0.15, ("small_hazy", "small"): 0.18}
    )
    # the structures' scatter is alike for both, so that their change is known better than either
    assert (change["high"] - change["low"]).max() < 0.01
    tuned = table[table["began_with"].notna()]
    assert set(tuned["network"]) == {"small_hazy"} and set(tuned["training_seconds"]) == {30}
    assert set(table["structures"]) == {12} and set(table["images"]) == {108} and set(table["dose_lambda"]) == {2.5}


def test_the_matrix_is_traced_to_evaluations_and_networks(tabulated):
    link = trace(tabulated)
    assert not link.broken and len(link.inputs) == 5 + 3
    assert {given.path.name for given in link.inputs} == {"quick", "hazy", "small", "blurred", "small_hazy"}
    assert read_manifest(tabulated)["parameters"]["generalization"]["networks"]["small"]["tuned"] == {
        "hazy": "small_hazy"
    }


def texts(fig) -> list[str]:
    FigureCanvasAgg(fig).draw()
    return [text.get_text() for text in fig.findobj(Text) if text.get_text()]


def frames(ax) -> set[tuple[float, float]]:
    marked = [p for p in ax.patches if isinstance(p, Rectangle) and not p.get_fill()]
    return {(round(p.get_x() + p.get_width() / 2, 6), round(p.get_y() + p.get_height() / 2, 6)) for p in marked}


def test_the_figure_has_a_number_in_every_cell_and_marks_what_each_network_was_trained_on(tabulated):
    fig = draw(pd.read_csv(tabulated))
    plain, tuned = fig.axes[:2]
    assert [len(ax.texts) for ax in (plain, tuned)] == [4, 3]  # 'blurred' was not tuned to 'quick'
    assert frames(plain) == frames(tuned) == {(0, 0), (1, 1)}
    np.testing.assert_allclose(plain.images[0].get_array(), [[0.95, 0.7], [0.8, 0.9]])
    shown = np.ma.filled(tuned.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, [[0.95, 0.88], [np.nan, 0.9]])
    told = texts(fig)
    assert "0.700\n[0.698 … 0.703]\n±1: 0.999\n−0.200" in told and "0.880\n[0.878 … 0.883]\n±1: 0.999\n+0.180" in told
    facts = next(text for text in told if text.startswith("λ"))
    assert facts.startswith("λ = 2.5; 108 images of 12 structures in each data set\ntrained for 5 to 6 min")
    assert "tuned for 0.5 min" in facts
    assert [label.get_text() for label in plain.get_yticklabels()] == ["quick\n(small)", "hazy\n(blurred)"]


def test_long_trainings_are_in_whole_minutes_and_a_single_structure_has_no_interval(tabulated):
    table = pd.read_csv(tabulated)
    table["training_seconds"] *= 30
    table.loc[table["dataset"] == "hazy", ["low", "high"]] = np.nan
    told = texts(draw(table))
    assert any("trained for 150 to 180 min, tuned for 15 min" in text for text in told)
    assert "0.700\n±1: 0.999\n−0.200" in told and not any("nan" in text for text in told)


def test_a_matrix_without_tuned_networks_has_one_panel(tabulated):
    table = pd.read_csv(tabulated)
    fig = draw(table[table["began_with"].isna()])
    assert len([ax for ax in fig.axes if ax.texts]) == 1
    with pytest.raises(StoreError, match="empty"):
        draw(table.iloc[:0])


def test_names_that_look_like_numbers_or_like_nothing_are_kept(tabulated, tmp_path):
    names = {"small": "1", "blurred": "2", "small_hazy": "3", "hazy": "NA"}
    columns = ["network", "dataset", "began_with", "against"]
    pd.read_csv(tabulated).replace({column: names for column in columns}).to_csv(tmp_path / "named.csv", index=False)
    table = read_matrix(tmp_path / "named.csv")
    assert set(table["began_with"].dropna()) == {"1"} and set(table["dataset"]) == {"quick", "NA"}
    assert [len(ax.texts) for ax in draw(table).axes[:2]] == [4, 3]


def test_the_figure_is_written_beside_its_manifests_and_other_tables_are_refused(tabulated, tmp_path):
    out = tmp_path / "figures" / "generalization_lens.png"
    plot_generalization(tabulated, out, code="c")
    assert out.stat().st_size > 10_000 and out.with_suffix(".pdf").exists() and not trace(out).broken
    with pytest.raises(StoreError, match="tabulate-generalization"):
        plot_generalization(tmp_path / "evaluation" / "small" / "quick", tmp_path / "other.png", code="c")
