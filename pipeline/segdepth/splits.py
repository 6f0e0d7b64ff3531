"""Which structures train, validate and test: by structure, never by image.

Structure ``i`` has the fixed number frac(1/2 + i·φ), φ the golden ratio. The sequence is equidistributed, so that
shares are kept closely from the first structures on, and a larger data set keeps every structure's side. The test
share is taken from the low end, then validation, then training: data sets that share a test share a test set.
"""

from __future__ import annotations

PARTS = ("test", "validation", "train")
_GOLDEN = (5**0.5 - 1) / 2


def split_position(index: int) -> float:
    """Number in [0, 1) that decides the split of structure ``index``."""
    return (0.5 + index * _GOLDEN) % 1.0


def split_of(index: int, test: float, validation: float, train: float) -> str:
    """``test``, ``validation``, ``train`` or, past the sum of the shares, ``unused``."""
    position, edge = split_position(index), 0.0
    for part, share in zip(PARTS, (test, validation, train)):
        edge += share
        if position < edge:
            return part
    return "unused"
