"""Values with errors as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdepth.micrograph.results.rounding import with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (6.7638, 0.029, "6.764 ± 0.029"),
        (-0.004931, 0.24, "0.00 ± 0.24"),
        (9.996, 0.0996, "9.996 ± 0.100"),
        (1234.5, 27.1, "1234 ± 27"),
        (6.76375, None, "6.764"),
        (6.76375, 0.0, "6.764 ± 0"),
    ],
)
def test_text(value, error, text):
    assert with_error(value, error) == text


@given(st.floats(-1e4, 1e4), st.floats(1e-4, 1e3))
def test_what_is_shown_is_the_value_within_a_tenth_of_its_error(value, error):
    shown, spread = with_error(value, error).split(" ± ")
    assert abs(float(shown) - value) <= max(0.051 * error, 0.5)
    assert float(spread) == pytest.approx(error, rel=0.06, abs=0.5 if error > 10 else 0)
    assert not re.fullmatch(r"-0(\.0+)?", shown)
