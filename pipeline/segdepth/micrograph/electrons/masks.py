"""Which pixels of a frame can be used. This runs on every frame of a film: no pass over the pixels is made in vain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdepth.micrograph.files.recording import FrameLost

LARGEST = 1e9
"""Values beyond it, in either direction, are no camera's: they are masked like NaN."""

UNWRITTEN_SHARE = 0.25
"""Rows or columns of zeros at the borders that are more than this share of a frame: the frame was not written."""

SURE_ELECTRONS = 30.0
"""Rows of zeros are told from a low dose where an average row holds at least this: e⁻³⁰ is the chance of none."""


@dataclass(frozen=True)
class Masked:
    """values : float32 (y, x), 0 where not usable. usable : bool (y, x). lines : for the user."""

    values: np.ndarray
    usable: np.ndarray
    lines: tuple[str, ...] = ()


def mask_frame(
    raw: np.ndarray, invalid: float | None = None, bad: np.ndarray | None = None, shape: tuple[int, int] | None = None
) -> Masked:
    """Mask what is no number, the value ``invalid``, borders of zeros, and known bad pixels.

    Parameters
    ----------
    raw : (y, x) values of any real type.
    invalid : value of masked pixels, or None. NaN and infinite values are masked in any case.
    bad : (y, x) bool, True for pixels never to be used.
    shape : (y, x) that the frame must have; by default ``bad``'s.

    Raises
    ------
    FrameLost
        The frame has another shape, holds one value only, was written in part, or nothing usable is left.
    """
    shape = bad.shape if shape is None and bad is not None else shape
    if raw.ndim != 2 or (shape is not None and raw.shape != tuple(shape)):
        raise FrameLost(f"its shape is {raw.shape}, not {'(y, x)' if shape is None else tuple(shape)}")
    if raw.size == 0:
        raise FrameLost("it holds no pixel")
    values, lines = raw.astype(np.float32), []
    odd = _no_numbers(raw, values)
    off = odd
    if odd is not None:
        lines.append(f"{int(odd.sum())} pixels are not finite: masked")
    if invalid is not None and np.isfinite(invalid):
        label = values == np.float32(invalid)
        if label.any():
            off = label if off is None else off | label
            lines.append(f"{int(label.sum())} pixels have the value {invalid:g} (--invalid): masked")
    if off is not None:
        values[off] = 0
    empty = _zero_borders(values, off)
    if empty is not None:
        off = empty if off is None else off | empty
        lines.append(f"{int(empty.sum())} pixels at the borders hold nothing (rows or columns of zeros): masked")
    if bad is not None and bad.any():
        values[bad] = 0
        off = bad if off is None else off | bad
    usable = np.ones(values.shape, dtype=bool) if off is None else ~off
    _check_content(values, usable)
    return Masked(values, usable, tuple(lines))


def _no_numbers(raw: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Where a frame is NaN, infinite or absurdly large; None where nowhere."""
    if raw.dtype.kind in "bui" and raw.dtype.itemsize <= 2:
        return None
    if values.min() > -LARGEST and values.max() < LARGEST:  # false with a NaN
        return None
    return ~(np.abs(values) < LARGEST)


def _zero_borders(values: np.ndarray, off: np.ndarray | None) -> np.ndarray | None:
    """Whole rows and columns of zeros at the borders, which shifted or half-written frames have; None for none. Pixels
    that are ``off`` were not zero."""
    sides = (values[0], values[-1], values[:, 0], values[:, -1])
    if all(side.any() for side in sides):
        return None
    full = values != 0 if off is None else (values != 0) | off
    rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
    if not rows.size:
        raise FrameLost("it is empty: every pixel is 0 or masked")
    per_pixel = full.mean()  # fewer than electrons
    height, width = values.shape
    empty = np.zeros(values.shape, dtype=bool)
    if per_pixel * width >= SURE_ELECTRONS:
        empty[: rows[0]] = empty[rows[-1] + 1 :] = True
    if per_pixel * height >= SURE_ELECTRONS:
        empty[:, : columns[0]] = empty[:, columns[-1] + 1 :] = True
    if empty.mean() > UNWRITTEN_SHARE:
        raise FrameLost(
            f"it was written in part: only rows {rows[0]} to {rows[-1]} and columns {columns[0]} to {columns[-1]} "
            f"of {height} x {width} hold anything"
        )
    return empty if empty.any() else None


def _check_content(values: np.ndarray, usable: np.ndarray) -> None:
    """A few pixels tell a normal frame; all are looked at only where those are alike."""
    for step in (37, 1):
        some = values.ravel()[::step][usable.ravel()[::step]]
        if some.size and (some != some[0]).any():
            return
    if not some.size:
        raise FrameLost("every pixel is masked")
    raise FrameLost(f"it is empty: every usable pixel is {some[0]:g}")
