"""Sets with a promise: in closed form, and on columns whose probabilities are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from segdepth.evaluation.conformal import (
    coverage_rows,
    sets,
    split_structures,
    spread,
    threshold,
    thresholds,
    true_scores,
)


def columns(count: int, seed: int, wrong: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, true counts and elements of an observer who is too sure by a factor ``wrong``."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, count)
    seen = true + rng.normal(0, 0.8, count)
    weight = np.exp(-0.5 * wrong * ((seen[:, None] - np.arange(5)) / 0.8) ** 2)
    return weight / weight.sum(axis=1, keepdims=True), true, np.where(np.arange(count) % 3, "A", "B")


@given(st.integers(1, 300), st.floats(0.5, 0.98), st.integers(0, 1000))
def test_the_threshold_is_the_smallest_that_keeps_the_promise(count, coverage, seed):
    scores = np.random.default_rng(seed).random(count)
    found = threshold(scores, coverage)
    kept = (scores <= found).sum()
    if found < 1:
        assert kept >= (count + 1) * coverage - 1e-6 > kept - 1
    else:
        assert (count + 1) * coverage > count


def test_coverage_of_exchangeable_columns_is_what_theory_says():
    """With n calibration scores the coverage of m columns is beta-binomial (n + 1 - l, l), l = ⌊(n + 1) α⌋: here over
    400 draws of both."""
    n, m, coverage = 99, 50, 0.9
    rng = np.random.default_rng(5)
    hits = [(rng.random(m) <= threshold(rng.random(n), coverage)).sum() for _ in range(400)]
    expected = betabinom(m, 90, 10)
    assert abs(np.mean(hits) - expected.mean()) < 4 * expected.std() / 20
    assert abs(np.std(hits) / expected.std() - 1) < 0.15


@pytest.mark.parametrize("wrong", [0.3, 1.0, 4.0])
def test_the_promise_is_kept_for_each_element_however_wrong_the_probabilities(wrong):
    calibration, test = columns(4000, 1, wrong), columns(4000, 2, wrong)
    limits = thresholds(*calibration, 0.9)
    held = sets(test[0], test[2], limits)
    structure = np.arange(4000) // 40
    every, *each = coverage_rows(held, test[1], test[2], structure)
    assert every["coverage"] > 0.88 and {row["element"] for row in each} == {"A", "B"}
    for row in each:
        assert row["coverage"] > 0.87 and row["low"] <= row["coverage"] <= row["high"]
        assert 1 <= row["size"] < 4
    assert set(limits) == {"A", "B"}


def test_sets_are_never_empty_and_unknown_elements_get_all_counts():
    probabilities = np.array([[0.4, 0.35, 0.25], [0.1, 0.8, 0.1]])
    held = sets(probabilities, np.array(["A", "B"]), {"A": 0.3})
    assert held.tolist() == [[True, False, False], [True, True, True]]
    assert true_scores(probabilities, np.array([1, 1])) == pytest.approx([0.65, 0.2])


def test_structures_and_images_are_spread():
    assert split_structures([9, 1, 5, 7, 3]) == ([1, 5, 9], [3, 7])
    assert spread(2, 9).tolist() == [0, 8] and spread(5, 3).tolist() == [0, 1, 2] and spread(1, 4).tolist() == [0]
