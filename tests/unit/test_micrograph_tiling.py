"""Tiles must not show."""

import numpy as np
import pytest
from scipy import ndimage

from segdepth.micrograph.tiling import apply_tiled, count_tiles, tile_starts, window


def blur(tile):
    """A function of small reach (4 pixels), two channels."""
    return np.stack([ndimage.uniform_filter(tile, 9, mode="nearest"), tile])


def shrinking(tile):
    rows, columns = tile.shape
    return blur(tile).reshape(2, rows // 4, 4, columns // 4, 4).mean(axis=(2, 4))


@pytest.mark.parametrize("shape", [(130, 300), (64, 64), (257, 129), (320, 70), (5, 9)])
@pytest.mark.parametrize("function, shrink", [(blur, 1), (shrinking, 4)])
def test_tiled_equals_whole(shape, function, shrink):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    done = []
    tiled = apply_tiled(function, image, tile=128, stride=64, shrink=shrink, progress=lambda: done.append(1))
    padded = np.pad(image, [(0, -n % 64) for n in shape], mode="symmetric")
    rows, columns = (-(-n // shrink) for n in shape)
    np.testing.assert_allclose(tiled, function(padded)[:, :rows, :columns], atol=1e-6)
    assert len(done) == count_tiles(shape, tile=128, stride=64)


def test_seams_fade():
    """A function that answers differently in every tile still gives a smooth result: no jump between neighbours."""
    calls = []

    def moody(tile):
        calls.append(1)
        return np.full((1, *tile.shape), len(calls) % 2, np.float32)

    result = apply_tiled(moody, np.zeros((128, 512), np.float32), tile=256, stride=64)[0]
    assert len(calls) == 3 and set(np.unique(result[:, [0, 255, 511]])) == {0.0, 1.0}
    assert np.abs(np.diff(result, axis=1)).max() < 0.04


@pytest.mark.parametrize("length, tile", [(64, 256), (256, 256), (320, 256), (512, 256), (1216, 256), (448, 192)])
def test_tiles_cover_everything_with_weight(length, tile):
    side = min(tile, length)
    starts = tile_starts(length, side, 64)
    assert all(start % 64 == 0 for start in starts) and len(set(starts)) == len(starts)
    total = np.zeros(length)
    for start in starts:
        total[start : start + side] += window(side, start == 0, start + side == length)
    assert total.min() > 0.4


def test_the_function_never_gets_more_than_a_tile():
    shapes = set()

    def note(tile):
        shapes.add(tile.shape)
        return tile[None]

    image = np.random.default_rng(1).random((300, 700)).astype(np.float32)
    np.testing.assert_allclose(apply_tiled(note, image, tile=256, stride=64)[0], image, rtol=1e-6)
    assert shapes == {(256, 256)}


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        apply_tiled(blur, np.zeros((64, 64)), tile=100, stride=64)
