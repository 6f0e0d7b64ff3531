"""Electrons stay independent Poisson counts on the network's grid; means are means over areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.rebinning import Rebinner

NETWORK_PM = 5411 / 256
STRETCH = ((1.03, 0.02), (0.02, 0.96))


def rng(seed=0):
    return np.random.default_rng(seed)


def electrons(counts, transform, seed=0):
    return Rebinner(transform).electrons(counts, rng(seed))


stretches = st.builds(
    lambda xx, yy, xy: ((xx, xy), (xy, yy)), st.floats(0.8, 1.25), st.floats(0.8, 1.25), st.floats(-0.1, 0.1)
)
angles = st.one_of(st.sampled_from([-180, -90, 0, 1e-8, 45, 90.001]), st.floats(-360, 360))
transforms = st.builds(
    FrameTransform,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.floats(2, 40),
    st.floats(8, 40),
    angles,
    st.booleans(),
    st.one_of(st.just(((1.0, 0.0), (0.0, 1.0))), stretches),
)


# --- shares of area -------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(transforms, st.integers(0, 10**6))
def test_shares_are_those_of_points_spread_over_the_pixel(transform, pick):
    """Against the definition: 200 x 200 points of one pixel, mapped one by one."""
    values = np.zeros(transform.shape)
    i, j = np.unravel_index(pick % values.size, values.shape)
    values[i, j] = 1
    rebinner = Rebinner(transform)
    shares = rebinner.means_over(values, np.ones(transform.grid_shape)) * transform.pixels_per_grid_pixel
    fine = (np.arange(200) + 0.5) / 200
    u, v = transform.forward((j + fine[None, :]) * transform.pixel_pm, (i + fine[:, None]) * transform.pixel_pm)
    edges = [np.arange(length + 1) * transform.grid_pixel_pm for length in transform.grid_shape]
    edges[0][[0, -1]] += -1e-3, 1e-3
    edges[1][[0, -1]] += -1e-3, 1e-3
    expected = np.histogram2d(v.ravel(), u.ravel(), bins=edges)[0] / fine.size**2
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(shares, expected, atol=0.012)


@settings(max_examples=60, deadline=None)
@given(transforms, st.integers(0, 10**6))
def test_coverage_adds_up_to_the_area_of_what_is_usable(transform, seed):
    usable = rng(seed).random(transform.shape) < 0.7
    mean, coverage = Rebinner(transform).means(np.full(transform.shape, 3.0), usable)
    assert coverage.min() >= 0 and coverage.max() <= 1
    covered = coverage.sum() * transform.pixels_per_grid_pixel
    assert covered == pytest.approx(usable.sum(), abs=2e-3 * coverage.size * transform.pixels_per_grid_pixel + 1e-6)
    np.testing.assert_allclose(mean[coverage > 0.01], 3, rtol=0.01)
    assert not mean[coverage == 0].any()


def test_means_keep_the_identity_and_leave_masked_pixels_out():
    values, usable = rng(8).random((17, 29)), np.ones((17, 29), bool)
    usable[3, 4] = False
    mean, coverage = Rebinner(FrameTransform(values.shape, 7.0, 7.0)).means(values, usable)
    np.testing.assert_allclose(mean, np.where(usable, values, 0), rtol=1e-6)
    assert np.array_equal(coverage, usable)
    coarse, coverage = Rebinner(FrameTransform((16, 28), 7.0, 14.0)).means(values[:16, :28], usable[:16, :28])
    blocks = [f.reshape(8, 2, 14, 2).sum((1, 3)) for f in ((values * usable)[:16, :28], usable[:16, :28])]
    np.testing.assert_allclose(coarse, blocks[0] / blocks[1], rtol=1e-6)
    np.testing.assert_allclose(coverage, blocks[1] / 4, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(transforms)
def test_the_inside_is_covered_exactly_and_the_outside_not_at_all(transform):
    coverage = Rebinner(transform).coverage(np.ones(transform.shape, bool))
    rows, columns = coverage.shape
    v, u = np.meshgrid(np.arange(rows + 1), np.arange(columns + 1), indexing="ij")
    x, y = (place / transform.pixel_pm for place in transform.inverse(*(g * transform.grid_pixel_pm for g in (u, v))))
    beyond = [x < 1e-6, x > transform.shape[1] - 1e-6, y < 1e-6, y > transform.shape[0] - 1e-6]
    corners = [[b[i : i + rows, j : j + columns] for i in (0, 1) for j in (0, 1)] for b in beyond]
    assert (coverage[~np.any(corners, axis=(0, 1))] == 1).all()
    assert (coverage[np.any(np.all(corners, axis=1), axis=0)] == 0).all()


# --- electrons ------------------------------------------------------------------------------------------------------


def test_a_quarter_turn_takes_plus_x_to_plus_y():
    """A mark at the right end of a wide frame comes to large rows for +90 degrees, to small ones for -90."""
    counts = np.zeros((20, 60), int)
    counts[5, 55] = 1000
    for angle, expected in ((90, (55, 14)), (-90, (4, 5)), (180, (14, 4)), (0, (5, 55))):
        grid = electrons(counts, FrameTransform(counts.shape, 10.0, 10.0, angle))
        assert grid.shape == ((60, 20) if angle in (90, -90) else (20, 60))
        assert np.argwhere(grid).tolist() == [list(expected)], angle


def test_flip_mirrors_along_axis_1_before_the_turn():
    counts = np.zeros((20, 60), np.uint8)
    counts[5, 55] = 1
    assert np.array_equal(electrons(counts, FrameTransform((20, 60), 10, 10, 0, True)), counts[:, ::-1])
    turned = electrons(counts[:, ::-1], FrameTransform((20, 60), 10, 10, 90))
    assert np.array_equal(electrons(counts, FrameTransform((20, 60), 10, 10, 90, True)), turned)


@settings(max_examples=60, deadline=None)
@given(
    transforms,
    st.sampled_from([0.3, 5.0, 20.0, 50.0, 3000.0]),
    st.sampled_from(["uint8", "int16", "uint32", "float32"]),
)
def test_no_electron_is_lost_or_made(transform, level, kind):
    counts = rng(3).poisson(level, transform.shape).clip(0, np.iinfo(kind).max if kind != "float32" else 10**6)
    grid = electrons(counts.astype(kind), transform)
    assert grid.shape == transform.grid_shape and grid.min() >= 0
    assert np.array_equal(grid, np.rint(grid)) and grid.sum() == counts.sum()


CASES = [
    (1.62, 0.0, 6.3),
    (1.62, 23.0, 6.3),
    (12.0, 23.0, 6.3),
    (25.0, -81.7, 6.3),
    (40.0, 8.3, 21.0),
    (90.0, 23.0, 6.3),
    (5000.0, 8.3, 6.3),
    (30.0, 23.0, 25.0),
]


@pytest.mark.parametrize("level, angle, pixel", CASES)
def test_rebinned_electrons_are_independent_poisson_counts(level, angle, pixel):
    """Whatever words the electrons' bits fit into, and where an input pixel is spread over many of the network's."""
    shape = (300, 360) if pixel < 10 else (110, 120)
    counts = rng(3).poisson(level, shape)
    rebinner = Rebinner(FrameTransform(shape, pixel, NETWORK_PM, angle, False, STRETCH))
    grid = rebinner.electrons(counts, rng(4))
    inner = rebinner.coverage(np.ones(shape, bool)) == 1
    values, mean = grid[inner], level * rebinner.transform.pixels_per_grid_pixel
    n = values.size
    assert abs(values.mean() / mean - 1) < 4 / np.sqrt(n * mean)
    assert abs(values.var() / values.mean() - 1) < 4 * np.sqrt((2 + 1 / mean) / n)
    off = np.where(inner, grid - values.mean(), np.nan)
    for a, b in ((off[:-1], off[1:]), (off[:, :-1], off[:, 1:]), (off[:-1, :-1], off[1:, 1:])):
        both = np.isfinite(a * b)
        assert abs(np.mean((a * b)[both])) / values.var() < 4 / np.sqrt(both.sum())


@pytest.mark.parametrize("level", [0.8, 6.0, 20.0, 45.0, 200.0])
def test_electrons_fall_by_the_areas(level):
    """The mean over many frames of the same uneven image is the sum of its area shares, in every word length."""
    shape, frames = (23, 31), 150
    image = rng(1).gamma(2.0, level / 2, shape)
    rebinner = Rebinner(FrameTransform(shape, 6.3, NETWORK_PM, 23, True, STRETCH))
    expected = rebinner.means_over(image, np.ones(rebinner.transform.grid_shape))
    expected *= rebinner.transform.pixels_per_grid_pixel
    draw = rng(2)
    total = sum(rebinner.electrons(draw.poisson(image), draw) for _ in range(frames))
    seen = expected * frames > 5
    score = (total - frames * expected)[seen] / np.sqrt(frames * expected[seen])
    assert abs((score**2).mean() - 1) < 5 * np.sqrt(2 / score.size) and abs(score).max() < 5


def test_means_would_not_do_for_counts():
    """What electron re-binning is for: the same frame by area means has too little noise, and neighbours share it."""
    counts = rng(5).poisson(20, (200, 200))
    transform = FrameTransform((200, 200), 21.0, NETWORK_PM * 1.02, 8.3)
    rebinner = Rebinner(transform)
    mean, coverage = rebinner.means(counts, np.ones(counts.shape, bool))
    inner, pixels = coverage == 1, transform.pixels_per_grid_pixel
    assert (mean[inner] * pixels).var() / (20 * pixels) < 0.7
    assert abs(rebinner.electrons(counts, rng(6))[inner].var() / (20 * pixels) - 1) < 0.08


def test_a_frame_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        electrons(np.zeros((4, 5), int), FrameTransform((5, 4), 7.0, 7.0))
