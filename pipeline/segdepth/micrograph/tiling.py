"""A function of images, applied to images that are larger than the function takes.

Tiles begin at multiples of the stride (the network's poolings then fall on the same pixels in every tile) and overlap.
A quarter of the overlap next to an inner seam is discarded, since it is affected by the tile's edge; beyond it the
weight rises as a cosine, so that tiles fade into each other. At the image's own border the full weight holds. An image
whose sides are no multiples of the stride is continued by mirroring, and the result cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def tile_starts(length: int, tile: int, overlap: int, stride: int) -> tuple[int, list[int]]:
    """Side of tiles that cover ``length`` (a multiple of ``stride``), ``tile`` at most, and their first pixels.

    There are as few tiles as overlap by ``overlap`` or a little less, and no larger ones than these need.
    """
    if length <= tile:
        return length, [0]
    number = -(-(length - overlap) // (tile - overlap))
    side = min(tile, -(-(length + (number - 1) * overlap) // number // stride) * stride)
    last = length - side
    return side, [round(last * place / (number - 1) / stride) * stride for place in range(number)]


def window(side: int, overlap: int, first: bool, last: bool) -> np.ndarray:
    """Weights along one axis of a tile; ``first``/``last``: it lies at the image's border there."""
    margin = overlap / 4
    position = np.arange(side) + 0.5

    def rise(distance: np.ndarray) -> np.ndarray:
        return np.sin(np.pi / 2 * np.clip((distance - margin) / (overlap - 2 * margin), 0, 1)) ** 2

    weights = np.ones(side)
    if not first:
        weights *= rise(position)
    if not last:
        weights *= rise(side - position)
    return weights


def apply_tiled(
    function: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    *,
    tile: int,
    overlap: int,
    stride: int,
    shrink: int = 1,
) -> np.ndarray:
    """Apply a function tile by tile, to all images at once, and blend.

    Parameters
    ----------
    function : float32 (image, y, x), sides multiples of ``stride``, to (image, channel, y/shrink, x/shrink).
    images : (image, y, x).
    tile : largest side the function gets, a multiple of ``stride``.
    overlap : of neighbouring tiles, at least two strides and less than ``tile``.
    shrink : input pixels along the side of an output pixel; divides ``stride``.

    Returns
    -------
    float32 (image, channel, ceil(y/shrink), ceil(x/shrink)).
    """
    if tile % stride or stride % shrink or not 2 * stride <= overlap < tile:
        raise ValueError(f"tile {tile}, overlap {overlap}, stride {stride}, shrink {shrink} do not fit each other")
    padded = mirrored_to(images, stride)
    lengths = padded.shape[1:]
    plans = [tile_starts(length, tile, overlap, stride) for length in lengths]
    cut = (slice(None), slice(None), *(slice(-(-size // shrink)) for size in images.shape[1:]))
    if all(len(starts) == 1 for _, starts in plans):
        return function(padded)[cut]
    out = total = None
    (height, tops), (width, lefts) = plans
    for top in tops:
        for left in lefts:
            answer = function(padded[:, top : top + height, left : left + width])
            weights = [
                window(side, overlap, start == 0, start + side == length)[shrink // 2 :: shrink]
                for side, start, length in zip((height, width), (top, left), lengths)
            ]
            weight = np.outer(*weights).astype(np.float32)
            if out is None:
                size = [length // shrink for length in lengths]
                out, total = np.zeros((*answer.shape[:2], *size), np.float32), np.zeros(size, np.float32)
            place = tuple(slice(a // shrink, (a + b) // shrink) for a, b in ((top, height), (left, width)))
            out[(..., *place)] += weight * answer
            total[place] += weight
    out /= total
    return out[cut]


def mirrored_to(images: np.ndarray, stride: int) -> np.ndarray:
    """Images (image, y, x) as float32, continued by mirroring at large y and x to sides that ``stride`` divides."""
    padding = [(0, 0), *((0, -size % stride) for size in images.shape[1:])]
    return np.pad(np.asarray(images, dtype=np.float32), padding, mode="symmetric")
