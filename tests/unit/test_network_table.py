"""Tables of networks side by side, and the benchmark's figure, from made-up results."""

import json

import numpy as np
import pandas as pd
import pytest
from test_figures import drawn, overlapping_texts  # noqa: F401

from segdepth.config import Table, validate
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation import ideal_observer as limits
from segdepth.evaluation.metrics import NAMES
from segdepth.evaluation.network_tables import Folders
from segdepth.figures import benchmark, style
from segdepth.figures.network_table import tabulate
from segdepth.store.manifest import read_manifest, writing

BASE = {
    "pixelwise_accuracy": 0.93, "centre_accuracy": 0.95, "detection_rate": 0.98, "hallucinated_rate": 0.012,
    "columns_exact": 0.94, "columns_within_one": 0.999, "columns_mean_error": 0.01, "columns_mean_absolute_error": 0.06,
}  # fmt: skip


def by_structure(right: float, structures=12) -> pd.DataFrame:
    """Sums of as many structures of different size; the shares right scatter, but alike for every ``right``."""
    rng = np.random.default_rng(1)
    size, scatter = rng.integers(50, 200, structures), rng.normal(0, 0.1, structures)
    columns = {"structure": np.arange(structures)}
    for name in ("columns_exact", "centre_accuracy"):
        columns |= {f"{name}_right": size * (right + scatter), f"{name}_all": size}
    return pd.DataFrame(columns)


def evaluation(root, model, dataset, by_atoms=None, by_defocus=None, sums=None, **changes):
    """An evaluation's directory with what tables and the figure read."""
    sums = by_structure(0.9) if sums is None else sums
    facts = {"model": model, "dataset": dataset, "dose_lambda": 2.5, "electrons_per_square_angstrom": 895.0}
    facts |= {"parameters": 1234, "variant": "binned", "base_channels": 16, "expected_calibration_error": 0.01}
    facts |= {"expected_calibration_error_columns": 0.02}
    for name in NAMES:
        for suffix, shift in (("", 0), ("_Ce", 0.01), ("_O", -0.01)):
            facts[name + suffix] = BASE[name] + shift
    facts |= changes
    for name in [n + s for n in NAMES for s in ("", "_Ce", "_O")]:
        told = facts[name] is not None
        facts[f"{name}_interval"] = [facts[name] - 0.002, facts[name] + 0.003] if told else None
    with writing(root / "evaluation" / model / dataset, command="evaluate-model", code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / "metrics.json").write_text(json.dumps(facts))
        for name, table in (("by_atoms", by_atoms), ("by_defocus", by_defocus), ("by_structure", sums)):
            if table is not None:
                table.to_csv(partial / f"{name}.csv", index=False)
    return root / "evaluation" / model / dataset


def network(root, model, seconds):
    with writing(root / "models" / model, command="train-model", code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / "environment.json").write_text(json.dumps({"training_seconds": seconds}))


def limit(root, dataset, tables=None, **more):
    facts = {"dataset": dataset, "dose_lambda": 2.5, "limit_exact": 0.9, "limit_exact_Ce": 0.99, "limit_exact_O": 0.8}
    facts |= {"wedge_exact": 0.2, "wedge_exact_Ce": 0.21, "wedge_exact_O": 0.19, "wedge_within_one": 0.6}
    facts |= {"wedge_within_one_Ce": 0.61, "wedge_within_one_O": None} | more
    with writing(root / "limits" / dataset, command=limits.COMMAND, code="c", parameters={}) as partial:
        partial.mkdir()
        (partial / limits.LIMIT).write_text(json.dumps(facts))
        for name, table in (tables or {}).items():
            table.to_csv(partial / f"{name}.csv", index=False)
    return root / "limits" / dataset


