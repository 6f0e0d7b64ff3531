"""Columns of a film keep the name of their lattice site: under drift, strain, turns, noise and empty frames."""

import numpy as np
import pytest
from column_data import ideal, one_hot, radii
from conftest import CERIA, RINGS, TITANATE
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.evaluation.metrics import pool_columns
from segdepth.labels.ownership import nearest_column
from segdepth.micrograph.columns import FilmSites
from segdepth.micrograph.columns.pooling import owned_pixels, pooled_probabilities

PIXEL = RINGS.pixel_pm
MAP, TRUTH = ideal("flat", 0)
ROWS, COLUMNS = 120, 144


def start(maps, crystal=CERIA, labels=RINGS, **options):
    return FilmSites.start([one_hot(m) for m in maps], PIXEL, crystal, labels.model_dump(mode="json"), **options)


def cut(top, left, depth=MAP):
    return depth[top : top + ROWS, left : left + COLUMNS]


def true_rows(table, truth, top=0, left=0):
    """The true column that each row of a frame is."""
    tree = cKDTree(truth[["x_pm", "y_pm"]])
    distance, row = tree.query(table[["x_pm", "y_pm"]].to_numpy() + np.array([left, top]) * PIXEL)
    assert distance.max() < 60
    return row


@pytest.mark.parametrize("step", [(2, 3), (-1, -4), (4, 0)])
def test_names_stay_with_the_columns_of_a_crystal_that_drifts(step):
    """By up to 90 pm a frame, over several cells in all; columns come and go at the border."""
    names, film, top, left = {}, None, 60, 70
    for _ in range(14):
        depth = cut(top, left)
        film = film or start([depth])
        table = film.columns(one_hot(depth), None)
        assert table["column"].is_unique
        for row, name in zip(true_rows(table, TRUTH, top, left), table["column"]):
            assert names.setdefault(row, name) == name
        np.testing.assert_allclose(film.moved_pm, PIXEL * np.array([70 - left, 60 - top]), atol=0.2 * PIXEL)
        top, left = top + step[0], left + step[1]
    assert len(set(names.values())) == len(names) > 200


def test_a_drift_by_a_whole_period_between_two_frames_looks_like_none():
    """As the docstring says: 541.1 pm are 25.6 pixels, along y 18.1 pixels."""
    film = start([cut(60, 50)])
    first = film.columns(one_hot(cut(60, 50)), None)
    second = film.columns(one_hot(cut(78, 50)), None)
    both = first.merge(second, on="column")
    assert len(both) > 100 and np.abs(both["y_pm_x"] - both["y_pm_y"]).max() < 40


def test_a_name_says_where_its_place_in_the_lattice_is():
    """u and v count cells along x and y from the one next to the middle; places are those of the crystal."""
    table = start([cut(60, 50)]).columns(one_hot(cut(60, 50)), None)
    parts = table["column"].str.extract(r"^(-?\d+),(-?\d+),([A-Z][a-z]?)(\d+)$")
    assert (parts[2] == table["element"]).all() and set(parts[3][parts[2] == "O"]) == {"1", "2", "3", "4"}
    at = {f"{c.element}{[o.element for o in CERIA.columns[: i + 1]].count(c.element)}": (c.x, c.y)
          for i, c in enumerate(CERIA.columns)}  # fmt: skip
    place = np.array([at[e + k] for e, k in zip(parts[2], parts[3])])
    cells = parts[[0, 1]].astype(float).to_numpy() + place
    off = table[["x_pm", "y_pm"]].to_numpy() - cells * CERIA.periods_pm[:2]
    assert np.abs(off - off.mean(axis=0)).max() < 30
    middle = np.array([COLUMNS, ROWS]) * PIXEL / 2
    assert (np.abs(off.mean(axis=0) - middle) <= np.array(CERIA.periods_pm[:2]) / 2).all()


