"""Tables of networks side by side, and Table I, from made-up results."""

import json

import numpy as np
import pandas as pd
import pytest

from segdepth.config import CALIBRATION_NAMES, METRIC_NAMES, Table, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.network_tables import COLUMNS
from segdepth.evaluation.table1 import PAPER
from segdepth.steps.stored_evaluation import FACTS, OBSERVER_FACTS
from segdepth.steps.tabulate_networks import Folders, tabulate_networks
from segdepth.steps.tabulate_table1 import tabulate_table1
from segdepth.store.manifest import read_manifest, write_artefact

BASE = {
    "pixelwise_accuracy": 0.93, "centre_accuracy": 0.95, "detection_rate": 0.98, "hallucinated_rate": 0.012,
    "columns_exact": 0.94, "columns_within_one": 0.999, "columns_mean_error": 0.01, "columns_mean_absolute_error": 0.06,
    "columns_relative_error_thick": 0.07, "columns_covered": 0.91,
}  # fmt: skip
SHIFTS = {"all": 0, "Ce": 0.01, "O": -0.01}
ENDS = ["low", "high"]


def by_structure(right: float, structures=12) -> pd.DataFrame:
    """Sums of as many structures of different size; the shares right scatter, but alike for every ``right``."""
    rng = np.random.default_rng(1)
    size, scatter = rng.integers(50, 200, structures), rng.normal(0, 0.1, structures)
    sums = {"structure": np.arange(structures), "right": size * (right + scatter), "total": size}
    keys = [(metric, element) for metric in ("columns_exact", "centre_accuracy") for element in SHIFTS]
    return pd.concat([pd.DataFrame({"metric": m, "element": e, **sums}) for m, e in keys])


def evaluation(root, model, dataset, sums=None, specimen="w", **changes):
    """An evaluation's directory; ``changes`` are values by metric, or by ``metric_element``."""
    facts = {"model": model, "dataset": dataset, "dose_lambda": 2.5, "electrons_per_square_angstrom": 895.0}
    facts |= {"specimen": specimen}
    facts |= {"parameters": 1234, "variant": "binned", "base_channels": 16, "elements": ["Ce", "O"], "classes": 11}
    facts |= {"structures": 12, "images": 108}
    values = {(m, e): BASE[m] + shift for e, shift in SHIFTS.items() for m in METRIC_NAMES}
    values |= dict(zip([(name, "all") for name in CALIBRATION_NAMES], (0.01, 0.02)))
    for key, value in changes.items():
        metric, _, element = key.rpartition("_")
        values[(metric, element) if element in SHIFTS else (key, "all")] = value
    rows = [(*key, v, None, None) if v is None else (*key, v, v - 0.002, v + 0.003) for key, v in values.items()]
    tables = {"metrics": pd.DataFrame(rows, columns=["metric", "element", "value", *ENDS])}
    tables["by_structure"] = by_structure(0.9) if sums is None else sums
    for name in ("by_defocus", "by_atoms", "confusion", "calibration"):
        tables[name] = pd.DataFrame({"metric": []})
    return stored(root / "evaluation" / model / dataset, "evaluate-model", FACTS, facts, tables)


def stored(folder, command, name, facts, tables):
    with write_artefact(folder, command=command, code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / name).write_text(json.dumps(facts))
        for stem, table in tables.items():
            table.to_csv(partial / f"{stem}.csv", index=False)
    return folder


def network(root, model, seconds):
    notes = {"training": {"training_seconds": seconds}}
    with write_artefact(
        root / "models" / model, command="train-model", code="c", parameters={}, notes=notes
    ) as partial:
        partial.mkdir()


def observer(root, dataset):
    """An ideal observer of counts that are shifted."""
    rows = [
        ("image", "columns_exact", "all", 0.9, 0.88, 0.93), ("image", "columns_exact", "Ce", 0.99, None, None),
        ("image", "columns_exact", "O", 0.8, None, None), ("image_and_prior", "columns_exact", "all", 0.92, 0.9, 0.94),
        ("image_and_prior", "columns_exact", "Ce", 0.99, None, None),
        ("image_and_prior", "columns_exact", "O", 0.84, 0.8, 0.87),
        ("prior", "columns_exact", "all", 0.2, None, None), ("prior", "columns_exact", "Ce", 0.21, None, None),
        ("prior", "columns_exact", "O", 0.19, None, None), ("prior", "columns_within_one", "all", 0.6, None, None),
        ("prior", "columns_within_one", "Ce", 0.61, None, None), ("prior", "columns_within_one", "O", *[None] * 3),
    ]  # fmt: skip
    tables = {"metrics": pd.DataFrame(rows, columns=["kind", "metric", "element", "value", *ENDS])}
    tables |= {name: pd.DataFrame({"kind": []}) for name in ("by_defocus", "by_atoms")}
    facts = {"dataset": dataset, "dose_lambda": 2.5, "elements": ["Ce", "O"]}
    return stored(root / "observers" / dataset, "estimate-ideal-observer", OBSERVER_FACTS, facts, tables)


