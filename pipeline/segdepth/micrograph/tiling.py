"""A function of images, applied to one that is larger than the function takes.

Tiles begin at multiples of the stride (the network's poolings then fall on the same pixels in every tile) and overlap.
Within a tile, an eighth of its side next to an inner seam is discarded, since it is affected by the tile's
edge; beyond it the weight rises as a cosine, so that tiles fade into each other. At the image's own border the full
weight holds. An image whose sides are no multiples of the stride is continued by mirroring, and the result cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MARGIN_SHARE = 8
"""The side of a tile over the margin that is discarded."""


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """First pixels of tiles that cover ``length`` (a multiple of ``stride``) and overlap by half a tile or more."""
    step = max(stride, tile // 2 // stride * stride)
    last = max(0, length - tile)
    return [*range(0, last, step), last]


def window(tile: int, first: bool, last: bool) -> np.ndarray:
    """Weights along one axis of a tile; ``first``/``last``: it lies at the image's border there."""
    margin = tile // MARGIN_SHARE
    position = np.arange(tile) + 0.5
    ramp = tile // 2 - 2 * margin

    def rise(distance: np.ndarray) -> np.ndarray:
        return np.sin(np.pi / 2 * np.clip((distance - margin) / max(1, ramp), 0, 1)) ** 2

    weights = np.ones(tile)
    if not first:
        weights *= rise(position)
    if not last:
        weights *= rise(tile - position)
    return weights


def apply_tiled(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    *,
    tile: int,
    stride: int,
    shrink: int = 1,
    progress: Callable[[], None] | None = None,
) -> np.ndarray:
    """Apply a function tile by tile and blend.

    Parameters
    ----------
    function : float32 (y, x), sides multiples of ``stride``, to (channel, y/shrink, x/shrink).
    image : (y, x).
    tile : largest side the function gets, a multiple of ``stride``.
    shrink : input pixels along the side of an output pixel; divides ``stride``.
    progress : called after each tile.

    Returns
    -------
    float32 (channel, ceil(y/shrink), ceil(x/shrink)).
    """
    if tile % stride or stride % shrink:
        raise ValueError(f"tile {tile}, stride {stride}, shrink {shrink}: each must divide the one before it")
    if tile < 2 * stride:
        tile = 2 * stride  # tiles must be able to overlap
    rows, columns = image.shape
    padding = [(0, -size % stride) for size in (rows, columns)]
    padded = np.pad(np.asarray(image, dtype=np.float32), padding, mode="symmetric")
    sides = [min(tile, size) for size in padded.shape]
    starts = [tile_starts(size, side, stride) for size, side in zip(padded.shape, sides)]
    out = total = None
    for top in starts[0]:
        for left in starts[1]:
            begin = (top, left)
            answer = function(padded[top : top + sides[0], left : left + sides[1]])
            weights = [
                window(side, start == 0, start + side == size)[shrink // 2 :: shrink]
                for side, start, size in zip(sides, begin, padded.shape)
            ]
            weight = np.outer(*weights).astype(np.float32)
            if out is None:
                size = [length // shrink for length in padded.shape]
                out, total = np.zeros((answer.shape[0], *size), np.float32), np.zeros(size, np.float32)
            place = tuple(slice(start // shrink, (start + side) // shrink) for start, side in zip(begin, sides))
            out[(slice(None), *place)] += weight * answer
            total[place] += weight
            if progress is not None:
                progress()
    out /= total
    return out[:, : -(-rows // shrink), : -(-columns // shrink)]


def count_tiles(shape: tuple[int, int], *, tile: int, stride: int) -> int:
    """How many tiles ``apply_tiled`` will make of an image."""
    tile = max(tile, 2 * stride)
    number = 1
    for size in shape:
        length = size + -size % stride
        number *= len(tile_starts(length, min(tile, length), stride))
    return number
