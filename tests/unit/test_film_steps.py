"""From a predicted film to tracks, scores and figures: what is written, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from segdepth.errors import StoreError
from segdepth.figures import fig12_film, film_scores
from segdepth.micrograph.tracks.events import column_events
from segdepth.steps.plot_film import read_scores
from segdepth.steps.track_columns import _read, write_tracks
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr


def tracks(frames=40) -> xr.Dataset:
    """Three followed sites: one atom that comes and goes, one that stays, none."""
    held = np.zeros((3, frames), int)
    held[0, 10:25] = held[1] = 1
    probability = np.full((3, frames, 4), 0.02)
    np.put_along_axis(probability, held[..., None], 0.94, axis=2)

    def text(unit: str) -> dict[str, str]:
        return {"units": unit, "long_name": "made up"}

    return xr.Dataset(
        {
            "probability": (("column", "frame", "class"), probability, text("1")),
            "x_pm": (("column", "frame"), np.full((3, frames), 100.0), text("pm")),
            "y_pm": (("column", "frame"), np.full((3, frames), 100.0), text("pm")),
            "listed": (("column", "frame"), held > 0, text("1")),
            "true_atoms": (("column", "frame"), held.astype(np.int16), text("atoms")),
        },
        {
            "column": ("column", ["0,0,A1", "0,1,A1", "0,2,A1"], text("1")),
            "element": ("column", ["Ce", "Ce", "Ce"], text("1")),
            "place": ("column", ["edge", "edge", "vacuum"], text("1")),
            "changes": ("column", [True, False, False], text("1")),
            "frame": ("frame", np.arange(frames), text("1")),
            "time_s": ("frame", 0.13 * np.arange(frames), text("s")),
            "class": ("class", np.arange(4), text("atoms")),
        },
        {"frame_s": 0.13, "title": "made up", "film": "surface", "network": "net", "dose_lambda": 1.8}
        | {"changing_Ce": 3, "changing_O": 2},
    )


def test_what_does_not_hold_of_a_prediction_is_told_of_its_tracks(tmp_path):
    told = ["NOT RELIABLE: outside of what the network has learnt", "12 electrons per Å² and frame, from the vacuum"]
    (tmp_path / "summary.json").write_text(json.dumps({"warnings": told, "frame_step_s": 0.13}))
    pd.DataFrame({"frame": [0]}).to_parquet(tmp_path / "columns.parquet")
    assert _read(tmp_path)[1:] == (0.13, (told[0],))


def test_tracks_are_stored_with_units_and_read_again(tmp_path):
    made = tracks()
    found = column_events(made)
    with write_artefact(tmp_path / "out", command="track-columns", code="c", inputs=[], parameters={}) as partial:
        partial.mkdir()
        write_tracks(made, found, partial, {})
    with open_zarr(tmp_path / "out", "track-columns", part="tracks.zarr") as read:
        assert read["column"].values.tolist() == made["column"].values.tolist()
        assert np.allclose(read["probability"].values, made["probability"].values)
        assert np.array_equal(read["path"].values, made["true_atoms"].values)
        assert read["posterior"].attrs["units"] == "1"
    events = pd.read_csv(tmp_path / "out" / "events.csv")
    assert events["after"].tolist() == [1, 0] and events["listed"].all()
    rates = pd.read_csv(tmp_path / "out" / "rates.csv")
    assert rates["columns"].tolist() == [2, 1] and rates["loss_per_s"].isna().tolist() == [False, True]


def with_model() -> xr.Dataset:
    made = tracks()
    return made.assign(path=(("column", "frame"), column_events(made).path, {}))


def test_figure_12_shows_the_column_that_changes_and_a_vacuum_site():
    shown = with_model()
    assert fig12_film.chosen_sites(shown) == (0, 2)
    fig = fig12_film.draw(shown)
    told = "film surface: 40 frames of 0.13 s, $\\lambda$ = 1.8 a frame; network net; "
    told += "changing columns: 3 Ce, 2 O"  # the true ones, of which one is followed
    assert fig.get_suptitle() == told
    top, vacuum, below, empty = fig.axes
    assert "0,0,A1" in top.get_title() and "0,2,A1" in vacuum.get_title()
    assert {line.get_label() for line in top.get_lines()} == {"0 atoms", "1 atom"}
    true, model = (line.get_ydata() for line in below.get_lines())
    assert np.array_equal(true, shown["true_atoms"].values[0]) and np.array_equal(model, true)
    assert not np.any(empty.get_lines()[0].get_ydata())
    still = shown.assign_coords(changes=("column", [False] * 3))
    with pytest.raises(StoreError, match="no column"):
        fig12_film.draw(still)


def test_figure_12_has_a_line_for_each_number_of_atoms_that_the_column_truly_holds():
    shown = with_model()
    low = shown["probability"].values.copy()
    low[0] = (0.97, 0.01, 0.01, 0.01)  # the network never sees the atom that comes and goes
    top = fig12_film.draw(shown.assign(probability=(("column", "frame", "class"), low))).axes[0]
    assert {line.get_label() for line in top.get_lines()} == {"0 atoms", "1 atom"}


def test_the_column_of_figure_12_is_chosen_without_a_look_at_what_was_found():
    """Of 8, 2, 4 and 5 changes of the heavy element that of 4 is shown, however wrong the model is there."""
    changes = {"Ce": (8, 2, 4, 5), "O": (9, 1, 1), "vacuum": (0,)}
    counts = [count for one in changes.values() for count in one]
    held = np.zeros((len(counts), 40), int)
    for row, count in enumerate(counts):
        for change in range(count):
            held[row, 3 * (change + 1) :] ^= 1
    elements = ["Ce"] * 4 + ["O"] * 3 + ["Ce"]
    shown = xr.Dataset(
        {
            "true_atoms": (("column", "frame"), held),
            "path": (("column", "frame"), held),
            "probability": (("column", "frame", "class"), np.full((*held.shape, 3), 1 / 3)),
            **{f"{axis}_pm": (("column", "frame"), np.zeros(held.shape)) for axis in "xy"},
        },
        {
            "element": ("column", elements),
            "place": ("column", ["edge"] * 7 + ["vacuum"]),
            "changes": ("column", np.array(counts) > 0),
        },
    )
    assert fig12_film.chosen_sites(shown) == (2, 7)
    wrong = shown["path"].values.copy()
    wrong[2] += 1
    assert fig12_film.chosen_sites(shown.assign(path=(("column", "frame"), wrong))) == (2, 7)
    filled = shown["true_atoms"].values + 1
    filled[[0, 1]] -= 1  # of the heavy ones that are empty at some time, those of 8 and 2 changes: the lower one
    assert fig12_film.chosen_sites(shown.assign(true_atoms=(("column", "frame"), filled))) == (1, 7)
    filled[[0, 1]] += 1
    filled[5] -= 1  # no heavy one is, but a light one
    assert fig12_film.chosen_sites(shown.assign(true_atoms=(("column", "frame"), filled))) == (5, 7)
    filled[5] += 1
    assert fig12_film.chosen_sites(shown.assign(true_atoms=(("column", "frame"), filled))) == (2, 7)
    light = shown.assign_coords(changes=("column", [False] * 4 + [True] * 3 + [False]))
    assert fig12_film.chosen_sites(light) == (5, 7)


def test_names_of_films_and_networks_that_look_like_something_else_are_shown_as_they_are(tmp_path):
    row = {"film": "NA", "network": "007", "frames": 40, "frame_s": 0.13, "dose_lambda": 1.8, "method": "hmm"}
    row |= {"element": "A", "columns": 2, "precision": None, "recall": 0.5, "timing_s": 0.1}
    pd.DataFrame([row]).to_csv(tmp_path / "scores.csv", index=False)
    scores = read_scores(tmp_path / "scores.csv")
    assert np.isnan(scores["precision"]).all()
    told = "film NA: 40 frames of 0.13 s; network 007; changing columns: 2 A"
    assert film_scores.draw(scores).get_suptitle() == told


def test_scores_are_drawn_by_element_and_method():
    rows = [
        {"dose_lambda": dose, "method": method, "element": element, "precision": 0.5, "recall": 0.1 * dose}
        | {"timing_s": 0.1, "film": "surface", "network": "net", "frames": 40, "frame_s": 0.13, "columns": len(element)}
        for dose in (0.6, 1.8)
        for method in ("hmm", "frame", "mean_3")
        for element in ("all", "A", "B")
    ]
    fig = film_scores.draw(pd.DataFrame(rows))
    assert len(fig.axes) == 6
    told = "film surface: 40 frames of 0.13 s; network net; changing columns: 1 A, 1 B"
    assert fig.get_suptitle() == told
    line = fig.axes[1].get_lines()[0]
    assert line.get_xdata().tolist() == [0.6, 1.8] and np.allclose(line.get_ydata(), [0.06, 0.18])
    with pytest.raises(StoreError, match="empty"):
        film_scores.draw(pd.DataFrame(rows[:1]))