def written(root, *rows, title=None, out="t.csv"):
    """The CSV by label, metric and element, and the Markdown's lines."""
    table = validate(Table, {"title": title, "rows": list(rows)}, "table")
    folders = Folders(root / "evaluation", root / "models", root / "observers")
    tabulate_networks(table, folders, root / out, code="code")
    long = pd.read_csv(root / out)
    assert tuple(long) == COLUMNS
    text = (root / out).with_suffix(".md").read_text(encoding="utf-8")
    return long.set_index(["label", "metric", "element"]).sort_index(), text.splitlines()


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_values_of_one_network(tmp_path):
    evaluation(
        tmp_path, "net", "smooth", columns_exact_O=None, expected_calibration_error_columns=0.5
    )  # for Fig. 7 alone
    network(tmp_path, "net", 356.0)
    table, lines = written(tmp_path, {"label": "a", "models": ["net"], "dataset": "smooth"}, title="All of them")
    assert len(table) == 3 * 10 + 2
    for _, row in table.iterrows():
        assert row[["models", "dataset", "dose_lambda", "seeds", "parameters"]].tolist() == [
            "net",
            "smooth",
            2.5,
            1,
            1234,
        ]
        assert row["training_seconds"] == 356 and pd.isna(row["shows"])
    value = table["value"]["a"]
    assert value["expected_calibration_error_pixels_of_columns", "all"] == 0.02
    for name in METRIC_NAMES:
        assert value[name, "all"] == pytest.approx(BASE[name]) and value[name, "Ce"] == pytest.approx(BASE[name] + 0.01)
    assert table.loc[("a", "centre_accuracy", "all"), ENDS].tolist() == pytest.approx([0.948, 0.953])
    assert table.loc[("a", "columns_exact", "O"), ["value", *ENDS, "aim", "met"]].isna().all()
    assert lines[0] == "# All of them"
    shown = dict(zip(cells(lines[2]), cells(lines[4])))
    assert shown["centre"] == "0.950" and shown["centre Ce / O"] == "0.960 / 0.940"
    assert shown["hallucinated (10⁻²)"] == "1.20" and shown["training"] == "6 min"
    assert shown["exact Ce / O"] == "0.950 / –"
    assert not {"against", "seeds", "aims met", "change of exact"} & set(shown)
    for name in ("t.csv", "t.md"):
        manifest = read_manifest(tmp_path / name)
        assert manifest["command"] == "tabulate-networks" and manifest["parameters"]["table"]["title"] == "All of them"
        assert [one["path"] for one in manifest["inputs"]] == ["evaluation/net/smooth", "models/net"]


