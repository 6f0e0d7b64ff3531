"""Values that come in steps: a camera that counts electrons, whatever its gain and offset.

The share of the values v that fall on a comb of step g shows in |mean exp(2πi v / g)|: 1 for whole electrons times g,
and exp(−2π² r² / g²) if readout noise of rms r is added. Poisson counts of mean λ have exp(λ (cos 2πgt − 1)) at
frequency t, which has no maximum before t = 1/g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_SAMPLES = 8000
MOST_STEPS = 30.0
"""Standard deviation of the values, in steps, up to which a comb is looked for (900 electrons a pixel)."""

LEAST_STRENGTH = 0.3
LEAST_ROUNDED, EXACT = 4.0, 0.01
"""Integers come in smaller steps than the first only if their readout noise is at most the second, in steps."""

WHOLE = 0.15
"""Readout noise in steps below which values are rounded to whole electrons: 1 in 1000 goes wrong."""


@dataclass(frozen=True)
class Steps:
    """step : distance of values. start : a value of the comb. readout : rms about the comb, in steps."""

    step: float
    start: float
    readout: float

    @property
    def whole(self) -> bool:
        return self.readout < WHOLE


def find_steps(values: np.ndarray) -> Steps | None:
    """The comb that values (n,) of one area come in; None if they come in none.

    Values that are integers come in steps of 1 at least, be it that a camera's converter made them so.
    """
    some = values[:: max(1, values.size // MOST_SAMPLES)].astype(np.float64)
    deviation = float(some.std())
    if some.size < 200 or deviation == 0:
        return None
    integers = bool((values == np.rint(values)).all())
    frequency = _first_peak(some - some.mean(), deviation, 0.5 if integers else np.inf)
    found = None if frequency is None else _refine(values.astype(np.float64), 1 / frequency)
    if integers and found is not None and found.step < LEAST_ROUNDED and found.readout > EXACT:
        found = None  # a converter's whole numbers, no electrons
    return found or (Steps(1.0, 0.0, 0.0) if integers else None)


def _strength(values: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return np.array([abs(np.mean(np.exp(2j * np.pi * f * values))) for f in frequencies])


def _first_peak(values: np.ndarray, deviation: float, last: float) -> float | None:
    """The lowest frequency up to ``last`` at which the strength has a maximum beyond sampling error."""
    count = int(2 * np.pi * MOST_STEPS / 0.35)
    spacing = 0.35 / (2 * np.pi * deviation)
    if np.isfinite(last):
        spacing = last / np.ceil(last / spacing)
        count = min(count, round(last / spacing) + 1)
    turn, now = np.exp(2j * np.pi * spacing * values), np.ones(values.size, dtype=complex)
    lowest, before, strength = 1.0, 1.0, 1.0
    for i in range(1, count + 1):
        now *= turn
        after = abs(now.mean())
        rise = strength - lowest
        enough = 8 * np.sqrt((1 - lowest**2) / values.size)
        if i > 1 and before <= strength >= after * (1 - 1e-9) and strength > LEAST_STRENGTH and rise > enough:
            near = spacing * np.linspace(i - 2, i, 21)
            return float(near[np.argmax(_strength(values, near))])
        lowest, before, strength = min(lowest, strength), strength, after
    return None


def _refine(values: np.ndarray, step: float) -> Steps | None:
    """Step and start by least squares of values on their numbers in the comb."""
    start = float(np.angle(np.mean(np.exp(2j * np.pi * (values - values.mean()) / step)))) / (2 * np.pi) * step
    start += float(values.mean())
    for _ in range(4):
        number = np.rint((values - start) / step)
        if np.ptp(number) == 0:
            return None
        middle = number.mean()
        slope = float(np.mean((number - middle) * (values - values.mean())) / np.mean((number - middle) ** 2))
        step, start = slope, float(values.mean() - slope * middle)
    rest = (values - start) / step
    strength = abs(np.mean(np.exp(2j * np.pi * rest)))
    if strength < LEAST_STRENGTH:
        return None
    start -= step * float(np.rint(start / step))  # the value of the comb that is nearest to 0
    readout = float(np.sqrt(max(-2 * np.log(min(strength, 1.0)), 0.0)) / (2 * np.pi))
    return Steps(float(step), float(start), readout)