@given(
    st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.floats(-0.7, 0.7),
    st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
)  # fmt: skip
def test_strain_and_turn_break_neither_names_nor_places(along_x, along_y, shear, degrees, move):
    """A strain or a pixel off by 2 %, a turn by 0.7 degrees, against the crystal's own lattice; and back to it by a
    film that starts with the one and goes on with the other."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1 + along_y, shear / 2], [shear / 2, 1 + along_x]])  # on (y, x)
    centre = np.array(MAP.shape) / 2 - 0.5
    moved = ndimage.affine_transform(MAP, linear, centre - linear @ centre + move, order=0)[40:200, 30:220]
    back = np.linalg.solve(linear, (TRUTH[["y_pm", "x_pm"]].to_numpy() / PIXEL - 0.5 - centre - move).T).T + centre
    there = TRUTH.assign(y_pm=(back[:, 0] - 40 + 0.5) * PIXEL, x_pm=(back[:, 1] - 30 + 0.5) * PIXEL)
    sides = {"y_pm": moved.shape[0] * PIXEL, "x_pm": moved.shape[1] * PIXEL}
    inside = np.all([there[name].between(120, side - 120) for name, side in sides.items()], axis=0)
    film = start([moved])
    table = film.columns(one_hot(moved), None)
    assert table["column"].is_unique
    distance, row = cKDTree(table[["x_pm", "y_pm"]]).query(there[inside][["x_pm", "y_pm"]])
    found = distance < 60
    assert found.mean() > 0.97 and np.sqrt((distance[found] ** 2).mean()) < 20
    element = np.where(there[inside]["element"] == 58, "Ce", "O")[found]
    assert (table["element"].to_numpy()[row[found]] == element).mean() > 0.99
    again = film.columns(one_hot(moved), None)
    assert (again["column"] == table["column"]).all()


def test_frames_without_a_lattice_change_no_names():
    depth = cut(60, 50)
    film = start([np.zeros_like(depth)])
    empty = film.columns(one_hot(np.zeros_like(depth)), None)
    assert empty.empty
    first = film.columns(one_hot(depth), None)
    assert len(first) > 100 and film.columns(one_hot(np.full_like(depth, 4)), None).empty
    assert film.columns(one_hot(depth), None).equals(first)
    assert list(empty.columns) == list(first.columns) and (empty.dtypes == first.dtypes).all()


def test_the_places_of_srtio3_are_named_by_their_elements_in_every_frame():
    labels = radii(85, 75, 60)
    depth, truth = ideal("flat", 0, TITANATE, labels)
    names, film = {}, None
    for top, left in ((50, 60), (52, 57), (55, 54)):
        part, told = cut(top, left, depth), []
        film = film or start([part], TITANATE, labels, warn=told.append)
        table = film.columns(one_hot(part), None)
        assert told == [] and table["column"].str.contains(r",(?:Sr1|Ti1|O[12])$").all()
        for row, name in zip(true_rows(table, truth, top, left), table["column"]):
            assert names.setdefault(row, name) == name
    assert len(set(names.values())) == len(names) > 100


def test_an_island_apart_has_names_of_the_same_lattice():
    """Vacuum between two parts of one crystal."""
    depth = cut(60, 50).copy()
    depth[:, 60:100] = 0
    table = start([depth]).columns(one_hot(depth), None)
    names = start([cut(60, 50)]).columns(one_hot(cut(60, 50)), None).set_index("column")
    both = table[table["column"].isin(names.index)]
    assert len(both) == len(table) > 60 and both["x_pm"].max() > 110 * PIXEL
    off = both[["x_pm", "y_pm"]].to_numpy() - names.loc[both["column"], ["x_pm", "y_pm"]].to_numpy()
    assert np.median(np.abs(off), axis=0).max() < 5


# --- pooling --------------------------------------------------------------------------------------------------------


def test_the_last_class_means_at_least():
    depth = np.minimum(cut(60, 50), 4)
    vectors = np.moveaxis(np.eye(5, dtype=np.float32)[depth], -1, 0)
    labels = RINGS.model_dump(mode="json")
    table = FilmSites.start([vectors], PIXEL, CERIA, labels).columns(vectors, None)
    assert (table["at_least"] == (table["depth"] == 4)).all() and 0 < table["at_least"].mean() < 1
    assert (table["depth_high"] <= 4).all() and (table["depth_low"] <= table["depth"]).all()


def test_a_column_may_have_more_where_its_90_percent_set_reaches_that_class():
    """Flat cores of 2, 3 and 4 atoms of which 4 means more than 3; sure of 2, unsure of 3, and sure of 4."""
    depth = np.clip(cut(60, 50), 0, 4)
    sure = np.moveaxis(np.eye(5, dtype=np.float32)[depth], -1, 0)
    vectors = np.where(depth == 3, 0.7 * sure + 0.3 * np.eye(5, dtype=np.float32)[4][:, None, None], sure)
    labels = RINGS.model_copy(update={"most_atoms": 3, "more": True}).model_dump(mode="json")
    table = FilmSites.start([vectors], PIXEL, CERIA, labels).columns(vectors, None)
    assert set(table["depth"]) >= {2, 3, 4}
    assert (table["at_least"] == (table["depth_high"] == 4)).all()
    assert table["at_least"][table["depth"] == 4].all() and table["at_least"][table["depth"] == 3].mean() > 0.9
    assert not table["at_least"][table["depth"] < 3].all()
    last = table["depth"] == 4
    assert table["confidence"][last].max() <= 0.999 < table["confidence"][~last].max()


def test_columns_are_pooled_as_in_evaluations():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(6), (30, 40)).transpose(2, 0, 1).astype(np.float32)
    x, y = (centre.ravel() for centre in np.meshgrid(np.arange(60, 800, 140.0), np.arange(55, 600, 130.0)))
    x, y = x + rng.uniform(-20, 20, x.size), y + rng.uniform(-20, 20, y.size)
    radius = rng.choice([64.0, 85.0], x.size)
    owned = owned_pixels(x, y, radius, np.ones((30, 40), bool), 20.0)
    owner, distance = nearest_column(x, y, (40, 30), 20.0)
    wanted = pool_columns(probabilities, owner, distance <= radius[owner], x.size)
    assert np.allclose(pooled_probabilities(probabilities, owned, owned.number), wanted, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_each_pixel_belongs_to_the_nearest_place_if_that_is_near_enough(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-60, 460, 14), rng.uniform(-60, 360, 14)
    radius, valid = rng.choice([45.0, 80.0], 14), rng.random((15, 20)) > 0.1
    owned = owned_pixels(x, y, radius, valid, 20.0)
    i, j = np.divmod(np.arange(300), 20)
    distance = np.hypot((j[:, None] + 0.5) * 20 - x, (i[:, None] + 0.5) * 20 - y)
    nearest = distance.argmin(axis=1)
    mine = valid.ravel() & (distance[np.arange(300), nearest] <= radius[nearest])
    assert sorted(zip(owned.pixel.tolist(), owned.site.tolist())) == [(p, nearest[p]) for p in np.flatnonzero(mine)]
    assert np.allclose(np.hypot(owned.x, owned.y), distance[owned.pixel, owned.site], atol=1e-3)
