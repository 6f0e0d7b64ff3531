"""Columns from ideal depth maps: all found, elements told apart, in place; of CeO2 and of SrTiO3."""

import numpy as np
import pytest
from column_data import ideal, one_hot, radii
from conftest import CERIA, RINGS, TITANATE
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.config import Labels
from segdepth.crystals.elements import SYMBOLS
from segdepth.crystals.projection import Structure, project
from segdepth.micrograph import columns as module
from segdepth.micrograph.columns import COLUMNS
from segdepth.micrograph.columns.origin_choice import choose_candidate
from segdepth.micrograph.columns.reflection_pair import ReflectionPair, image_pair, template_pair

LABELS = RINGS
CLASSES = LABELS.classes
PIXEL = LABELS.pixel_pm


def find_columns(probabilities, pixel_pm, crystal=CERIA, labels=LABELS, **options):
    return module.find_columns(probabilities, pixel_pm, crystal, labels.model_dump(mode="json"), **options)


def compare(table, truth, reach=60.0):
    """Which true columns were found, which rows found them, and how far off."""
    distance, row = cKDTree(table[["x_pm", "y_pm"]]).query(truth[["x_pm", "y_pm"]])
    return distance < reach, row, distance


@pytest.mark.parametrize("surface", ["flat", "stepped", "sawtooth"])
@pytest.mark.parametrize("index", [0, 1])
def test_ideal_maps_give_their_columns_back(surface, index):
    depth, truth = ideal(surface, index)
    table = find_columns(one_hot(depth), PIXEL)
    assert list(table.columns) == COLUMNS
    found, row, distance = compare(table, truth)
    matched = table.iloc[row[found]]
    assert found.mean() > 0.98
    assert len(np.unique(row[found])) == found.sum() and len(table) < 1.03 * len(truth)
    element = np.where(truth["element"] == 58, "Ce", "O")[found]
    assert (matched["element"].to_numpy() == element).mean() > 0.98
    assert (matched["depth"].to_numpy() == truth["atoms"].to_numpy()[found]).mean() > 0.98
    assert np.sqrt((distance[found] ** 2).mean()) < 15
    assert matched["confidence"].median() > 0.95


def test_a_small_turn_and_a_wrong_scale_are_followed():
    """2.5 degrees and 1.5 % off: local phases follow what one global lattice could not."""
    depth, truth = ideal("flat")
    angle, scale = np.radians(2.5), 1.015
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # on (y, x)
    centre = np.array(depth.shape) / 2 - 0.5
    moved = ndimage.affine_transform(depth, turn, centre - turn @ centre, order=0)
    back = (np.linalg.inv(turn) @ (truth[["y_pm", "x_pm"]].to_numpy() / PIXEL - 0.5 - centre).T).T + centre
    there = truth.assign(y_pm=(back[:, 0] + 0.5) * PIXEL, x_pm=(back[:, 1] + 0.5) * PIXEL)
    side = depth.shape[0] * PIXEL
    there = there[there[["x_pm", "y_pm"]].apply(lambda v: v.between(150, side - 150)).all(axis=1)]
    table = find_columns(one_hot(moved), PIXEL)
    found, row, distance = compare(table, there)
    element = np.where(there["element"] == 58, "Ce", "O")[found]
    assert found.mean() > 0.98 and (table["element"].to_numpy()[row[found]] == element).mean() > 0.98
    assert np.sqrt((distance[found] ** 2).mean()) < 25


def test_unsure_maps_give_lower_confidence():
    depth, _ = ideal("flat")
    sure, unsure = one_hot(depth), 0.6 * one_hot(depth) + 0.4 / CLASSES
    first, second = find_columns(sure, PIXEL), find_columns(unsure, PIXEL)
    assert len(first) == len(second) and second["confidence"].max() < 0.65 < first["confidence"].median()


def test_invalid_ground_holds_no_columns():
    depth, _ = ideal("flat")
    valid = np.ones(depth.shape, bool)
    valid[:, :128] = False
    table = find_columns(one_hot(depth), PIXEL, valid=valid)
    assert len(table) > 100 and table["x_pm"].min() >= 128 * PIXEL


@pytest.mark.parametrize("depth", [np.zeros((96, 128), int), np.full((96, 128), 4)])
def test_without_a_lattice_there_are_no_columns(depth):
    table = find_columns(one_hot(depth), PIXEL)
    assert table.empty and list(table.columns) == COLUMNS


def test_an_oblique_border_is_no_lattice():
    """Of a plateau that ends along a {111} plane, by itself or by the mask."""
    y, x = np.indices((160, 200)) * PIXEL
    below = x / 541.1 + y / 382.6 < 8
    for depth, valid in ((np.full(below.shape, 5), below), (np.where(below, 5, 0), None)):
        assert len(find_columns(one_hot(depth), PIXEL, valid=valid)) < 30


