"""Gain and offset of a camera: value = gain · electrons + offset (+ readout noise), electrons Poisson.

What tells them, in this order (``find_camera``):

1. Values that come in steps: the step is the gain, the comb gives the offset up to whole steps. How many steps is told
   by offset 0, if variance/mean in the vacuum is then that of single electrons; else by variance = mean (Poisson), and
   at low dose by the lowest step that is there.
2. Else the shape of the vacuum's distribution (``noise_model``).
3. Noise that neighbours share: variance times the sum of all correlations, over the mean, with offset 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from segdepth.micrograph.electrons.correlation import largest_correlation
from segdepth.micrograph.electrons.masks import Masked
from segdepth.micrograph.electrons.moments import Moments, crystal_moments, vacuum_moments
from segdepth.micrograph.electrons.noise_model import fit_noise
from segdepth.micrograph.electrons.steps import Steps, find_steps

SINGLE_ELECTRONS = (0.8, 1.25)
"""Variance over mean that is taken for single electrons: a camera that misses every tenth electron since two came at
once has 0.9, uneven light or a rare double count 1.1."""

MOST_RATIO = 2.0
"""Variance over mean, with a given offset, from which on steps are not electrons'."""

SURE_DOSE, SURE_CONTRAST = 0.5, 0.1
"""Errors of the dose and of the contrast above which the user is asked for gain and offset. Doses span decades, and an
image over its vacuum hardly depends on the gain; an offset that is not subtracted takes its share of the contrast."""

LEAST_SURE = 0.25
"""Error of the gain, from the third moment, up to which integers with an offset can be electrons."""

NOISE_FREE = 1e-9
"""Variance over the squared mean below which values have no shot noise: a billion electrons a pixel."""

LOW_DOSE = 7.0
"""Electrons a pixel below which pixels without an electron are there: e⁻⁷ is 1 in 1100."""


