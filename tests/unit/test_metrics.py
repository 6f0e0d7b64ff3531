"""Metrics and calibration against hand-computed numbers (SegDepth IV-A, IV-C)."""

import numpy as np
import pandas as pd
import pytest
from conftest import RINGS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.special import softmax

from segdepth.config import METRIC_NAMES
from segdepth.evaluation import calibration, metrics
from segdepth.evaluation.false_columns import count_false_columns
from segdepth.evaluation.ground_truth import ground_truth_of

ELEMENTS, SHAPE = ("Ce", "O"), (2, 11)
LABELS = RINGS.model_copy(update={"pixel_pm": 20.0})


def values(confusion, centre=None, columns=None, elements=ELEMENTS, vacuum=(0, 0)):
    """Every metric of single tallies, by metric and element."""
    centre = np.zeros((len(elements) + 1, 2)) if centre is None else centre
    columns = np.zeros((len(elements), 8)) if columns is None else columns
    parts = metrics.fractions(confusion, centre, columns, np.array(vacuum), elements)
    return {key: metrics.ratio(*each) for key, each in parts.items()}


def test_four_by_four_by_hand():
    true = np.array([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 0, 0]])
    estimate = np.array([[0, 1, 1, 0], [0, 0, 2, 3], [0, 0, 3, 3], [0, 0, 0, 4]])
    group = np.zeros((4, 4), int)
    group[:, :2] = 1  # the left half belongs to O
    centre = true > 1
    tallies = (
        metrics.confusion_matrix(true, estimate, group, SHAPE),
        metrics.centre_tally(true, estimate, group, centre, 2),
    )
    found = values(*tallies)
    assert found["pixelwise_accuracy", "all"] == 12 / 16
    assert found["centre_accuracy", "all"] == 3 / 4
    assert found["detection_rate", "all"] == 5 / 6
    assert found["hallucinated_rate", "all"] == 2 / 7
    assert found["pixelwise_accuracy", "Ce"] == 5 / 8
    assert found["hallucinated_rate", "Ce"] == 1 / 6
    assert found["hallucinated_rate", "O"] == 1
    assert found["detection_rate", "O"] is None  # no oxygen pixel is real
    assert found["centre_accuracy", "O"] is None


def test_the_share_within_one_atom_by_hand():
    confusion = np.array([[4, 1, 2], [0, 5, 0], [7, 1, 0]])
    assert metrics.share_within_one(confusion) == 11 / 20
    assert metrics.share_within_one(np.zeros((3, 3), int)) is None


def test_a_perfect_estimate():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 11, (7, 9))
    group = rng.integers(0, 2, true.shape)
    tallies = metrics.confusion_matrix(true, true, group, SHAPE), metrics.centre_tally(true, true, group, true > 3, 2)
    found = values(*tallies)
    for element in ("all", "Ce", "O"):
        assert [found[n, element] for n in METRIC_NAMES[:4]] == [1, 1, 1, 0]


def test_three_elements_and_four_classes():
    """Nothing assumes two elements or eleven classes."""
    true, group = np.array([[0, 1, 2, 3], [3, 2, 1, 0]]), np.array([[0, 0, 1, 1], [2, 2, 3, 3]])
    estimate = np.array([[0, 1, 2, 2], [3, 1, 1, 0]])
    tally = metrics.centre_tally(true, estimate, group, true > 0, 3)
    found = values(metrics.confusion_matrix(true, estimate, group, (3, 4)), tally, elements=("Sr", "Ti", "O"))
    wanted = {"all": 6 / 8, "Sr": 1, "Ti": 1 / 2, "O": 1 / 2}
    assert {e: found["pixelwise_accuracy", e] for e in wanted} == wanted
    assert found["centre_accuracy", "Ti"] == found["centre_accuracy", "O"] == 1 / 2 and len(found) == 4 * 10 + 1
    columns = metrics.column_tally(
        np.array([1, 3]), np.array([1, 2]), np.array([True, False]), np.array([0, 2]), (3, 4)
    )
    assert columns.shape == (3, 4, 8) and columns[2, 3].tolist() == [0, 1, -1, 1, 0, 0, 0, 1]


def test_tallies_add_over_leading_axes():
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 11, (2, 3, 5, 4, 4))  # true and estimate of 3 structures x 5 images
    group = rng.integers(0, 3, (3, 5, 4, 4))
    confusion = np.array(
        [
            [metrics.confusion_matrix(maps[0, s, d], maps[1, s, d], group[s, d], SHAPE) for d in range(5)]
            for s in range(3)
        ]
    )
    whole = metrics.confusion_matrix(maps[0], maps[1], group, SHAPE)
    assert (confusion.sum((0, 1)) == whole).all()
    centre, columns = np.zeros((3, 5, 3, 2)), np.zeros((3, 5, 2, 8))
    above, below = metrics.fractions(confusion, centre, columns, np.zeros((3, 5, 2)), ELEMENTS)[
        "pixelwise_accuracy", "all"
    ]
    assert above.shape == below.shape == (3, 5)
    assert above[1, 2] == (maps[0, 1, 2] == maps[1, 1, 2]).sum() and below[1, 2] == 16