def test_aims_met_and_missed(tmp_path):
    evaluation(tmp_path, "net", "smooth", centre_accuracy_O=0.9399, detection_rate_Ce=None)
    network(tmp_path, "net", 1)
    base = {"models": ["net"], "dataset": "smooth"}
    table, lines = written(
        tmp_path,
        base | {"label": "met", "aims": {"centre_accuracy": 0.95, "hallucinated_rate": 0.012}},
        base | {"label": "missed", "aims": {"centre_accuracy": {"all": 0.95, "Ce": 0.9}, "hallucinated_rate": 0.011}},
        base | {"label": "narrowly", "aims": {"centre_accuracy": {"O": 0.94}}},
        base | {"label": "not told", "aims": {"detection_rate": {"Ce": 0.5}}},
        base | {"label": "calibrated", "aims": {"expected_calibration_error": 0.005}},
        base | {"label": "none"},
    )
    met = table["met"].dropna()
    assert met["missed"].to_dict() == {
        ("centre_accuracy", "all"): "yes", ("centre_accuracy", "Ce"): "yes", ("hallucinated_rate", "all"): "no"
    }  # fmt: skip
    assert set(met["met"]) == {"yes"} and set(met["narrowly"]) == set(met["not told"]) == set(met["calibrated"]) == {
        "no"
    }
    assert "none" not in met and table.loc[("narrowly", "centre_accuracy", "O"), "aim"] == 0.94
    shown = {cells(line)[0]: dict(zip(cells(lines[0]), cells(line))) for line in lines[2:8]}
    assert [row["aims met"] for row in shown.values()] == ["yes", "no", "no", "no", "no", ""]
    assert shown["met"]["centre"] == "0.950 (aim 0.95)" and shown["met"]["hallucinated (10⁻²)"] == "1.20 (aim 1.2)"
    assert shown["missed"]["hallucinated (10⁻²)"] == "1.20 (aim 1.1, missed)"
    assert shown["missed"]["centre Ce / O"] == "0.960 (aim 0.9) / 0.940"
    assert shown["narrowly"]["centre Ce / O"] == "0.960 / 0.9399 (aim 0.94, missed)"
    assert shown["not told"]["detection_rate Ce"] == "– (aim 0.5, missed)"
    assert shown["calibrated"]["ECE all / pixels of columns"] == "0.010 (aim 0.005, missed) / 0.020"


def test_several_seeds_and_changes(tmp_path):
    for model, centre, seconds in (("a", 0.9, 60), ("b", 0.93, 120), ("c", 0.96, 180)):
        evaluation(tmp_path, model, "smooth", centre_accuracy=centre)
        network(tmp_path, model, seconds)
    evaluation(tmp_path, "a", "tilt", centre_accuracy=0.83, columns_exact=0.9)
    table, lines = written(
        tmp_path,
        {"label": "tilt | 1", "models": ["a"], "dataset": "tilt", "against": "three",
         "aims": {"columns_exact_change": -0.03, "centre_accuracy_change": -0.2}},
        {"label": "three", "models": ["a", "b", "c"], "dataset": "smooth"},
    )  # fmt: skip
    three, tilt = table.loc[("three", "centre_accuracy", "all")], table["value"]["tilt | 1"]
    assert three[["value", *ENDS, "seeds", "training_seconds"]].tolist() == pytest.approx([0.93, 0.9, 0.96, 3, 120])
    assert tilt["centre_accuracy_change", "all"] == pytest.approx(-0.1)
    assert tilt["columns_exact_change", "all"] == pytest.approx(-0.04)
    assert tilt["columns_exact_change", "Ce"] == pytest.approx(0)
    assert table["met"]["tilt | 1"]["columns_exact_change", "all"] == "no"
    assert lines[2].startswith("| tilt \\| 1 |")
    assert "−0.040 (aim −0.03, missed)" in lines[2] and "−0.100 (aim −0.2)" in lines[2]
    shown = dict(zip(cells(lines[0]), cells(lines[3])))
    assert shown["seeds"] == "3" and shown["training"] == "2 min" and shown["change of exact"] == ""


def test_a_change_is_paired_by_structures(tmp_path):
    """Structures that scatter by 0.1 do not blur a change that each of them has."""
    for model, right in (("a", 0.8), ("b", 0.7), ("c", 0.7), ("d", 0.74)):
        evaluation(tmp_path, model, "smooth", sums=by_structure(right))
        network(tmp_path, model, 1)
    evaluation(tmp_path, "b", "few", sums=by_structure(0.7, 11))
    evaluation(tmp_path, "b", "others", sums=by_structure(0.7), specimen="v")
    base = {"dataset": "smooth"}
    table, lines = written(
        tmp_path,
        base | {"label": "a", "models": ["a"]},
        base | {"label": "b", "models": ["b"], "against": "a"},
        base | {"label": "cd", "models": ["c", "d"], "against": "a"},
        {"label": "few", "models": ["b"], "dataset": "few", "against": "a"},
        {"label": "others", "models": ["b"], "dataset": "others", "against": "a"},
    )
    for element in SHIFTS:
        key = "columns_exact_change", element
        assert table.loc[("b", *key), ENDS].tolist() == pytest.approx([-0.1, -0.1])
        assert table.loc[("cd", *key), ENDS].tolist() == pytest.approx([-0.08, -0.08])
        for label in ("few", "others"):  # the same numbers are other structures in another specimen
            assert table.loc[(label, *key), ENDS].isna().all() and ("a", *key) not in table.index
    shown = dict(zip(cells(lines[0]), cells(lines[3])))
    assert shown["change of exact"].endswith(" [−0.100 … −0.100]") and "[" not in lines[5]