@dataclass(frozen=True)
class Camera:
    """value = gain · electrons + offset.

    whole : values become whole electrons. variance_over_mean : in the vacuum, after conversion (NaN without vacuum).
    correlation : of largest size between neighbours in the vacuum; correlated : it is beyond sampling error and harm.
    dose_error, contrast_error : relative errors of the dose and of the vacuum's mean above the offset (NaN: not known).
    lines : for the user.
    """

    gain: float = 1.0
    offset: float = 0.0
    whole: bool = True
    variance_over_mean: float = np.nan
    correlation: float = 0.0
    correlated: bool = False
    dose_error: float = 0.0
    contrast_error: float = 0.0
    lines: tuple[str, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether gain and offset are known well enough to be relied on."""
        return bool(self.dose_error <= SURE_DOSE and self.contrast_error <= SURE_CONTRAST)  # false with a NaN

    @property
    def poisson(self) -> bool:
        """Whether the noise is that of single electrons, each in one pixel, as far as the vacuum tells."""
        low, high = SINGLE_ELECTRONS
        return not self.correlated and not (self.variance_over_mean < low or self.variance_over_mean > high)


class _Told(NamedTuple):
    """Gain, offset, whether values are then whole, the two errors, and the line that says so."""

    gain: float
    offset: float
    whole: bool
    dose_error: float
    contrast_error: float
    line: str


def find_camera(
    frames: Sequence[Masked],
    areas: Sequence[np.ndarray],
    gain: float | None = None,
    offset: float | None = None,
    *,
    known_from: str = "given",
) -> Camera:
    """Gain and offset from a few frames of one film.

    Parameters
    ----------
    frames : the same shape, bad pixels masked.
    areas : of each frame, (y, x) bool, its vacuum; no areas, or all false, where there is none.
    gain, offset : as known by the user; both are found if None. A given gain alone means offset 0.
    known_from : where a given gain comes from, in words after "are".
    """
    seen = [_cut_out(f, a & f.usable) for f, a in zip(frames, areas) if (a & f.usable).sum() >= 100]
    inside = [f.values[a] for f, a in seen] or [f.values[f.usable] for f in frames]
    values = np.concatenate(inside)
    correlation, correlated = largest_correlation([f.values for f, _ in seen], [a for _, a in seen])
    moments = vacuum_moments(seen, correlated) or crystal_moments(frames)
    steps = find_steps(values)
    if gain is not None:
        offset = 0.0 if offset is None else offset
        found = _given(values, gain, offset, known_from)
    else:
        found = _found(values, steps, moments, correlated, offset, bool(seen))
    ratio = _ratio(moments, found.gain, found.offset) if moments is not None and seen else np.nan
    lines = [found.line] if found.line else []
    if correlated:
        lines.append(
            f"neighbouring pixels share noise (correlation {correlation:+.2f} in the vacuum): the input was "
            "interpolated, filtered or denoised; its counts are not independent, confidences are not calibrated"
        )
    elif np.isfinite(ratio) and not SINGLE_ELECTRONS[0] <= ratio <= SINGLE_ELECTRONS[1]:
        lines.append(
            f"variance/mean in the vacuum is {ratio:.2f}, not 1: these are no single electrons "
            f"({'averaged or denoised' if ratio < 1 else 'readout noise or uneven light adds to it'}); "
            "confidences are not calibrated"
        )
    camera = Camera(*found[:3], ratio, correlation, correlated, *found[3:5], ())
    if not camera.sure:
        lines.append(
            "gain and offset of the camera cannot be told well from these values "
            f"({_doubt(bool(seen), camera)}); give --gain and --offset, or --dose"
        )
    return replace(camera, lines=tuple(lines))


def _cut_out(frame: Masked, area: np.ndarray) -> tuple[Masked, np.ndarray]:
    """The rectangle around an area, of the frame and of the area."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Masked(frame.values[part], frame.usable[part]), area[part]


def _doubt(vacuum: bool, camera: Camera) -> str:
    if not vacuum:
        return "there is no vacuum"
    if np.isnan(camera.dose_error + camera.contrast_error):
        return "they are unlike a camera's"
    one, off = ("contrast", camera.contrast_error), ("dose", camera.dose_error)
    name, error = one if camera.contrast_error > SURE_CONTRAST else off
    return f"the {name} may be off by {100 * min(error, 10):.0f} %"


def _ratio(moments: Moments, gain: float, offset: float) -> float:
    """Variance over mean in electrons."""
    electrons = (moments.mean - offset) / gain
    return float(moments.variance / gain**2 / electrons) if electrons > 0 else np.nan


def _is_comb(values: np.ndarray, gain: float, offset: float) -> bool:
    """Whether values (n,) are whole electrons after conversion."""
    electrons = (values[:: max(1, values.size // 20000)].astype(np.float64) - offset) / gain
    return bool(np.sqrt(np.mean((electrons - np.rint(electrons)) ** 2)) < 0.1) and bool(electrons.min() > -0.5)


def _given(values: np.ndarray, gain: float, offset: float, how: str) -> _Told:
    whole = _is_comb(values, gain, offset)
    return _Told(gain, offset, whole, 0.0, 0.0, f"gain {gain:.4g} and offset {offset:.4g} of the camera are {how}")


def _found(
    values: np.ndarray,
    steps: Steps | None,
    moments: Moments | None,
    correlated: bool,
    offset: float | None,
    vacuum: bool,
) -> _Told:
    if steps is not None and not correlated:
        taken = _from_steps(values, steps, moments, offset)
        if taken is not None:
            return taken
    if moments is None:
        return _Told(1.0, offset or 0.0, False, np.nan, np.nan, "")
    if correlated:
        return _from_ratio(moments, offset)
    model = fit_noise(moments.values, offset) if vacuum else None
    if model is None:
        return _Told(*_from_ratio(moments, offset)[:3], np.nan, np.nan, "")
    line = f"gain {model.gain:.4g} and offset {model.offset:.4g} of the camera from the noise of the vacuum"
    if "o" in model.free:
        return _Told(model.gain, model.offset, False, model.offset_error, model.contrast_error, line)
    if offset is None and model.contrast_error > SURE_CONTRAST:
        line += " (an offset of 0 is assumed: the noise does not tell it; --offset sets it)"
    return _Told(model.gain, model.offset, False, model.error, 0.0, line)


def _from_steps(values: np.ndarray, steps: Steps, moments: Moments | None, offset: float | None) -> _Told | None:
    """As ``_found``, if the steps are electrons."""
    gain, start = steps.step, 0.0 if abs(steps.start) < 0.02 * steps.step else steps.start
    unit = gain == 1.0 and start == 0.0
    if offset is not None:
        start = offset
        if moments is not None and _ratio(moments, gain, offset) > MOST_RATIO:
            return None  # the steps are a converter's
    elif moments is None:
        if values.min() < start - 0.5 * gain:
            return None
    else:
        shift = _steps_up(values, gain, start, moments)
        if shift is None:
            return None
        start += gain * shift
    if unit and start == 0:
        return _Told(1.0, 0.0, True, 0.0, 0.0, "")
    error = 0.0 if moments is None else _shift_error(moments, gain, start)
    what = "whole electrons" if steps.whole else f"electrons with readout noise of {steps.readout:.2f} electrons"
    line = f"the values are {what} times a gain of {gain:.4g} plus an offset of {start:.4g} (from their steps)"
    return _Told(gain, start, steps.whole, error, error, line)


def _steps_up(values: np.ndarray, gain: float, start: float, moments: Moments) -> int | None:
    """Steps from ``start``, the one nearest to 0, to no electron; None if the steps are a converter's, whose noise is
    that of another gain."""
    expected = moments.variance / gain**2
    electrons = (moments.mean - start) / gain
    number = np.rint((values - start) / gain)
    lowest = int(np.quantile(number, 1e-4))
    low, high = SINGLE_ELECTRONS
    if abs(start) < 0.02 * gain and lowest >= 0 and expected > LOW_DOSE and electrons > 0:
        ratio, error = expected / electrons, np.sqrt(2 / moments.values.size)
        nearer = abs(moments.gain / gain - 1) < abs(moments.gain / gain - ratio)  # an offset leaves κ₃/κ₂ as it is
        if low <= ratio <= high and (ratio > 1 - max(0.03, 4 * error) or not nearer):
            return 0
    if gain == 1 and moments.gain_error > LEAST_SURE:
        return None
    if abs(moments.gain / gain - 1) > max(0.15, 4 * moments.gain_error / gain):
        return None
    if expected < LOW_DOSE:
        counts = np.bincount((number - number.min()).astype(int))
        often = np.flatnonzero(counts >= 0.2 * np.exp(-expected) * number.size)
        return int(number.min() + often[0]) if often.size else lowest
    shift = min(int(np.rint(electrons - expected)), lowest)
    if 0 < shift <= 1.5 * expected * np.sqrt(2 / moments.values.size):
        return 0
    return None if shift < 0 <= lowest else shift


def _shift_error(moments: Moments, gain: float, offset: float) -> float:
    """Relative error of the dose: 0 with offset 0 or at low dose, else that of the Poisson variance."""
    electrons = (moments.mean - offset) / gain
    if offset == 0 or electrons < LOW_DOSE:
        return 0.0
    return float(np.sqrt((2 + 1 / electrons) / moments.values.size))


def _from_ratio(moments: Moments, offset: float | None) -> _Told:
    """As ``_found``: variance, with what neighbours share, over mean."""
    offset = 0.0 if offset is None else offset
    mean = moments.mean - offset
    gain = moments.shared_variance / mean if mean > 0 else 0.0
    if not gain > NOISE_FREE * max(mean, 0.0):
        return _Told(1.0, offset, False, np.nan, np.nan, "")
    line = f"gain {gain:.4g} of the camera from variance/mean in the vacuum, with an offset of {offset:.4g} assumed"
    return _Told(gain, offset, False, moments.shared_error, 0.0, line)


def to_electrons(
    masked: Masked, camera: Camera, light: np.ndarray | None = None, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Electrons, float32 (y, x), 0 where masked; whole numbers where ``camera.whole``.

    With uneven light (mean 1) whole electrons are kept with probability min(light)/light, which leaves them Poisson and
    makes the level min(light) times that of the frame; other values are divided by it. ``rng`` draws those kept.
    """
    values = masked.values
    if camera.gain != 1 or camera.offset != 0:
        values = (values - np.float32(camera.offset)) * np.float32(1 / camera.gain)
        if camera.whole:
            np.maximum(np.rint(values, out=values), 0, out=values)
        values[~masked.usable] = 0
    if light is None:
        return values
    if not camera.whole:
        return values / light
    rng = np.random.default_rng(0) if rng is None else rng
    return rng.binomial(values.astype(np.int64), np.minimum(light.min() / light, 1)).astype(np.float32)


def dose_e_per_a2(level: float, pixel_pm: float) -> float:
    """Electrons per Å² from the electrons per pixel in vacuum."""
    return level / (pixel_pm / 100) ** 2