def test_columns_pool_their_own_core_pixels_only():
    probabilities = np.zeros((11, 1, 6))
    probabilities[2, 0, :2], probabilities[5, 0, 2] = 1, 1  # the third pixel belongs to no core
    probabilities[3, 0, 3:5], probabilities[4, 0, 5] = 0.5, 1
    probabilities[4, 0, 3:5] = 0.5
    owner = np.array([[0, 0, 0, 1, 1, 1]])
    core = np.array([[True, True, False, True, True, True]])
    pooled = metrics.pool_columns(probabilities, owner, core, 3)
    assert pooled[0, 2] == 1 and pooled[0].sum() == 1
    assert pooled[1, 3] == pytest.approx(1 / 3) and pooled[1, 4] == pytest.approx(2 / 3)
    assert np.isnan(pooled[2]).all()


def test_column_tally_by_hand():
    tally = metrics.column_tally(
        np.array([3, 4, 5, 6], np.uint8),
        np.array([3, 3, 8, 6]),
        np.array([True, True, False, True]),
        np.array([0, 0, 1, 1]),
        SHAPE,
    )
    assert tally.shape == (2, 11, 8)
    assert tally[0, 4].tolist() == [0, 1, -1, 1, 0, 0, 1, 1] and tally[1, 5].tolist() == [0, 0, 3, 3, 0, 0, 0, 1]
    assert not tally[0, 5].any()
    found = values(np.zeros((3, 11, 11)), columns=tally.sum(axis=1))
    assert found["columns_exact", "all"] == 0.5 and found["columns_within_one", "all"] == 0.75
    assert found["columns_mean_error", "all"] == 0.5 and found["columns_mean_absolute_error", "all"] == 1
    assert found["columns_mean_error", "Ce"] == -0.5 and found["columns_mean_error", "O"] == 1.5
    assert found["columns_covered", "all"] == 0.75 and found["columns_covered", "O"] == 0.5
    assert found["columns_relative_error_thick", "all"] is None


def test_errors_of_thick_columns_are_relative_to_their_count():
    """Of more than 12 atoms: 3/15, 0/20 and, of O, 5/25; 4 atoms too many of 12 do not count."""
    atoms, depth = np.array([15, 20, 25, 12]), np.array([12, 20, 30, 16])
    tally = metrics.column_tally(atoms, depth, np.ones(4, bool), np.array([0, 0, 1, 0]), (2, 32))
    found = values(np.zeros((3, 32, 32)), columns=tally.sum(axis=1))
    assert found["columns_relative_error_thick", "all"] == pytest.approx(0.4 / 3)
    assert found["columns_relative_error_thick", "Ce"] == pytest.approx(0.1)


def test_columns_seen_far_from_every_true_one_are_false():
    """Discs of 5 pixels radius, 20 pm each, in the vacuum: three, and what lies within 300 pm of the true column."""
    y, x = np.mgrid[:60, :80]
    depth = np.zeros((60, 80), int)
    for row, column, atoms in ((10, 10, 5), (50, 20, 3), (50, 50, 2), (42, 60, 4), (20, 16, 7)):
        depth[np.hypot(y - row, x - column) <= 5] = atoms
    away = np.hypot(y - 10, x - 10.1) > 15
    columns = pd.DataFrame({"x_pm": [212.0], "y_pm": [210.0], "element": [58], "atoms": [5]})
    truth = ground_truth_of(np.zeros((60, 60), np.uint8), columns, LABELS, ELEMENTS)
    assert np.array_equal(truth.away, away[:, :60])
    probabilities = np.moveaxis(np.eye(8, dtype=np.float32)[depth], -1, 0)
    assert count_false_columns(probabilities, away, 20.0, 190.0) == 3
    soft = ndimage.gaussian_filter(probabilities, (0, 1.5, 1.5))
    assert count_false_columns(soft, away, 20.0, 190.0) == 3
    assert count_false_columns(probabilities, np.zeros_like(away), 20.0, 190.0) == 0
    found = values(np.zeros((3, 11, 11)), vacuum=(3, 2.5))
    assert found["false_columns_per_100_nm2", "all"] == pytest.approx(120)


def test_centre_tally_by_true_count():
    true, estimate = np.array([[4, 4, 7, 7, 0]]), np.array([[4, 5, 7, 7, 0]])
    group, centre = np.array([[0, 0, 1, 1, 1]]), np.array([[True, True, True, False, False]])
    tally = metrics.centre_tally_by_atoms(true, estimate, group, centre, np.array([4, 4, 7], np.uint8), SHAPE)
    assert tally.shape == (2, 11, 2) and tally.sum() == 5
    assert tally[0, 4].tolist() == [1, 2] and tally[1, 7].tolist() == [1, 1]
    assert (tally.sum(axis=1) == metrics.centre_tally(true, estimate, group, centre, 2)[:2]).all()


