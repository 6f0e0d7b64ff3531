"""The real DAG on a tiny config: it runs, it is traceable, it repeats, and it reruns what it must and nothing else."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from segdepth.store.trace import trace
from segdepth.store.zarr_store import open_zarr

from .conftest import ROOT, TINY, Project

pytestmark = pytest.mark.workflow

FIGURES = ("fig1_depth", "fig3_simulation", "fig4_smoothing", "fig5_weights", "fig6_confusion", "fig7_calibration")


def test_every_artefact_is_there_and_whole(finished):
    results = finished.folder / "results"
    figures = (*FIGURES, "training_net", "montage", "prediction_camera", "comparison_camera")
    wanted = [results / "figures" / f"{name}.{kind}" for name in figures for kind in ("png", "pdf")]
    wanted += [results / "tables" / "table1.csv", results / "tables" / "table1.tex"]
    wanted += [results / "evaluation" / "net" / name for name in ("small", "small_lambda1")]
    wanted += [results / "predictions" / "camera" / name for name in ("prediction.zarr", "columns.csv")]
    wanted += [results / "comparisons" / "camera" / f"comparison.{kind}" for kind in ("json", "zarr")]
    for path in wanted:
        chain = trace(path)
        assert not chain.broken, path
    assert json.loads((results / "evaluation/net/small/evaluation.json").read_text())["structures"] == 2


def test_a_figure_is_traced_to_its_plan_and_seeds(finished):
    command = [sys.executable, "-m", "segdepth", "trace", "results/figures/fig1_depth.png"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("plot-figure", "evaluate-model", "train-model", "simulate-waves", "build-specimens", "plan.csv"):
        assert word in done.stdout
    assert '"tiny-00000"' in done.stdout and "root_seed: 7" in done.stdout and "abtem 1." in done.stdout


def test_a_second_run_has_nothing_to_do(finished):
    done = finished.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_new_defocus_range_reruns_images_and_no_multislice(finished):
    project = Project(finished.folder, copy.deepcopy(finished.config))
    try:
        project.config["imaging"]["lens"]["defocus_nm"] = [1, 3, 5]
        project.write()
        jobs = project.jobs()
        assert jobs["form_images"] == 3 and jobs["train_model"] == 1 and jobs["evaluate_model"] == 2
        assert not {"simulate_waves", "build_specimens", "plan_specimens", "project_depth"} & set(jobs)
    finally:
        finished.write()


def test_a_second_imaging_block_stands_beside_the_first(finished):
    project = Project(finished.folder, copy.deepcopy(finished.config))
    try:
        project.config["imaging"]["far"] = {"defocus_nm": {"start": 10, "stop": 12, "step": 1}, "focal_steps": 5}
        project.config["datasets"]["far"] = project.config["datasets"]["small"] | {"imaging": "far"}
        project.config["evaluations"]["net"].append("far")
        project.write()
        jobs = project.jobs()
        assert jobs == {"form_images": 3, "evaluate_model": 1, "tabulate_table1": 1, "all": 1, "total": 6}
    finally:
        finished.write()


def test_a_training_begins_with_another_one_that_is_made_first(finished):
    project = Project(finished.folder, copy.deepcopy(finished.config))
    try:
        first = project.config["models"]["net"]
        project.config["models"]["later"] = first | {"init_weights": "./results/models/net/"}
        project.config["evaluations"]["later"] = ["small"]
        project.write()
        target = "results/evaluation/later/small"
        assert project.jobs(target) == {"train_model": 1, "evaluate_model": 1, "total": 2}
        done = project.snakemake(target)
        assert done.returncode == 0, done.stderr
        command = [sys.executable, "-m", "segdepth", "trace", "results/models/later"]
        told = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
        assert told.returncode == 0 and "─ results/models/net" in told.stdout, told.stdout
        project.config["models"]["net"] = first | {"init_weights": "results/models/later"}
        project.write()
        done = project.snakemake(target)
        told = [line for line in (done.stdout + done.stderr).splitlines() if "segdepth: error" in line]
        assert done.returncode == 2 and len(told) == 1 and "leads back to itself: later <- net <- later" in told[0]
    finally:
        finished.write()


def test_networks_are_measured_under_each_others_conditions_and_tuned_to_them(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    project = Project(folder, copy.deepcopy(finished.config))
    first = project.config["models"]["net"]
    project.config["models"]["hard"] = first | {"datasets": ["small"]}
    project.config["models"]["soft"] = first | {"datasets": ["small_soft"]}
    project.config["models"]["tuned"] = first | {"datasets": ["small_soft"], "init_weights": "results/models/hard"}
    networks = {"hard": {"trained_on": "small", "tuned": {"small_soft": "tuned"}}, "soft": {"trained_on": "small_soft"}}
    project.config["generalization"] = {"beam": {"networks": networks}}
    project.write()
    assert not {"tabulate_generalization", "plot_generalization"} & set(project.jobs())
    figure = "results/figures/generalization_beam.png"
    once = {"tabulate_generalization": 1, "plot_generalization": 1}
    assert project.jobs(figure) == {"form_images": 3, "train_model": 3, "evaluate_model": 5, **once, "total": 13}
    done = project.snakemake(figure)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(folder / "results/tables/generalization_beam.csv")
    exact = table[(table["metric"] == "columns_exact") & (table["element"] == "all")]
    pairs = [
        ("hard", "small"),
        ("hard", "small_soft"),
        ("soft", "small"),
        ("soft", "small_soft"),
        ("tuned", "small_soft"),
    ]
    assert list(zip(exact["network"], exact["dataset"])) == pairs and exact["value"].between(0, 1).all()
    change = table[(table["metric"] == "columns_exact_change") & (table["element"] == "all")]
    assert change["against"].tolist() == ["soft", "hard", "hard"] and change["low"].notna().all()
    command = [sys.executable, "-m", "segdepth", "trace", figure]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0 and "─ results/models/hard" in told.stdout and "shard-000.extxyz" in told.stdout


def test_a_table_of_networks_is_made_when_it_is_asked_for(new_project):
    project = new_project("table")
    model = project.config["models"]["net"]
    project.config["models"]["net1"] = model | {"training": model["training"] | {"seed": 1}}
    rows = [
        {"label": "seeds: it's {two}", "models": ["net", "net1"], "dataset": "small"},
        {"label": "observer", "ideal_observer": "small", "shows": "image"},
    ]
    project.config["tables"] = {"side": {"rows": rows}}
    project.write()
    wanted = {"train_model": 2, "evaluate_model": 2, "estimate_ideal_observer": 1, "tabulate_networks": 1}
    assert project.jobs("results/tables/side.csv").items() >= wanted.items()
    assert not {"estimate_ideal_observer", "tabulate_networks", "plot_benchmark"} & set(project.jobs())


def test_the_ideal_observer_of_a_yardstick_is_estimated_for_the_table_where_it_is_wanted(new_project):
    sticks = {"seen": {"dataset": "small", "observed_columns": 1}, "other": {"dataset": "small"}}
    project = new_project("sticks", yardsticks=sticks)
    wanted = {"measure_yardstick": 2, "estimate_yardstick_observer": 1, "tabulate_yardsticks": 1}
    assert project.jobs("results/tables/yardsticks_net.csv").items() >= wanted.items()


def test_a_benchmark_figure_without_its_data_sets_is_refused_in_one_line(new_project):
    done = new_project("benchmark").snakemake("-n", "results/figures/benchmark_net.png")
    told = [line for line in done.stderr.splitlines() if line.startswith("segdepth: error: ")]
    assert done.returncode == 2 and len(told) == 1 and "Traceback" not in done.stderr
    assert "benchmark_net.png: shows the data sets benchmark_smooth and benchmark_rough" in told[0]


def test_a_table_that_the_bundled_network_does_not_fit_stops_nobody_who_did_not_ask_for_it(new_project):
    project = new_project("finer")
    project.config["imaging"]["finer"] = project.config["imaging"]["lens"] | {"pixel_pm": 5411 / 512}
    project.config["datasets"]["finer"] = project.config["datasets"]["small"] | {"imaging": "finer"}
    project.config["tables"] = {"t": {"rows": [{"label": "a", "models": ["bundled"], "dataset": "finer"}]}}
    project.write()
    assert project.jobs()["train_model"] == 1
    done = project.snakemake("-n", "results/tables/t.csv")
    told = [line for line in done.stderr.splitlines() if line.startswith("segdepth: error: ")]
    assert done.returncode == 2 and len(told) == 1 and "Traceback" not in done.stderr
    assert "results/evaluation/bundled/finer: data set 'finer' does not fit the network 'bundled'" in told[0]
    assert "the image pixel is 10.5684 pm, not 21.1367 pm" in told[0]


def test_a_network_is_exported_when_it_is_asked_for(finished):
    project = Project(finished.folder, copy.deepcopy(finished.config))
    folder = "results/export/net"
    try:
        project.config["export"] = {"model": "net", "card_datasets": ["small", "small_lambda1"]}
        project.write()
        assert "export_model" not in project.jobs()
        done = project.snakemake(folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "`small_lambda1`" in (finished.folder / folder / "MODEL_CARD.md").read_text()
        assert not trace(finished.folder / folder).broken
    finally:
        finished.write()
        shutil.rmtree(finished.folder / "results" / "export", ignore_errors=True)


def test_an_edited_chunk_breaks_the_trace(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    chunk = next(path for path in (folder / "data/waves/tiny/coarse/shard-000.zarr/wave").rglob("c/*/*/*/*"))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    command = [sys.executable, "-m", "segdepth", "trace", "results/figures/fig7_calibration.pdf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout and "shard-000.zarr was edited" in done.stdout


def _structures(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """Waves, images and depths by structure, wherever their shard."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for store, variable in (
        ("waves/tiny/coarse", "wave"),
        ("images/tiny/coarse/lens", "intensity"),
        ("depth/tiny/rings", "depth"),
        ("depth/tiny/rings", "counts"),
    ):
        for path in sorted((folder / "data" / store).glob("*.zarr")):
            with open_zarr(path) as data:
                for position, index in enumerate(data["structure"].values):
                    found.setdefault(int(index), {})[variable] = data[variable][position].values
    return found


