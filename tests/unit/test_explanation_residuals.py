"""Residuals of an explained frame, their χ², its error and its degrees of freedom: closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdepth.explanation.likelihood import degrees_taken
from segdepth.explanation.residuals import (
    chi_squared,
    chi_squared_error,
    false_discovery_rates,
    standardized,
    upper_tail,
)


def test_the_error_of_chi_square_is_that_of_poisson_counts_at_any_dose():
    rng, valid = np.random.default_rng(2), np.ones((20, 30), bool)
    valid[:, 4] = False
    for dose in (0.4, 30.0):
        expected = np.full(valid.shape, dose)
        found = [chi_squared(standardized(rng.poisson(expected), expected, valid))[0] for _ in range(400)]
        assert np.std(found) == pytest.approx(chi_squared_error(expected, valid), rel=0.12)


def test_certain_and_unknown_states_take_no_degree_of_freedom_and_a_measured_one_takes_one():
    atoms = np.arange(-6, 7)
    likelihoods = np.stack([-20.0 * atoms**2, np.zeros(13), -(atoms**2) / 2, np.where(atoms > 0, -np.inf, 0.0)])
    chances = np.exp(likelihoods) / np.exp(likelihoods).sum(1, keepdims=True)
    assert [degrees_taken(*(one[n : n + 1] for one in (likelihoods, chances))) for n in range(4)] == pytest.approx(
        [0, 0, 1, 0], abs=1e-3
    )
    assert degrees_taken(likelihoods, chances) == pytest.approx(1, abs=1e-3)


def test_masked_pixels_have_no_residual():
    counts, valid = np.full((3, 4), 7.0), np.ones((3, 4), bool)
    valid[1, 2] = False
    residual = standardized(counts, np.full((3, 4), 4.0), valid)
    assert np.isnan(residual[1, 2]) and residual[0, 0] == pytest.approx(1.5)
    assert chi_squared(residual) == (pytest.approx(11 * 2.25), 11)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discovery_rates_rise_with_p_and_are_never_below_it(values):
    p = np.array(values)
    rates = false_discovery_rates(p)
    assert (rates >= p - 1e-12).all() and (rates <= 1).all()
    assert (np.diff(rates[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_the_tail_of_column_chi_squares_is_flat_where_the_model_is_right():
    rng = np.random.default_rng(8)
    expected = np.full((4000, 40), 6.0)
    residual = (rng.poisson(expected) - expected) / np.sqrt(expected)
    p = upper_tail((residual**2).sum(1), np.full(4000, 40), np.full(4000, 6.0))
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015) and (p < 0.5).mean() == pytest.approx(0.5, abs=0.05)
