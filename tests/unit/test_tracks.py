"""Columns followed through a film, and what is scored of their events."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from column_data import ideal, one_hot
from conftest import CERIA, RINGS
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from segdepth.errors import MicrographError
from segdepth.evaluation.film_events import (
    chance_scores,
    event_scores,
    fewest_frames_seen,
    frames_needed,
    match_events,
    matched_rows,
    recall_by_dwell,
    true_events,
)
from segdepth.micrograph.columns import FilmSites
from segdepth.micrograph.tracks import follow_columns
from segdepth.micrograph.tracks.follow import grouped

PIXEL, ROWS, COLUMNS, FRAMES, AWAY = RINGS.pixel_pm, 120, 144, 7, (2, 4)
TOP, LEFT = 105, 60


@pytest.fixture(scope="module")
def film():
    """A drifting wedge; one column at its surface is there in some frames only. Maps, table, its place, truth."""
    depth, truth = ideal("flat", 0)
    inside = truth["x_pm"].between((LEFT + 40) * PIXEL, (LEFT + 90) * PIXEL)
    gone = truth[inside].sort_values("y_pm").iloc[-1]
    y, x = (np.arange(side) + 0.5 for side in depth.shape)
    own = np.hypot(PIXEL * y[:, None] - gone["y_pm"], PIXEL * x - gone["x_pm"]) < 90
    shown, tables, sites = [], [], None
    for number in range(FRAMES):
        frame = np.where(own & (number in AWAY), 0, depth)
        part = one_hot(frame[TOP + number : TOP + number + ROWS, LEFT - number : LEFT - number + COLUMNS])
        sites = sites or FilmSites.start([part], PIXEL, CERIA, RINGS.model_dump(mode="json"))
        tables.append(sites.columns(part, None).assign(frame=number))
        shown.append(part)
    maps = xr.Dataset(
        {
            "probabilities": (("frame", "class", "row", "column"), np.stack(shown).astype(np.float16)),
            "valid": (("frame", "row", "column"), np.ones((FRAMES, ROWS, COLUMNS), bool)),
        },
        {"frame": np.arange(FRAMES, dtype=np.int32), "lost": ("frame", np.zeros(FRAMES, bool))},
        {
            "crystal": json.dumps(CERIA.to_dict()),
            "labels": json.dumps(RINGS.model_dump(mode="json")),
            "label_pixel_pm": PIXEL,
            "affine_to_file_pm": [[1.0, 0.0, 500.0], [0.0, 1.0, -30.0]],
        },
    )
    columns = pd.concat(tables, ignore_index=True)
    columns = columns.assign(x_pm=columns["x_pm"] + 500, y_pm=columns["y_pm"] - 30)
    return maps, columns, gone, truth


def test_a_column_is_followed_where_it_is_not_listed(film):
    maps, columns, gone, _ = film
    tracks = follow_columns(maps, columns, 0.2)
    shift = np.arange(FRAMES)[:, None] * np.array([1, -1]) * PIXEL
    places = np.stack([tracks["x_pm"].values - 500, tracks["y_pm"].values + 30], -1) - shift
    middle = np.nanmean(places, axis=1)
    row = int(np.hypot(*(middle + np.array([LEFT, TOP]) * PIXEL - [gone["x_pm"], gone["y_pm"]]).T).argmin())
    depth = tracks["probability"].values[row].argmax(axis=-1)
    expected = [0 if number in AWAY else int(gone["atoms"]) for number in range(FRAMES)]
    assert depth.tolist() == expected
    assert tracks["listed"].values[row].tolist() == [number not in AWAY for number in range(FRAMES)]
    assert str(tracks["place"].values[row]) == "edge" and str(tracks["element"].values[row]) == gone_element(gone)
    assert np.nanstd(places[row], axis=0).max() < 15  # it keeps its place in the crystal
    assert tracks["time_s"].values[3] == pytest.approx(0.6)


def gone_element(gone) -> str:
    return {58: "Ce", 8: "O"}[int(gone["element"])]


def test_names_are_those_of_the_table_also_where_it_counts_from_another_cell(film):
    maps, columns, *_ = film
    plain = follow_columns(maps, columns, 0.2)
    inside = columns["x_pm"].between(800, 200 + COLUMNS * PIXEL) & columns["y_pm"].between(270, ROWS * PIXEL - 330)
    seen = {name for name, rows in columns[inside].groupby("column") if len(rows) == FRAMES}
    assert seen <= set(plain["column"].values.tolist())
    moved = columns.assign(column=[_moved(name) for name in columns["column"]])
    other = follow_columns(maps, moved, 0.2)
    assert other["column"].values.tolist() == [_moved(name) for name in plain["column"].values.tolist()]
    assert np.array_equal(other["listed"].values, plain["listed"].values)


def _moved(name: str) -> str:
    u, v, place = name.split(",")
    return f"{int(u) + 3},{int(v) - 2},{place}"


def test_places_in_the_crystal(film):
    maps, columns, _, truth = film
    tracks = follow_columns(maps, columns, 0.2)
    top = truth["y_pm"].max() - TOP * PIXEL
    y = np.nanmean(tracks["y_pm"].values + 30 + np.arange(FRAMES) * PIXEL, axis=1)
    place = tracks["place"].values
    assert (place[y < top - 500] == "bulk").all() and (place[y > top + 400] == "vacuum").all()
    assert (place[np.abs(y - top) < 60] == "edge").all()
    rows = grouped(tracks)
    assert sum(map(len, rows.values())) == len(place) and ("O", "edge") in rows


def test_a_film_without_a_lattice_is_refused(film):
    maps, columns, *_ = film
    empty = maps.copy(deep=True)
    empty["probabilities"][:] = one_hot(np.zeros((ROWS, COLUMNS), int)).astype(np.float16)
    with pytest.raises(MicrographError, match="lattice"):
        follow_columns(empty, columns.iloc[:0], 0.2)
    with pytest.raises(MicrographError, match="lost"):
        follow_columns(maps.assign_coords(lost=("frame", np.ones(FRAMES, bool))), columns, 0.2)


def test_true_events_know_how_long_a_column_stays():
    found = true_events(np.array([[2, 2, 3, 3, 3, 2], [1, 1, 1, 1, 1, 1]]), 0.5)
    assert found.to_numpy().tolist() == [[0, 1.0, 2, 3, 2], [0, 2.5, 3, 2, 1]]


ELEMENTS, TOLERANCE = np.array(["A", "B"]), 0.65


def events(*rows) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["row", "time_s", "before", "after"])
    return table.assign(element=[ELEMENTS[row] if row >= 0 else "B" for row in table["row"]], dwell_frames=4)


def test_scores_that_can_be_worked_out_by_hand():
    true = events((0, 1.0, 2, 3), (0, 3.0, 3, 2), (1, 2.0, 1, 0))
    found = events((0, 1.2, 2, 3), (0, 1.4, 2, 3), (0, 3.0, 2, 3), (1, 2.1, 1, 0), (-1, 2.0, 1, 0))
    assert match_events(found, true, TOLERANCE).tolist() == [0, -1, -1, 2, -1]  # once; of one direction; of one column
    every, one, other = event_scores(found, true, ELEMENTS, TOLERANCE)
    assert (every["found"], every["true"], every["matched"]) == (5, 3, 2)
    assert every["precision"] == 0.4 and every["recall"] == pytest.approx(2 / 3)
    assert one["recall"] == 0.5 and other["precision"] == 0.5 and other["recall"] == 1
    assert every["timing_s"] == pytest.approx(0.15)
    by = pd.DataFrame(recall_by_dwell(found, true, ELEMENTS, TOLERANCE, 20.0))
    assert by[(by["element"] == "A") & (by["frames_from"] == 3)].iloc[0][["true", "matched"]].tolist() == [2, 1]
    empty = event_scores(found.iloc[:0], true.iloc[:0], ELEMENTS, TOLERANCE)
    assert empty[0]["precision"] is None and empty[0]["timing_s"] is None


def test_events_that_match_by_chance_are_told():
    """A column that changes all the time, and one that changes once, on a film of 100 s."""
    often = [(0, float(second), 2, 3) for second in range(0, 100, 1)]
    true = events(*often, (1, 20.0, 1, 0))
    every, one, other = chance_scores(true, true, ELEMENTS, TOLERANCE, 100.0)
    assert one == {"precision_by_chance": 1.0, "recall_by_chance": 1.0}
    assert other == {"precision_by_chance": 0.0, "recall_by_chance": 0.0}
    assert every["precision_by_chance"] == pytest.approx(100 / 101)
    assert chance_scores(true.iloc[:0], true, ELEMENTS, TOLERANCE, 100.0)[0]["precision_by_chance"] is None


def test_recall_by_chance_is_told_beside_recall_for_each_dwell():
    """As above, where events of the column that changes all the time are of two frames, and the others of 30."""
    often = [(0, float(second), 2, 3) for second in range(0, 100, 1)]
    true = events(*often, (1, 20.0, 1, 0)).assign(dwell_frames=[2] * 100 + [30])
    table = pd.DataFrame(recall_by_dwell(true, true, ELEMENTS, TOLERANCE, 100.0)).query("true > 0")
    assert table[["element", "frames_from", "true", "recall", "recall_by_chance"]].to_numpy().tolist() == [
        ["A", 1, 100, 1.0, 1.0],
        ["B", 21, 1, 1.0, 0.0],
    ]


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 20), st.booleans()), max_size=12), st.floats(0, TOLERANCE))
def test_what_truly_happened_is_all_found(given_rows, late):
    """Also where everything is seen a little late; and no pair is counted twice."""
    true = events(*((row, time, 1, 2 if up else 0) for row, time, up in given_rows))
    found = true.assign(time_s=true["time_s"] + late)
    matched = match_events(found, true, TOLERANCE)
    assert sorted(matched.tolist()) == list(range(len(true)))


def test_followed_columns_are_the_true_ones_near_them():
    true = np.array([[0.0, 0], [200, 0], [0, 200]])
    found = matched_rows(np.array([[10.0, 5], [190, 0], [0, 120]]), ["A", "B", "B"], true, ["A", "A", "B"])
    assert found.tolist() == [0, -1, -1]
    assert cKDTree(true).query([10.0, 5])[1] == 0


def test_frames_needed_fall_with_the_dose():
    assert frames_needed(3.29, 1.0) == pytest.approx(1.0) and frames_needed(3.29, 4.0) == pytest.approx(0.25)


def test_the_python_function_says_what_the_modules_say(film):
    import segdepth
    from segdepth.errors import ConfigError

    maps, columns, gone, _ = film
    found = segdepth.track(maps, columns, frame_s=0.2)
    assert isinstance(found, segdepth.Tracked)
    assert found.tracks["posterior"].dims == ("column", "frame", "class")
    assert found.tracks["path"].shape == found.tracks["listed"].shape and "time_s" in found.events
    for wrong in ({"frame_s": 0.0}, {"frame_s": 0.2, "false_discovery": 2.0}):
        with pytest.raises(ConfigError):
            segdepth.track(maps, columns, **wrong)


def test_changes_are_seen_where_events_are_true_and_found_beyond_chance():
    scores = [
        {"method": "many", "precision": 0.1},
        {"method": "model", "precision": 0.6},
        {"method": "mean", "precision": 0.5},
    ]
    scores.append({"method": "none", "precision": np.nan})
    found = {
        "many": {1: (0.99, 0.5), 3: (1, 0.9)},
        "model": {1: (0.7, 0.5), 3: (0.6, 0.2), 6: (0.9, 0.1)},
        "mean": {1: (0.4, 0), 3: (0.75, 0.4), 6: (1, 1)},
        "none": {1: (0, 0)},
    }
    dwell = [
        {"method": method, "frames_from": first, "true": 9, "recall": recall, "recall_by_chance": chance}
        for method, classes in found.items()
        for first, (recall, chance) in classes.items()
    ]
    assert fewest_frames_seen(scores, dwell) == (3, "mean")  # 0.58 beyond chance; the model 0.5
    assert fewest_frames_seen(scores, [row for row in dwell if row["frames_from"] != 3]) == (6, "model")
    assert fewest_frames_seen(scores, [row | {"true": 0} for row in dwell]) == (None, None)
    assert fewest_frames_seen(scores[:1], dwell) == (None, None)