def test_ideal_observers_and_the_bundled_network(tmp_path):
    evaluation(tmp_path, "bundled", "rough", columns_exact=0.85)
    observer(tmp_path, "rough")
    kinds = ("prior", "image", "image_and_prior")
    rows = [{"label": kind, "ideal_observer": "rough", "shows": kind} for kind in kinds]
    net = {"label": "net", "models": ["bundled"], "dataset": "rough", "against": "image"}
    table, lines = written(tmp_path, net, *rows)
    value = table["value"]
    wanted = {"all": 0.2, "Ce": 0.21, "O": 0.19}
    assert value["prior"]["columns_exact"].to_dict() == wanted
    assert value["prior"]["columns_within_one"].to_dict() == {"all": 0.6, "Ce": 0.61}
    assert value["image"].to_dict() == {("columns_exact", e): v for e, v in {"all": 0.9, "Ce": 0.99, "O": 0.8}.items()}
    assert value["image_and_prior"]["columns_exact"].to_dict() == {"all": 0.92, "Ce": 0.99, "O": 0.84}
    assert table.loc[("image", "columns_exact", "all"), ENDS].tolist() == [0.88, 0.93]
    assert table.loc[("image_and_prior", "columns_exact", "O"), ENDS].tolist() == [0.8, 0.87]
    assert table.loc[("prior", "columns_exact", "all"), ENDS].isna().all()
    assert value["net"]["columns_exact_change", "all"] == pytest.approx(-0.05)
    assert ("net", "centre_accuracy_change", "all") not in table.index
    assert table.loc["net"]["training_seconds"].isna().all() and table.loc["prior"]["seeds"].isna().all()
    for kind in kinds:
        assert set(table.loc[kind]["shows"]) == {kind} and set(table.loc[kind]["dataset"]) == {"rough"}
    shown = dict(zip(cells(lines[0]), cells(lines[4])))
    assert shown["columns exact"] == "0.900" and shown["exact Ce / O"] == "0.990 / 0.800" and shown["centre"] == ""
    assert "training" not in shown


def test_what_is_missing_is_told(tmp_path):
    row = {"label": "a", "models": ["net"], "dataset": "smooth"}
    with pytest.raises(StoreError, match="evaluation/net/smooth: does not exist"):
        written(tmp_path, row)
    evaluation(tmp_path, "net", "smooth")
    with pytest.raises(StoreError, match="models/net: does not exist"):
        written(tmp_path, row)
    network(tmp_path, "net", 1)
    with pytest.raises(ConfigError, match="ends in .csv"):
        written(tmp_path, row, out="t.md")


def test_table_one(tmp_path):
    folders = [evaluation(tmp_path, "my_net", "smooth"), evaluation(tmp_path, "other", "rough", hallucinated_rate=None)]
    tabulate_table1(folders, tmp_path / "table.csv", code="code")
    table = pd.read_csv(tmp_path / "table.csv")
    paper = table[table["source"] == "paper"].pivot(index="base_channels", columns="metric", values="value")
    for channels, _, pixelwise, centre, detection, hallucinated, _ in PAPER:
        found = paper.loc[channels]
        assert found["pixelwise_accuracy"] == pixelwise and found["centre_accuracy"] == centre
        assert found["detection_rate"] == detection and found["hallucinated_rate"] == pytest.approx(hallucinated / 100)
    mine = table[table["source"] == "my_net on smooth (binned)"].set_index(["metric", "element"])["value"]
    assert len(mine) == 6 * 3 and mine["columns_exact", "O"] == pytest.approx(0.93)
    text = (tmp_path / "table.tex").read_text()
    assert text.count(r"\midrule") == 2 and "Centre Ce & Centre O" in text
    ours = [line for line in text.splitlines() if line.startswith((r"my\_net", "other"))]
    assert " & 1.20 & " in ours[0] and " & -- & " in ours[1] and len(ours) == 2
    assert len({line.count("&") for line in text.splitlines() if "&" in line}) == 1
    for name in ("table.csv", "table.tex"):
        assert read_manifest(tmp_path / name)["command"] == "tabulate-table1"
