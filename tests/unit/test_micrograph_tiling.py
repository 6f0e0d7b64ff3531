"""Tiles must not show, and batches must give what single images give."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from segdepth.micrograph import network_maps
from segdepth.micrograph.network_maps import predict_images, training_side
from segdepth.micrograph.tiling import apply_tiled, tile_starts, window
from segdepth.networks.card import NetworkCard
from segdepth.networks.unet import UNet

PIXEL = 5411 / 256
SIZES = {"tile": 256, "overlap": 128, "stride": 64}


def blur(tiles):
    """A function of small reach (8 pixels), two channels."""
    return np.stack([ndimage.uniform_filter(tiles, (0, 17, 17), mode="nearest"), tiles], axis=1)


def shrinking(tiles):
    number, rows, columns = tiles.shape
    return blur(tiles).reshape(number, 2, rows // 4, 4, columns // 4, 4).mean(axis=(3, 5))


@pytest.mark.parametrize("shape", [(130, 300), (64, 64), (257, 129), (420, 70), (5, 9), (500, 330)])
@pytest.mark.parametrize("function, shrink", [(blur, 1), (shrinking, 4)])
def test_tiled_equals_whole(shape, function, shrink):
    images = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    tiled = apply_tiled(function, images, shrink=shrink, **SIZES)
    padded = np.pad(images, [(0, 0), *((0, -n % 64) for n in shape)], mode="symmetric")
    rows, columns = (-(-n // shrink) for n in shape)
    np.testing.assert_allclose(tiled, function(padded)[..., :rows, :columns], atol=1e-6)


def test_seams_fade():
    """A function that answers differently in every tile still gives a smooth result: no jump between neighbours."""
    calls = []

    def moody(tiles):
        calls.append(tiles.shape)
        return np.full((1, *tiles.shape), len(calls) % 2, np.float32)

    result = apply_tiled(moody, np.zeros((1, 128, 640), np.float32), **SIZES)[0, 0]
    assert calls == [(1, 128, 256)] * 4 and set(np.unique(result[:, [0, 639]])) == {0.0, 1.0}
    assert np.abs(np.diff(result, axis=1)).max() < 0.04


@given(st.integers(1, 40), st.sampled_from([(256, 128), (512, 128), (192, 128), (384, 256)]))
def test_tiles_cover_everything_with_weight(strides, sizes):
    length, (tile, overlap) = 64 * strides, sizes
    side, starts = tile_starts(length, tile, overlap, 64)
    assert side <= tile and side % 64 == 0 and all(start % 64 == 0 for start in starts)
    assert starts[0] == 0 and starts[-1] + side == length and len(set(starts)) == len(starts)
    total = np.zeros(length)
    for start in starts:
        total[start : start + side] += window(side, overlap, start == 0, start + side == length)
    assert total.min() > 0.01


@pytest.mark.parametrize("sizes", [{"tile": 100}, {"overlap": 64}, {"overlap": 256}, {"shrink": 3}])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="do not fit"):
        apply_tiled(blur, np.zeros((1, 64, 64)), **{**SIZES, **sizes})


def network(variant="binned", field_pm=128 * PIXEL):
    torch.manual_seed(1)
    pixel = {"binned": PIXEL, "full": PIXEL / 4}[variant]
    return UNet(4, variant, 11).eval(), NetworkCard(variant, 4, 11, pixel, PIXEL, field_pm, 2.5, {})


@pytest.mark.parametrize("variant, shape", [("binned", (70, 90)), ("full", (100, 130)), ("binned", (70, 300))])
def test_batches_give_what_single_images_give(variant, shape, monkeypatch):
    net, card = network(variant)
    images = np.random.default_rng(2).poisson(8, (5, *shape)) / np.float32(8)
    monkeypatch.setitem(network_maps.BATCH_PIXELS, "cpu", 2 * 128 * 128)  # two at a time, one is left
    together = predict_images(net, card, images)
    shrink = {"binned": 1, "full": 4}[variant]
    assert together.shape == (5, 11, *(-(-n // shrink) for n in shape)) and together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    for image, expected in zip(images, together):
        np.testing.assert_allclose(predict_images(net, card, image[None])[0], expected, atol=1e-5)


def test_an_image_up_to_two_fields_goes_in_one_piece():
    _, card = network()
    assert training_side(card) == 128
    shapes = []

    class Noting(torch.nn.Module):
        def forward(self, x):
            shapes.append(tuple(x.shape))
            return torch.zeros(len(x), 11, *x.shape[2:])

    predict_images(Noting(), card, np.ones((3, 256, 200)))
    assert shapes == [(1, 1, 256, 256)] * 3
    shapes.clear()
    predict_images(Noting(), card, np.ones((1, 257, 200)))
    assert shapes == [(1, 1, 256, 256)] * 2