def test_nearest_column_owns_the_pixel_where_radii_overlap():
    columns = pd.DataFrame({"x_pm": [70.0, 205.0], "y_pm": [100.0, 100.0], "element": [58, 8], "atoms": [4, 3]})
    truth = ground_truth_of(np.zeros((20, 20), np.uint8), columns, LABELS, ELEMENTS)
    row = 4  # y = 90 pm
    centres = (np.arange(20) + 0.5) * 20
    assert (truth.group[row] == (centres > 137.5)).all()
    distance = np.hypot(centres - np.where(centres > 137.5, 205, 70), 10)
    assert (truth.centre[row] == (distance <= np.where(centres > 137.5, 64, 85))).all()
    assert truth.columns["whole"].tolist() == [False, True]  # 70 pm from the edge: the core of Ce is cut


def test_a_structure_without_columns():
    columns = pd.DataFrame({name: [] for name in ("x_pm", "y_pm", "element", "atoms")})
    truth = ground_truth_of(np.zeros((4, 4), np.uint8), columns, LABELS, ELEMENTS)
    assert (truth.group == len(ELEMENTS)).all() and not truth.centre.any()
    confusion = metrics.confusion_matrix(truth.depth, truth.depth, truth.group, SHAPE)
    assert values(confusion)["pixelwise_accuracy", "all"] == 1
    assert values(confusion)["pixelwise_accuracy", "O"] is None


def test_bootstrap_over_structures():
    rng = np.random.default_rng(0)
    constant = (np.full(6, 3.0), np.full(6, 4.0))
    spread = (np.array([0.0, 1, 0, 1, 0, 1]), np.ones(6))
    rare = (np.array([0.0, 0, 0, 0, 0, 1]), np.array([0.0, 0, 0, 0, 0, 1]))
    found = metrics.bootstrap_intervals({"a": constant, "b": spread, "c": rare}, rng)
    assert found["a"] == [0.75, 0.75] and found["c"] is None
    low, high = found["b"]
    assert 0 <= low < 0.25 and 0.75 < high <= 1
    again = metrics.bootstrap_intervals({"b": spread}, np.random.default_rng(0))
    assert again["b"] == found["b"]
    assert metrics.bootstrap_intervals({"a": (np.ones(1), np.ones(1))}, rng) == {"a": None}


def test_known_calibration():
    confidence = np.r_[np.full(100, 0.83), np.full(50, 0.42), 1.0]
    right = np.r_[np.arange(100) < 83, np.arange(50) < 11, True].astype(bool)
    sums = calibration.reliability_sums(confidence, right)
    curve = calibration.reliability_curve(sums)
    assert curve["number"][16] == 100 and curve["number"][8] == 50 and curve["number"][19] == 1
    assert curve["accuracy"][16] == pytest.approx(0.83) and curve["mean_confidence"][8] == pytest.approx(0.42)
    assert np.isnan(curve["accuracy"][0])
    assert calibration.expected_calibration_error(sums) == pytest.approx(50 * (0.42 - 0.22) / 151)
    assert calibration.expected_calibration_error(np.zeros((20, 3))) is None
    halves = [calibration.reliability_sums(confidence[s], right[s]) for s in (slice(40), slice(40, None))]
    assert np.allclose(sum(halves), sums)


@given(arrays(np.float64, (4, 3, 2), elements=st.floats(-20, 20)), st.floats(0.1, 10))
def test_probabilities_before_temperature_scaling_are_those_of_the_logits(logits, temperature):
    found = calibration.before_scaling(softmax(logits / temperature, axis=0), temperature)
    assert found == pytest.approx(softmax(logits, axis=0), abs=1e-9)


def test_the_interval_of_the_calibration_error_is_over_structures():
    """Two kinds of structures, off by 0.1 and by 0.3, whose share varies as a binomial."""
    sums = np.zeros((100, 20, 3))
    sums[:, 10] = [1, 0.5, 0.6]
    sums[:50, 10, 2] = 0.8
    low, high = calibration.calibration_interval(sums, np.random.default_rng(0))
    spread = 0.2 * 1.96 * (0.25 / 100) ** 0.5
    assert (low, high) == pytest.approx((0.2 - spread, 0.2 + spread), abs=0.15 * spread)
    assert calibration.calibration_interval(sums[:1], np.random.default_rng(0)) is None
    assert calibration.calibration_interval(np.zeros((3, 20, 3)), np.random.default_rng(0)) is None


def test_the_interval_of_a_difference_against_its_normal_theory():
    """The difference of two means over the same structures has the spread of the structures' differences."""
    rng = np.random.default_rng(2)
    ones, common = np.ones(400), rng.normal(0.5, 0.2, 400)
    own = rng.normal(0.1, 0.03, 400)
    low, high = metrics.paired_interval([(common + own, ones)], [(common, ones)], rng)
    half = 1.96 * own.std() / 400**0.5
    assert low == pytest.approx(own.mean() - half, abs=0.2 * half)
    assert high == pytest.approx(own.mean() + half, abs=0.2 * half)
    assert metrics.paired_interval([(ones[:1], ones[:1])], [(ones[:1], ones[:1])], rng) is None
    assert metrics.paired_interval([(ones, ones)], [(0 * ones, 0 * ones)], rng) is None
