"""Figs. 10 to 12 of the paper in numbers: a micrograph and a film whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm
from test_paper import BLOCK, PIXEL, results, small_network
from test_presets import laid_over
from test_recorded_columns import listed, true

from segdepth.config import ALL, Config, validate
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.gradients import gradients_of_frame
from segdepth.evaluation.paper import COLUMNS, PaperResults, paper_table
from segdepth.evaluation.paper_recordings import Boundary, RecordedColumns, places_table
from segdepth.evaluation.results import IdealObserver
from segdepth.figures import fig9_doses
from segdepth.steps.paper_recordings import recorded_columns, recording_of
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import write_zarr

SIZE = (2000.0, 3000.0)


def rows_of(item: str, **changes) -> pd.DataFrame:
    made = results()
    block = BLOCK.model_copy(update={"film": "f"})
    found = PaperResults(made.networks, made.evaluations, made.denoising, made.radii, **changes)
    table = paper_table([item], block, found)
    assert list(table.columns) == list(COLUMNS) and set(table["item"]) <= {item}
    return table.set_index(["row", "metric", "element"])


def test_a_predicted_micrograph_of_known_truth_is_counted_by_element():
    seen = listed((500, 500, 3, 0.9), (1000, 510, 6, 0.8), (1500, 500, 4, 0.7), (2500, 1900, 1, 0.6))
    known = true((505, 500, "O", 3), (1000, 500, "O", 5), (1500, 500, "Ce", 6), (2000, 500, "Ce", 6))
    table = rows_of("fig10", recorded={"camera": RecordedColumns("a", 2.5, seen, known, None, SIZE)})
    values = table.loc["columns", "value"]
    assert values["columns_exact", "O"] == 0.5 and values["columns_within_one", "O"] == 1
    assert values["columns_exact", "Ce"] == 0 and values["columns_found", "Ce"] == 0.5
    assert values["columns_exact", ALL] == pytest.approx(1 / 3) and values["columns_found", ALL] == 0.75
    assert values["columns_false", ALL] == 0.25
    one = table.loc["columns", "columns_exact", "Ce"]
    assert one["note"] == "1 of 2 columns were found" and one["dataset"] == "camera" and one["images"] == 1
    assert one["model"] == "a" and one["lambda"] == 2.5 and one["base_channels"] == 64
    assert rows_of("fig10").empty


def test_the_boundary_of_a_micrograph_stands_beside_the_papers():
    image = 1 + 0.3 * np.random.default_rng(0).normal(size=(64, 96))
    store = gradients_of_frame(small_network(), image, 1.5, pixel_pm=PIXEL, label_pixel_pm=PIXEL)
    table = rows_of("fig11", boundaries={"camera": Boundary("a", 1.5, places_table(store))})
    assert list(dict.fromkeys(table.index.get_level_values("row"))) == ["boundary", "vacuum"]
    energy = np.square(store["gradient"].values[:, 0]).sum((-2, -1)).argmax(1)
    for place, name, paper in ((0, "boundary", 1), (1, "vacuum", 0)):
        one = table.loc[name, "depth_of_largest_gradient", ALL]
        assert one["value"] == energy[place] and one["paper"] == paper and one["reference"] == "Fig. 11"
        assert table.loc[name, "estimated_depth", ALL]["value"] == int(store["place_depth"][place])
        radius = float(store["half_energy_radius_pm"][place])
        assert table.loc[name, "half_energy_radius_pm", ALL]["value"] == radius
    assert (table["lambda"] == 1.5).all() and (table["dataset"] == "camera").all()


def test_the_events_of_a_film_stand_beside_what_chance_gives():
    ends = {f"{name}_{end}": place for name in ("precision", "recall") for end, place in (("low", 0.0), ("high", 1.0))}
    scores = pd.DataFrame(
        [
            {"dose_lambda": 1.8, "method": method, "element": element, "frames": 60, "true": 9, "found": 4,
             "precision": 0.3, "recall": 0.2, "precision_by_chance": 0.05, "recall_by_chance": 0.1, **ends}
            for method in ("frame", "hmm", "hmm_listed", "mean_3") for element in (ALL, "Ce", "O")
        ]
    )  # fmt: skip
    table = rows_of("fig12", film=scores)
    names = ("hidden Markov model", "single frames")
    assert set(table.index.get_level_values("row")) == {*names, *(f"{name}, by chance" for name in names)}
    assert len(table) == 2 * 2 * 2 * 3
    one = table.loc["hidden Markov model", "precision", "O"]
    assert one[["value", "low", "high", "images", "lambda"]].tolist() == [0.3, 0, 1, 60, 1.8]
    assert one["note"] == "9 true events, 4 found" and one["model"] == "e" and one["dataset"] == "f"
    assert table.loc["single frames, by chance", "recall", "Ce"]["value"] == 0.1
    assert rows_of("fig12").empty


def text(units: str = "1") -> dict[str, str]:
    return {"units": units, "long_name": "made up"}


def project(folder, seed: int = 7) -> None:
    """A predicted recording of the middle 2000 pm of a field of 2200 pm, with a column of 3 atoms, and depth maps of
    structures 4 and 5."""
    common = {"code": "0" * 16}
    made = {"micrograph": {"pixel_pm": 10.0}, "dose_lambda": 2.5, "structure": 5}
    seeds = {"root_seed": seed, "specimen": "w"}
    with write_artefact(
        folder / "camera.npz", command="record-micrograph", parameters=made, seeds=seeds, **common
    ) as path:
        np.savez(path, counts=np.ones((200, 200)))
    (folder / "other.txt").write_text("from outside")
    inputs = [folder / "other.txt", folder / "camera.npz"]
    given = {"command": "predict-micrograph", "parameters": {}, **common}
    with write_artefact(folder / "prediction", inputs=inputs, **given) as path:
        path.mkdir()
        facts = {"file_shape": [200, 200], "labels": json.dumps({"more": True}), "classes": 11}
        facts["network"] = json.dumps({"name": "a"})
        store = xr.Dataset({"dose": ("frame", [1.0], text())}, attrs=facts)
        write_zarr(store, path / "prediction.zarr", leading=(), parameters={})
        seen = listed((1100, 900, 3, 0.9)).rename(columns={"x_pm": "x_px", "y_pm": "y_px"})
        seen.assign(x_px=seen["x_px"] / 10, y_px=seen["y_px"] / 10).to_csv(path / "columns.csv", index=False)
    with write_artefact(folder / "depth.zarr", command="project-depth", parameters={}, seeds=seeds, **common) as path:
        columns = {"x_pm": [1200.0, 50.0, 700.0], "y_pm": [1000.0, 300.0, 700.0], "atoms": [3, 4, 9]}
        columns |= {"element": [ATOMIC_NUMBER["O"]] * 3, "structure": [5, 5, 4]}
        depth = {f"column_{name}": ("column", np.array(values), text()) for name, values in columns.items()}
        store = xr.Dataset(depth, coords={"structure": ("structure", [4, 5], text())})
        store = store.assign_attrs(root_seed=7, specimen="w", field_pm=2200.0)
        write_zarr(store, path, leading=(), parameters={})
    with write_artefact(folder / "mine", inputs=[folder / "other.txt"], **given) as path:
        path.mkdir()


def test_the_truth_of_a_prediction_is_that_of_the_structure_that_was_recorded(tmp_path):
    project(tmp_path)
    recording = recording_of(tmp_path / "prediction")
    assert recording.path.name == "camera.npz" and recording.key == (7, "w", 5)
    found = recorded_columns(tmp_path / "prediction", recording, [tmp_path / "depth.zarr"])
    assert (found.model, found.dose_lambda, found.top, found.size_pm) == ("a", 2.5, 10, (2000, 2000))
    assert found.true[["x_pm", "y_pm", "element", "atoms"]].values.tolist() == [[1100, 900, "O", 3]]
    assert found.listed[["x_pm", "y_pm"]].to_numpy() == pytest.approx(np.array([[1100, 900]]))
    assert recording_of(tmp_path / "mine") is None


def test_depth_maps_of_another_seed_are_no_truth(tmp_path):
    project(tmp_path, seed=8)
    recording = recording_of(tmp_path / "prediction")
    with pytest.raises(StoreError, match="structure 5 of 'w'.*--depth"):
        recorded_columns(tmp_path / "prediction", recording, [tmp_path / "depth.zarr"])


def observer() -> IdealObserver:
    columns = pd.DataFrame(
        {"structure": [1, 1, 2, 2], "element": ["Ce", "O", "Ce", "O"], "x_pm": 0.0, "y_pm": 0.0, "atoms": 4,
         "defocus_nm": 5.0, "d_prime_minus": [2.0, 0.5, 3.0, 1.0], "d_prime_plus": [2.0, 0.5, 3.0, 1.0]}
    )  # fmt: skip
    nothing = pd.DataFrame()
    return IdealObserver({"dataset": "few", "dose_lambda": 2.5}, nothing, nothing, nothing, columns)


def test_the_bound_stands_at_every_dose_of_figure_9():
    """A share of exact counts of Φ(d'/2) + Φ(d'/2) - 1, where d' grows with the root of the dose."""
    made, block = results(), BLOCK.model_copy(update={"bound": "few"})
    found = PaperResults(made.networks, made.evaluations, bound=observer())
    table = paper_table(["bound"], block, found)
    assert set(table["lambda"]) == {0.1, 2.5} and set(table["element"]) == {"Ce", "O"} and len(table) == 8
    one = table.set_index(["lambda", "metric", "element"]).loc[2.5, "columns_exact", "Ce"]
    ends = [2 * norm.cdf(d / 2) - 1 for d in (2, 3)]
    assert [one["low"], one["value"], one["high"]] == pytest.approx([ends[0], np.mean(ends), ends[1]])
    low = table.set_index(["lambda", "metric", "element"]).loc[0.1, "columns_within_one", "O"]
    assert low["value"] == pytest.approx(np.mean([2 * norm.cdf(1.5 * d * 0.2) - 1 for d in (0.5, 1)]))
    assert one["dataset"] == "few" and one["structures"] == 2 and one["images"] == 2
    curves = paper_table(["fig9a"], block, found)
    fig = fig9_doses.draw(curves, curves, table)
    labels = [text.get_text() for text in fig.axes[5].get_legend().get_texts()]
    assert {"limit of a single column, Ce", "limit of a single column, O"} <= set(labels)
    assert [len(ax.lines) for ax in fig.axes[3:5]] == [len(fig.axes[0].lines), len(fig.axes[0].lines) + 2]
    assert paper_table(["bound"], BLOCK, results()).empty


def test_the_bound_is_of_what_the_networks_are_measured_on():
    data = laid_over("paper_quick").model_dump()
    assert data["paper"]["bound"] == "paper_bound"
    for change, said in (
        ({"imaging": "overfocus"}, "paper.bound: got 'paper_bound', whose imaging is not that of 'paper_2p5'"),
        ({"splits": {"test": 0.0, "validation": 0.1, "train": 0.9}}, "paper.bound needs at least one"),
    ):
        changed = data["datasets"] | {"paper_bound": data["datasets"]["paper_bound"] | change}
        with pytest.raises(ConfigError, match=said):
            validate(Config, data | {"datasets": changed})
    with pytest.raises(ConfigError, match=r"paper\.bound"):
        validate(Config, data | {"paper": data["paper"] | {"bound": "none"}})
