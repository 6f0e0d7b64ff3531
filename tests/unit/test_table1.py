"""Table I: the paper's rows as printed, ours behind them."""

import pandas as pd
import pytest
from figure_data import make_evaluation, store_evaluation

from segdepth.steps.tabulate_table1 import tabulate_table1
from segdepth.store.manifest import read_manifest


def test_table_one(tmp_path):
    evaluation = store_evaluation(tmp_path / "evaluation", make_evaluation())
    tabulate_table1([evaluation], tmp_path / "table.csv", code="code")
    table = pd.read_csv(tmp_path / "table.csv")
    paper, ours = table[table["source"] == "paper"], table[table["source"] != "paper"]
    assert list(dict.fromkeys(paper["base_channels"])) == [16, 32, 64, 96, 130]
    assert set(ours["source"]) == {"a_model on d (binned)"}
    printed = paper[paper["base_channels"] == 64].set_index("metric")["value"]
    names = ["pixelwise_accuracy", "centre_accuracy", "detection_rate", "hallucinated_rate"]
    assert printed[names].tolist() == pytest.approx([0.939, 0.847, 0.956, 0.0233])
    mine = ours.set_index(["metric", "element"])["value"]
    assert mine["centre_accuracy", "Ce"] == mine["columns_exact", "O"] == mine["pixelwise_accuracy", "all"] == 0.8
    latex = (tmp_path / "table.tex").read_text()
    assert latex.count(r" \\") == 7 and r"a\_model" in latex and "64 & 18.75 & 2.5 & 0.939" in latex
    for name in ("table.csv", "table.tex"):
        assert read_manifest(tmp_path / name)["command"] == "tabulate-table1"