def test_noise_is_no_lattice():
    noise = np.random.default_rng(0).random((CLASSES, 128, 128)).astype(np.float32)
    assert find_columns(noise / noise.sum(axis=0), PIXEL).empty


# --- another crystal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ["flat", "sawtooth"])
@pytest.mark.parametrize("sizes", [(85, 75, 60), (90, 70, 60), (80, 75, 70)])
def test_columns_of_srtio3_are_told_apart_by_their_labels(surface, sizes):
    """The pair's phases alone cannot: Sr, Ti-O and O are half a cell apart."""
    labels = radii(*sizes)
    depth, truth = ideal(surface, 0, TITANATE, labels)
    told = []
    table = find_columns(one_hot(depth), PIXEL, TITANATE, labels, warn=told.append)
    found, row, distance = compare(table, truth)
    matched = table.iloc[row[found]]
    element = truth["element"].map(lambda number: SYMBOLS[number]).to_numpy()[found]
    assert found.mean() > 0.98 and len(table) < 1.03 * len(truth) and told == []
    assert set(element) == {"Sr", "Ti", "O"}
    assert (matched["element"].to_numpy() == element).mean() > 0.98
    assert (matched["depth"].to_numpy() == truth["atoms"].to_numpy()[found]).mean() > 0.98
    assert np.sqrt((distance[found] ** 2).mean()) < 15


def test_labels_of_one_size_tell_no_elements_apart_and_this_is_said():
    labels = radii(70, 70, 70)
    depth, truth = ideal("flat", 0, TITANATE, labels)
    told = []
    table = find_columns(one_hot(depth), PIXEL, TITANATE, labels, warn=told.append)
    assert compare(table, truth)[0].mean() > 0.98
    assert len(told) == 1 and "Sr and Ti-O and O in SrTiO3 [001]" in told[0] and "interchanged" in told[0]


def rutile(zone, x):
    """TiO2, a = 459.4 pm, c = 295.9 pm, u = 0.305."""
    places = [(0.305, 0.305, 0), (0.695, 0.695, 0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)]
    atoms = [("Ti", (0, 0, 0)), ("Ti", (0.5, 0.5, 0.5)), *(("O", place) for place in places)]
    return project(Structure("TiO2", np.diag([459.4, 459.4, 295.9]), atoms, {}), zone, x, "rutile")


@pytest.mark.parametrize("core", [(60, 45), (85, 64)])
@pytest.mark.parametrize("axes", [[(0, 0, 1), (1, 0, 0)], [(0, 0, 1), (1, 1, 0)], [(1, 1, 0), (0, 0, 1)]])
def test_columns_of_rutile_are_found_once(axes, core):
    """Along [001] the pair leaves two origins; along [110] O are 71 pm apart, and phases lie beyond a whole period."""
    crystal, core = rutile(*axes), dict(zip(("Ti", "O"), core))
    labels = Labels(core_radius_pm=core, outer_radius_pm={element: radius + 30 for element, radius in core.items()})
    depth, truth = ideal("flat", 0, crystal, labels)
    told = []
    table = find_columns(one_hot(depth), PIXEL, crystal, labels, warn=told.append)
    found, row, distance = compare(table, truth, 30.0)
    element = truth["element"].map(lambda number: SYMBOLS[number]).to_numpy()[found]
    assert found.mean() > 0.99 and len(table) < 1.01 * len(truth) and told == []
    assert (table["element"].to_numpy()[row[found]] == element).mean() > 0.99
    assert np.sqrt((distance[found] ** 2).mean()) < 10


def test_a_lone_place_that_is_no_column_of_one_choice_is_not_decided():
    """O of rutile's one origin is no place of the other's lattice."""
    crystal, told = rutile((0, 0, 1), (1, 0, 0)), []
    pair, radii = ReflectionPair(crystal, crystal.reflection_pair), {"Ti": 60, "O": 45}
    place, waves = np.array([[200.0, 200.0]]), np.array([pair.classes[1].phases])
    chosen = choose_candidate(place, waves, pair, np.ones((20, 20)), 20.0, (radii, radii), told.append)
    assert chosen == pair.candidates[0] and len(pair.candidates) == 2 and len(told) == 1


def test_what_a_pair_tells_apart():
    ceria, origin = template_pair(CERIA, LABELS.core_radius_pm)
    assert ceria.names == CERIA.reflection_pair and origin == (0, 0) == image_pair(CERIA)[1]
    assert [each.phases for each in ceria.classes] == [(0, 0), (0.25, 0.25), (0.75, 0.75)]
    assert len(ceria.translations) == 2 and ceria.candidates == ((0, 0),)
    titanate = ReflectionPair(TITANATE, TITANATE.reflection_pair)
    assert len(titanate.classes) == 2 and len(titanate.candidates) == 2


def test_a_pair_is_taken_that_the_labels_show():
    """Discs of one size make a square lattice of half the period, in which (110) vanishes."""
    assert template_pair(TITANATE, {"Sr": 70, "Ti": 70, "O": 70})[0].names == ("200", "020")