def written(root, *rows, title=None, out="t.csv"):
    """The CSV, by label, and the Markdown's lines."""
    table = validate(Table, {"title": title, "rows": list(rows)}, "table")
    tabulate(table, Folders(root / "evaluation", root / "models", root / "limits"), root / out, "code")
    text = (root / out).with_suffix(".md").read_text(encoding="utf-8")
    return pd.read_csv(root / out).set_index("label"), text.splitlines()


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_values_of_one_network(tmp_path):
    evaluation(tmp_path, "net", "smooth", columns_exact_O=None)
    network(tmp_path, "net", 356.0)
    table, lines = written(tmp_path, {"label": "a", "models": ["net"], "dataset": "smooth"}, title="All of them")
    row = table.loc["a"]
    assert row[["models", "dataset", "dose_lambda", "seeds", "parameters"]].tolist() == ["net", "smooth", 2.5, 1, 1234]
    assert row["training_seconds"] == 356 and row["expected_calibration_error_columns"] == 0.02
    for name in NAMES:
        assert row[name] == pytest.approx(BASE[name]) and row[f"{name}_Ce"] == pytest.approx(BASE[name] + 0.01)
    assert row[["centre_accuracy_low", "centre_accuracy_high"]].tolist() == pytest.approx([0.948, 0.953])
    blank = ["columns_exact_O", "columns_exact_O_low", "shows", "columns_exact_change", "met"]
    assert row[blank].isna().all()
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
        base | {"label": "missed", "aims": {"centre_accuracy": 0.95, "hallucinated_rate": 0.011}},
        base | {"label": "narrowly", "aims": {"centre_accuracy_O": 0.94}},
        base | {"label": "not told", "aims": {"detection_rate_Ce": 0.5}},
        base | {"label": "calibrated", "aims": {"expected_calibration_error": 0.005}},
        base | {"label": "none"},
    )
    assert table["met"].tolist()[:5] == ["yes", "no", "no", "no", "no"] and pd.isna(table.loc["none", "met"])
    shown = {cells(line)[0]: dict(zip(cells(lines[0]), cells(line))) for line in lines[2:8]}
    assert shown["met"]["centre"] == "0.950 (aim 0.95)" and shown["met"]["hallucinated (10⁻²)"] == "1.20 (aim 1.2)"
    assert shown["missed"]["hallucinated (10⁻²)"] == "1.20 (aim 1.1, missed)"
    assert shown["narrowly"]["centre Ce / O"] == "0.960 / 0.9399 (aim 0.94, missed)"
    assert shown["not told"]["detection_rate_Ce"] == "– (aim 0.5, missed)"
    assert shown["calibrated"]["ECE all / columns"] == "0.010 (aim 0.005, missed) / 0.020"
    assert shown["none"]["aims met"] == "" and shown["missed"]["aims met"] == "no"


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
    three, tilt = table.loc["three"], table.loc["tilt | 1"]
    found = three[["centre_accuracy", "centre_accuracy_low", "centre_accuracy_high", "seeds", "training_seconds"]]
    assert found.tolist() == pytest.approx([0.93, 0.9, 0.96, 3, 120])
    assert tilt["centre_accuracy_change"] == pytest.approx(-0.1)
    assert tilt["columns_exact_change"] == pytest.approx(-0.04) and tilt["met"] == "no"
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
    base = {"dataset": "smooth"}
    table, lines = written(
        tmp_path,
        base | {"label": "a", "models": ["a"]},
        base | {"label": "b", "models": ["b"], "against": "a"},
        base | {"label": "cd", "models": ["c", "d"], "against": "a"},
        {"label": "few", "models": ["b"], "dataset": "few", "against": "a"},
    )
    ends = ["columns_exact_change_low", "columns_exact_change_high"]
    assert table.loc["b", ends].tolist() == pytest.approx([-0.1, -0.1])
    assert table.loc["cd", ends].tolist() == pytest.approx([-0.08, -0.08])
    assert table.loc["few", ends].isna().all() and table.loc["a", ends].isna().all()
    shown = dict(zip(cells(lines[0]), cells(lines[3])))
    assert shown["change of exact"].endswith(" [−0.100 … −0.100]") and "[" not in lines[5]


def test_limits_and_the_shipped_network(tmp_path):
    evaluation(tmp_path, "bundled", "rough", columns_exact=0.85)
    limit(tmp_path, "rough")
    table, lines = written(
        tmp_path,
        {"label": "net", "models": ["bundled"], "dataset": "rough", "against": "limit"},
        {"label": "wedge", "limit": "rough", "shows": "wedge"},
        {"label": "limit", "limit": "rough", "shows": "limit"},
    )
    names = ["columns_exact", "columns_exact_Ce", "columns_exact_O", "columns_within_one", "columns_within_one_Ce"]
    assert table.loc["wedge", names].tolist() == [0.2, 0.21, 0.19, 0.6, 0.61]
    assert table.loc["limit", names[:3]].tolist() == [0.9, 0.99, 0.8] and pd.isna(table.loc["limit", names[3]])
    assert table.loc["net", "columns_exact_change"] == pytest.approx(-0.05)
    assert pd.isna(table.loc["net", "centre_accuracy_change"]) and pd.isna(table.loc["net", "training_seconds"])
    assert table["shows"].tolist()[1:] == ["wedge", "limit"] and table["dataset"].tolist() == ["rough"] * 3
    assert pd.isna(table.loc["wedge", "seeds"])
    assert table.loc[["wedge", "limit"], ["columns_exact_low", "columns_exact_high"]].isna().all().all()
    shown = dict(zip(cells(lines[0]), cells(lines[4])))
    assert shown["columns exact"] == "0.900" and shown["exact Ce / O"] == "0.990 / 0.800" and shown["centre"] == ""
    assert "training" not in shown


