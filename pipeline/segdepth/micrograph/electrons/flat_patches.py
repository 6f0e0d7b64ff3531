"""Labels and scale bars that a program has drawn into a frame, and rows or columns of a camera that are dead.

Shot noise hardly makes a patch of one value. A patch counts if its value is the frame's lowest or highest, and if it is
so large that chance does not bring it anywhere in the frame. The chance of a pixel to have that value is taken for the
fifth root of its share of the frame: where a crystal is dark it is larger than the share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from segdepth.micrograph.electrons.masks import Masked

CHANCE = 1e-6
"""Of a patch by chance, anywhere in a frame."""

LOCAL_POWER = 0.2
LEAST_SIDE = 9
"""Pixels of a patch's side, at least: the middles of bright columns may be saturated."""

MOST = 0.25
"""More than this share of a frame is no label."""


def find_flat_patches(frames: Sequence[Masked]) -> np.ndarray:
    """Pixels (y, x) bool of patches, rows and columns of one value, the same in all frames of one film."""
    found = np.logical_and.reduce([_flat(frame.values, frame.usable) for frame in frames])
    return found if found.mean() <= MOST else np.zeros_like(found)


def _flat(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Patches, rows and columns (y, x) bool of the lowest or highest value of a frame."""
    found = np.zeros(usable.shape, dtype=bool)
    inside = values[usable]
    for extreme in (inside.min(), inside.max()):
        alike = usable & (values == extreme)
        share = alike.sum() / inside.size
        if alike.sum() < LEAST_SIDE**2 or share == 1:
            continue
        needed = math.log(CHANCE / inside.size) / (LOCAL_POWER * math.log(share))  # pixels
        if usable.shape[1] >= needed:
            found |= (alike | ~usable).all(axis=1, keepdims=True)
        if usable.shape[0] >= needed:
            found |= (alike | ~usable).all(axis=0, keepdims=True)
        side = max(LEAST_SIDE, math.ceil(math.sqrt(needed))) | 1  # odd: the two filters have the same middle
        if side <= min(usable.shape):
            inner = ndimage.minimum_filter(alike, side, mode="constant", cval=False)
            found |= ndimage.maximum_filter(inner, side, mode="constant", cval=False)
    return ndimage.binary_dilation(found) & usable if found.any() else found
