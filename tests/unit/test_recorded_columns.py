"""Listed columns against true ones: matching, turns, counts of false columns, metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdepth.config import Yardstick
from segdepth.config.yardsticks import OF_ELEMENTS, OF_RECORDINGS
from segdepth.evaluation.recorded_columns import (
    OF_COLUMNS,
    OF_FRAMES,
    calibration_error,
    frame_counts,
    matched_columns,
    measured,
    turned,
)

HEIGHT, WIDTH = 900.0, 2100.0


def listed(*rows: tuple[float, float, int, float]) -> pd.DataFrame:
    """x, y, depth and confidence; the 90 % set is one atom to each side."""
    table = pd.DataFrame(rows, columns=["x_pm", "y_pm", "depth", "confidence"])
    low, high = table["depth"] - 1, table["depth"] + 1
    return table.assign(depth_low=low, depth_high=high, at_least=table["depth"] == 31, reliable=True)


def true(*rows: tuple[float, float, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["x_pm", "y_pm", "element", "atoms"])


@given(turns=st.integers(0, 7))
def test_columns_turn_with_the_recording(turns):
    """A bright pixel is where its column is, after as many quarter turns of both."""
    pixel = 100.0
    image = np.zeros((9, 21))
    image[2, 17] = 1
    one = turned(true((1750.0, 250.0, "O", 3)), (HEIGHT, WIDTH), turns)
    rotated = np.rot90(image, turns)
    row, column = np.argwhere(rotated)[0]
    assert one["x_pm"].item() == pytest.approx((column + 0.5) * pixel)
    assert one["y_pm"].item() == pytest.approx((row + 0.5) * pixel)


def test_a_listed_column_is_the_true_one_beside_it_and_no_other():
    found = matched_columns(
        listed((105, 100, 4, 0.8), (400, 400, 2, 0.5)), true((100, 100, "O", 5), (900, 100, "O", 2)), None
    )
    assert len(found) == 1
    assert found.iloc[0][["true_element", "true_atoms", "depth"]].tolist() == ["O", 5, 4]


def test_thicker_columns_belong_to_the_class_of_more():
    found = matched_columns(listed((100, 100, 31, 0.8)), true((100, 100, "O", 34)), 31)
    assert found["true_atoms"].item() == 31
    assert matched_columns(listed((100, 100, 31, 0.8)), true((100, 100, "O", 34)), None)["true_atoms"].item() == 34


def test_false_columns_are_counted_by_the_area_of_the_vacuum():
    found = frame_counts(
        listed((100, 100, 1, 0.9), (250, 100, 1, 0.9), (1700, 450, 1, 0.9)), true((100, 100, "O", 1)), (HEIGHT, WIDTH)
    )
    assert (found["true"], found["found"], found["listed"], found["false"]) == (1, 1, 3, 2)
    assert found["false_in_vacuum"] == 1  # the other one stands beside the crystal
    # all but a circle of 300 pm around the column at (100, 100), of which the frame shows a part
    inside = sum(np.hypot(x - 100, y - 100) <= 300 for x in range(5, 410, 10) for y in range(5, 410, 10)) * 1e-4
    assert found["vacuum_nm2"] == pytest.approx(HEIGHT * WIDTH / 1e6 - inside, rel=0.02)


def test_a_recording_without_any_column_is_all_vacuum():
    found = frame_counts(listed(), true(), (HEIGHT, WIDTH))
    assert found["vacuum_nm2"] == pytest.approx(HEIGHT * WIDTH / 1e6) and found["false_in_vacuum"] == 0
    assert matched_columns(listed(), true(), 31).empty


@given(st.lists(st.floats(0, 1), min_size=200, max_size=400))
def test_calibration_error_of_right_answers_is_what_confidence_lacks(values):
    confidence = np.array(values)
    assert calibration_error(confidence, np.ones(len(values))) == pytest.approx(1 - confidence.mean())


def test_calibration_error_sees_nothing_in_an_honest_network():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.1, 1, 40_000)
    assert calibration_error(confidence, rng.random(40_000) < confidence) < 0.015


def test_metrics_are_ratios_over_all_columns_with_intervals_around_them():
    known = true(*[(150.0 * i + 75, 450.0, "O" if i % 2 else "Sr", 10 + i) for i in range(12)])
    rows = [
        (x, y, n + error, 0.7) for (x, y, n), error in zip(known[["x_pm", "y_pm", "atoms"]].values, [0, 0, 1, -2] * 3)
    ]
    mine = listed(*rows)
    tables, frames = [], []
    for structure in range(6):
        tables.append(matched_columns(mine, known, None).assign(structure=structure))
        frames.append({"structure": structure, "outcome": "in", **frame_counts(mine, known, (HEIGHT, WIDTH))})
    found = pd.DataFrame(measured(pd.concat(tables), pd.DataFrame(frames), ("Sr", "O"), seed=0))
    found = found.set_index(["metric", "element"])["value"]
    assert found["columns_exact", "all"] == pytest.approx(0.5)
    assert found["columns_exact", "Sr"] == pytest.approx(0.5) and found["columns_within_one", "O"] == pytest.approx(0.5)
    assert found["columns_mean_error", "all"] == pytest.approx(-0.25)
    assert found["columns_mean_absolute_error", "all"] == pytest.approx(0.75)
    assert found["columns_covered", "all"] == pytest.approx(0.75)
    thick = [(n, e) for n, e in zip(known["atoms"], [0, 0, 1, 2] * 3) if n > 12]
    assert found["columns_relative_error_thick", "all"] == pytest.approx(np.mean([e / n for n, e in thick]))
    assert found["frames_refused", "all"] == 0 and found["columns_found", "all"] == 1
    assert found["expected_calibration_error_columns", "all"] == pytest.approx(0.2)


def test_aims_are_of_metrics_that_a_yardstick_has():
    assert set(OF_RECORDINGS) == {*OF_FRAMES, "expected_calibration_error_columns"}
    assert set(OF_ELEMENTS) == set(OF_COLUMNS)
    stick = Yardstick(dataset="d", aims={"columns_exact": {"Sr": 0.6}, "columns_covered": [0.88, 0.93]})
    assert stick.aim("columns_exact", "Sr") == 0.6 and stick.aim("columns_exact", "all") is None
    assert stick.aim("columns_covered", "all") == (0.88, 0.93) and stick.aim("columns_covered", "Sr") is None


@pytest.mark.parametrize(
    ("aims", "line"),
    [
        ({"column_exact": 0.6}, "got 'column_exact'; allowed: frames_refused, "),
        ({"columns_false": {"Sr": 0.6}}, "columns_false: got Sr; it is known for all elements together only"),
        ({"columns_covered": [0.93, 0.88]}, "low not above high"),
        ({"columns_exact": {"strontium": 0.6}}, "strontium"),
    ],
)
def test_other_aims_are_refused(aims, line):
    with pytest.raises(ValueError, match=line):
        Yardstick(dataset="d", aims=aims)
