"""Which pixels of a frame are used, and which frames are lost."""

import numpy as np
import pytest
from electrons_data import counts

from segdepth.micrograph.electrons.masks import mask_frame
from segdepth.micrograph.files.recording import FrameLost

TYPES = ("u1", "i2", "u2", "i4", ">u2", "f2", "f4", "f8")


@pytest.mark.parametrize("kind", TYPES)
def test_a_good_frame_is_taken_as_it_is(kind):
    raw = counts(2.0)[:70, :90].astype(kind)
    masked = mask_frame(raw)
    assert masked.values.dtype == np.float32 and masked.usable.all() and masked.lines == ()
    np.testing.assert_array_equal(masked.values, raw.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_number_is_masked_and_said(value):
    raw = counts(2.0)[:70, :90]
    raw[:5] = raw[:, -3:] = value
    masked = mask_frame(raw)
    odd = np.zeros(raw.shape, bool)
    odd[:5] = odd[:, -3:] = True
    np.testing.assert_array_equal(masked.usable, ~odd)
    assert (masked.values[odd] == 0).all() and np.isfinite(masked.values).all()
    assert [str(int(odd.sum())) in line and "finite" in line for line in masked.lines] == [True]


def test_the_label_value_and_bad_pixels_are_masked():
    raw = counts(2.0)[:70, :90].astype(np.uint8)
    raw[10:20, 5:40] = 255
    bad = np.zeros(raw.shape, bool)
    bad[3, 4] = bad[15, 6] = True
    before = raw.copy()
    masked = mask_frame(raw, 255, bad)
    np.testing.assert_array_equal(~masked.usable, (raw == 255) | bad)
    assert (masked.values[~masked.usable] == 0).all() and "350 pixels" in masked.lines[0]
    np.testing.assert_array_equal(raw, before)
    assert mask_frame(raw[:9], 255).lines == ()


def test_borders_of_zeros_are_masked_but_not_a_low_dose():
    raw = counts(1.5)[:200, :300]
    raw[:11] = raw[:, -7:] = 0
    masked = mask_frame(raw)
    expected = np.ones(raw.shape, bool)
    expected[:11] = expected[:, -7:] = False
    np.testing.assert_array_equal(masked.usable, expected)
    assert "zeros" in masked.lines[0]
    sparse = np.zeros((40, 50), np.float32)
    sparse[20, 30] = sparse[13, 13] = 1
    assert mask_frame(sparse).usable.all()


@pytest.mark.parametrize(
    "raw, options, expected",
    [
        (np.zeros((20, 30)), {}, "empty"),
        (np.full((20, 30), 7, np.uint16), {}, "empty"),
        (np.full((20, 30), np.nan), {}, "empty|masked"),
        (np.full((20, 30), 255), {"invalid": 255}, "empty|masked"),
        (np.arange(600.0).reshape(20, 30), {"bad": np.ones((20, 30), bool)}, "masked"),
        (np.arange(600.0).reshape(20, 30), {"shape": (30, 20)}, "shape"),
        (np.arange(600.0).reshape(20, 30), {"bad": np.zeros((30, 20), bool)}, "shape"),
        (np.zeros((0, 30)), {}, "no pixel"),
        (np.zeros((2, 20, 30)), {}, "shape"),
        (np.where(np.arange(200)[:, None] < 120, counts(3.0)[:200, :300], 0), {}, "in part"),
    ],
)
def test_a_frame_without_content_is_lost_in_one_line(raw, options, expected):
    with pytest.raises(FrameLost, match=expected) as failure:
        mask_frame(raw, **options)
    assert "\n" not in str(failure.value)


def test_one_pixel_that_differs_is_content():
    raw = np.zeros((60, 70), np.uint8)
    raw[31, 17] = 1
    assert mask_frame(raw).usable.all()