def test_intervals_of_a_limit(tmp_path):
    told = {"both_exact": 0.92, "both_exact_Ce": 0.99, "both_exact_O": 0.84, "both_exact_interval": [0.9, 0.94]}
    limit(tmp_path, "rough", **told, both_exact_O_interval=[0.8, 0.87], limit_exact_interval=[0.88, 0.93])
    rows = [{"label": shows, "limit": "rough", "shows": shows} for shows in ("both", "limit")]
    table, _ = written(tmp_path, *rows)
    assert table.loc["both", ["columns_exact", "columns_exact_Ce", "columns_exact_O"]].tolist() == [0.92, 0.99, 0.84]
    ends = ["columns_exact_low", "columns_exact_high"]
    assert table.loc["both", ends].tolist() == [0.9, 0.94] and table.loc["limit", ends].tolist() == [0.88, 0.93]
    assert table.loc["both", ["columns_exact_O_low", "columns_exact_O_high"]].tolist() == [0.8, 0.87]
    assert table.loc["both", ["columns_exact_Ce_low", "columns_within_one", "columns_within_one_low"]].isna().all()
    assert table.loc["both", "shows"] == "both"


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


def made_up(rng, worse):
    """Tables of an evaluation: counts of 1 to 10 and defoci of 1 to 9 nm; thick columns are counted worse."""
    rows = []
    for element, base in (("Ce", 0.98), ("O", 0.9), ("both", 0.94)):
        for atoms in range(1, 11):
            exact = base - worse * atoms / 10 + rng.normal(0, 0.01)
            rows.append({"element": element, "atoms": atoms, "columns_exact": exact})
    by_atoms = pd.DataFrame(rows)
    exact = by_atoms["columns_exact"]
    by_atoms = by_atoms.assign(columns_exact_low=exact - 0.03, columns_exact_high=exact + 0.02)
    by_defocus = pd.DataFrame({"defocus_nm": np.arange(1.0, 10)})
    for element, base in (("Ce", 0.95), ("O", 0.85)):
        name, values = f"columns_exact_{element}", base - worse + 0.02 * np.sin(by_defocus["defocus_nm"])
        by_defocus = by_defocus.assign(**{name: values, f"{name}_low": values - 0.02, f"{name}_high": values + 0.02})
    return {"by_atoms": by_atoms, "by_defocus": by_defocus}


def limit_tables(shifted=False):
    """Tables of a limit; with ``both_exact`` where counts are ``shifted``, else it is empty."""
    found = {}
    for name, x, values in (("by_atoms", "atoms", range(2, 10)), ("by_defocus", "defocus_nm", range(1, 10))):
        elements = {"Ce": 1.0, "O": 0.85}.items()
        rows = [{"element": e, x: v, "limit_exact": base - 0.03 * v} for e, base in elements for v in values]
        found[name] = limits.with_both(pd.DataFrame(rows), 5 if shifted else 1)
    return found


def benchmark_results(root, model="workstation", shifted=False):
    rng = np.random.default_rng(0)
    worse = {"benchmark_smooth": 0.05, "benchmark_rough": 0.3}
    folders = [evaluation(root, model, name, **made_up(rng, by)) for name, by in worse.items()]
    return folders, limit(root, "benchmark_rough", limit_tables(shifted))


CALLED = {
    "limit": ["single-column limit of benchmark_rough"],
    "both": ["best with the wedge known, benchmark_rough"],
    None: [],
}


@pytest.mark.parametrize("shows", CALLED)
def test_benchmark_figure(tmp_path, drawn, shows):  # noqa: F811
    with_limit = shows is not None
    folders, below = benchmark_results(tmp_path, "m" + "odel_1-2_" * 7, shows == "both")
    out = tmp_path / "benchmark.png"
    benchmark.plot(folders, below if with_limit else None, out, "code")
    for path in (out, out.with_suffix(".pdf")):
        manifest = read_manifest(path)
        assert manifest["command"] == "plot-benchmark" and len(manifest["inputs"]) == 2 + with_limit
    with style.styled():
        assert overlapping_texts(drawn[0]) == []
    left, right = drawn[0].axes
    assert len(left.get_lines()) == len(right.get_lines()) == 4 + 2 * with_limit
    assert len(left.collections) == len(right.collections) == 4
    smooth = pd.read_csv(folders[0] / "by_atoms.csv")
    wanted = smooth[smooth["element"] == "Ce"]["columns_exact"]
    assert left.get_lines()[0].get_ydata() == pytest.approx(wanted.to_numpy())
    words = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert words[:4] == ["Ce", "O", "benchmark_smooth", "benchmark_rough"]
    assert words[4:-1] == CALLED[shows]
    if with_limit:
        of_ce = 1.0 - 0.03 * np.arange(2, 10)
        expected = 0.2 + 0.8 * of_ce if shows == "both" else of_ce
        assert left.get_lines()[4].get_ydata() == pytest.approx(expected)


def test_a_limit_of_an_older_version_is_drawn(tmp_path, drawn):  # noqa: F811
    folders, _ = benchmark_results(tmp_path)
    tables = {name: table.drop(columns="both_exact") for name, table in limit_tables().items()}
    benchmark.plot(folders, limit(tmp_path, "old", tables), tmp_path / "benchmark.png", "code")
    assert drawn[0].legends[0].get_texts()[4].get_text() == "single-column limit of old"


def test_benchmark_figure_needs_evaluations(tmp_path):
    with pytest.raises(ConfigError, match="got 0; one to 4"):
        benchmark.plot([], None, tmp_path / "benchmark.png", "code")