def test_bits_do_not_depend_on_cores_or_shard_size(finished, new_project):
    specimen = yaml.safe_load(TINY)["specimens"]["tiny"] | {"shard_size": 4}
    other = new_project("one-core", specimens={"tiny": specimen})
    shards = [f"shard-{number:03d}.zarr" for number in range(2)]
    folders = ("data/images/tiny/coarse/lens", "data/depth/tiny/rings")
    done = other.snakemake(*[f"{folder}/{shard}" for folder in folders for shard in shards], cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = _structures(finished.folder), _structures(other.folder)
    assert sorted(one) == sorted(two) == list(range(6))
    for index in one:
        assert set(one[index]) == {"wave", "intensity", "depth", "counts"}
        for name, values in one[index].items():
            assert values.tobytes() == two[index][name].tobytes(), (index, name)
    assert len({values["wave"].tobytes() for values in one.values()}) == 6


def test_shards_of_another_size_are_kept_until_they_are_cleaned(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    config = copy.deepcopy(finished.config)
    config["specimens"]["tiny"]["shard_size"] = 6
    project = Project(folder, config)
    done = project.snakemake("data/depth/tiny/rings/shard-000.zarr")
    assert done.returncode == 0, done.stdout + done.stderr
    stale = {path for number in (1, 2) for path in (folder / "data").rglob(f"shard-{number:03d}*")}
    assert len(stale) == 2 * 3 * 5  # atoms, two waves, images and depths of two shards, with what lies beside them
    with open_zarr(folder / "data/depth/tiny/rings/shard-000.zarr") as data:
        assert data.sizes["structure"] == 6

    def clean(*arguments: str) -> set[Path]:
        command = [sys.executable, "-m", "segdepth", "clean-shards", *arguments]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
        return {folder / line.split("remove", 1)[1].split(" ", 1)[1] for line in told}

    assert clean("--dry-run") == stale and all(path.exists() for path in stale)
    assert clean() == stale and not any(path.exists() for path in stale)


def test_verify_says_what_makes_a_damaged_store_again(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    store = "data/images/tiny/coarse/lens/shard-001.zarr"
    chunk = next((folder / store / "intensity" / "c").rglob("*/0/0/0"))
    before, stamp = chunk.read_bytes(), chunk.stat()
    chunk.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    os.utime(chunk, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    def verify() -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "segdepth", "verify"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    found = verify()
    told = [line for line in found.stdout.splitlines() if line.startswith(store)]
    assert found.returncode == 1 and len(told) == 1, found.stdout
    command = told[0].split("make it again: ")[1].split()
    assert command[0] == "snakemake" and command[-1] == store
    done = Project(folder, finished.config).snakemake(*command[3:])
    assert done.returncode == 0 and chunk.read_bytes() == before, done.stderr
    assert not [line for line in verify().stdout.splitlines() if line.startswith(store)]


def test_a_killed_job_leaves_nothing_that_passes_for_whole(new_project):
    project = new_project("killed")
    target = "data/waves/tiny/coarse/shard-000.zarr"
    assert project.snakemake("data/specimens/tiny/shard-000.extxyz").returncode == 0
    slow = {"pixel_pm": 4, "slice_pm": 5, "projection": "finite"}
    beam = json.dumps(project.config["beams"]["coarse"] | slow)
    command = [sys.executable, "-m", "segdepth", "simulate-waves", "--atoms", "data/specimens/tiny/shard-000.extxyz"]
    job = subprocess.Popen([*command, "--beam", beam, "--out", target], cwd=project.folder, stderr=subprocess.DEVNULL)
    time.sleep(4)
    assert job.poll() is None, "the job is to be killed while it works"
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not (project.folder / target).exists() and not (project.folder / f"{target}.manifest.json").exists()
    assert project.jobs(target).get("simulate_waves") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("imaging", "lens", {"defocus_nm": {"start": 1, "stop": 9, "step": -1}}),
            ["defocus_nm.step", "-1", "greater"],
        ),
        (
            ("specimens", "tiny", {"bulk_atoms": [3, 12]}),
            ["labels.rings.most_atoms: got 10", "specimens.tiny", "up to 12 atoms"],
        ),
        (("datasets", "small", {"splits": {"test": 0.6, "train": 0.6}}), ["splits", "1.35", "at most 1"]),
        (("beams", "coarse", {"pixel_nm": 0.01}), ["beams.coarse.pixel_nm", "unknown", "pixel_pm"]),
        (("labels", None, None), ["labels", "missing"]),
    ],
)
def test_a_wrong_config_is_one_line_before_any_job(new_project, change, words):
    section, block, value = change
    project = new_project("wrong")
    if value is None:
        del project.config[section]
    elif section == "datasets":
        project.config[section][block] = project.config[section][block] | value
    else:
        project.config[section][block].update(value)
    project.write()
    done = project.snakemake()
    assert done.returncode not in (0, None)
    text = done.stdout + done.stderr
    told = [line for line in text.splitlines() if "segdepth: error" in line]
    assert len(told) == 1 and "Traceback" not in text and "rule plan_specimens" not in text
    for word in words:
        assert word in told[0], told[0]
    assert not (project.folder / "data").exists()


def test_lint_is_clean():
    done = Project.snakemake(type("Here", (), {"folder": ROOT})(), "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plan_lists_what_the_stores_hold(finished):
    plan = pd.read_csv(finished.folder / "data/specimens/tiny/plan.csv")
    assert list(plan["id"]) == [f"tiny-{index:05d}" for index in range(6)]
    assert list(plan["surface"]) == ["flat", "stepped", "sawtooth"] * 2
    assert sorted(_structures(finished.folder)) == list(plan["index"])


def test_a_yardstick_is_recorded_predicted_and_tabulated(finished):
    aimed = {"dataset": "small", "dose_lambda": [2, 3], "pixel_pm": [6, 7], "aims": {"columns_exact": 0.9}}
    project = Project(finished.folder, copy.deepcopy(finished.config) | {"yardsticks": {"stick": aimed}})
    try:
        done = project.snakemake("results/tables/yardsticks_net.csv")
    finally:
        finished.write()
    assert done.returncode == 0, done.stderr
    frames = pd.read_csv(project.folder / "results" / "yardsticks" / "net" / "stick" / "frames.csv")
    assert len(frames) == 2 and frames["pixel_pm"].between(6, 7).all() and (frames["true"] > 0).all()
    assert set(frames["outcome"]) <= {"unknown", "in", "edge", "outside", "empty", "refused"}
    table = pd.read_csv(project.folder / "results" / "tables" / "yardsticks_net.csv")
    rows = table[table["aim"].notna()]
    assert rows[["metric", "element", "aim"]].values.tolist() == [["columns_exact", "all", 0.9]]
