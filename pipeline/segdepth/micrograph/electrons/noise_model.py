"""Gain and offset of a camera whose values come in no steps, from the shape of the vacuum's distribution.

Model: a Poisson number of electrons of mean λ, each giving a gamma-distributed value of mean g and shape a, plus an
offset o and normal noise of rms r. Its characteristic function is exp(λ ((1 − i g t / a)^−a − 1) + i o t − r² t² / 2).
It is fitted to that of the values at a few frequencies, with the covariance that these have (generalised method of
moments; Feuerverger and McDunnough, J. R. Stat. Soc. B 43 (1981) 20). Of the simplifications o = 0, r = 0, a = ∞ those
are made that the Bayesian information criterion holds for likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

FREQUENCIES = np.linspace(0.3, 5.0, 12)
"""In units of 1 / standard deviation."""

MOST_SAMPLES = 60_000
MODELS = ("", "r", "o", "ra", "ro", "rao")
"""What is free beside λ and g: readout noise, spread of the gain, offset; the likeliest camera first."""

MOST_MISFIT = 50.0
"""χ² a degree of freedom from which on no such camera made the values."""


@dataclass(frozen=True)
class NoiseModel:
    """gain, offset : of the values. electrons : mean a pixel. error : relative, of the electrons, readout noise not
    known. free : parameters that the data ask for, letters of ``MODELS``. offset_error, contrast_error : relative,
    of the electrons and of the mean above the offset, if neither offset nor readout noise is taken for known."""

    gain: float
    offset: float
    electrons: float
    error: float
    free: str
    offset_error: float
    contrast_error: float


def fit_noise(values: np.ndarray, offset: float | None = None) -> NoiseModel | None:
    """The model of values (n,) of vacuum, trends taken out; ``offset`` as known. None if nothing fits."""
    some = values[:: max(1, values.size // MOST_SAMPLES)].astype(np.float64)
    if (some == np.rint(some)).all():  # a converter's steps, which the model does not have, are blurred
        some = some + np.random.default_rng(0).uniform(-0.5, 0.5, some.size)
    width = float(some.std())
    if some.size < 500 or not width > 0:
        return None
    scaled = (some - (offset or 0.0)) / width
    middle = float(scaled.mean())
    data = np.exp(1j * FREQUENCIES[:, None] * (scaled - middle))
    parts = np.concatenate([data.real, data.imag])
    observed = parts.mean(axis=1)
    covariance = np.cov(parts) / some.size
    root = np.linalg.cholesky(covariance + 1e-4 * np.mean(np.diag(covariance)) * np.eye(observed.size))
    task = _Task(observed, np.linalg.inv(root), middle, max(float(np.mean((scaled - middle) ** 3)), 0.02))
    best: tuple[float, str, np.ndarray, float] | None = None
    for free in MODELS:
        fitted = None if offset is not None and "o" in free else _fit(task, free)
        if fitted is None:
            continue
        badness, parameters, error = fitted
        score = badness + len(free) * np.log(some.size)
        if best is None or score < best[0]:
            best = (score, free, parameters, error)
        freedom = observed.size - parameters.size
        if badness < freedom + 3 * np.sqrt(2 * freedom):
            break
    if best is None or best[0] > MOST_MISFIT * observed.size:
        return None
    _, free, parameters, error = best
    electrons, gain, readout, _, shift = _unpack(parameters, free)
    if free in ("", "r"):
        error = max(error, _error(task, np.array([*parameters[:2], max(readout, 0.1 * gain)]), "r"))
    unknown, contrast = error, 0.0
    if offset is None:
        if free in ("", "r", "o", "ra"):
            parameters, free_then = np.array([*parameters[:2], max(readout, 0.1 * gain), shift]), "ro"
            unknown = _error(task, parameters, free_then)
        else:
            free_then = free
        contrast = _error(task, parameters, free_then, above=True)
    return NoiseModel(gain * width, shift * width + (offset or 0.0), electrons, error, free, unknown, contrast)


@dataclass(frozen=True)
class _Task:
    """observed : real and imaginary part of the characteristic function. whiten : inverse root of its covariance.
    middle, skew : mean and third moment, variance being 1."""

    observed: np.ndarray
    whiten: np.ndarray
    middle: float
    skew: float

    def misfit(self, parameters: np.ndarray, free: str) -> np.ndarray:
        return self.whiten @ (_predicted(parameters, free, self.middle) - self.observed)


def _unpack(parameters: np.ndarray, free: str) -> tuple[float, float, float, float, float]:
    """λ, g, r, 1/a, o from (log λ, log g, and those that are free)."""
    given = dict(zip(free, parameters[2:]))
    return (
        float(np.exp(parameters[0])),
        float(np.exp(parameters[1])),
        float(given.get("r", 0.0)),
        float(np.exp(given["a"])) if "a" in given else 0.0,
        float(given.get("o", 0.0)),
    )


def _predicted(parameters: np.ndarray, free: str, middle: float) -> np.ndarray:
    electrons, gain, readout, spread, shift = _unpack(parameters, free)
    t = FREQUENCIES
    one = np.exp(1j * gain * t) if spread < 1e-6 else (1 - 1j * gain * t * spread) ** (-1 / spread)
    found = np.exp(electrons * (one - 1) + 1j * (shift - middle) * t - readout**2 * t**2 / 2)
    return np.concatenate([found.real, found.imag])


def _fit(task: _Task, free: str) -> tuple[float, np.ndarray, float] | None:
    """χ², parameters and the relative error of λ of the best of a few starts."""
    middle, skew = task.middle, task.skew
    if "o" not in free and middle <= 0:
        return None
    simple = {"": 1 / max(middle, 1e-6), "r": np.sqrt(skew / max(middle, 1e-6))}
    best = None
    for gain in (simple[free],) if free in simple else (0.6 * skew, 1.5 * skew):
        electrons = middle / gain if "o" not in free else min(1 / gain**2, 1e6)
        start = {"r": 0.3, "a": -1.5, "o": middle - electrons * gain}
        x0 = np.array([np.log(electrons), np.log(gain), *(start[name] for name in free)])
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                fit = least_squares(task.misfit, x0, method="lm", max_nfev=150, args=(free,))
        except ValueError:  # not finite
            continue
        if np.isfinite(fit.cost) and (best is None or fit.cost < best.cost):
            best = fit
    return None if best is None else (2 * float(best.cost), best.x, _error(task, best.x, free))


def _error(task: _Task, parameters: np.ndarray, free: str, *, above: bool = False) -> float:
    """Standard error of log λ at these parameters; ``above``: of log (g λ), the mean above the offset."""
    here, slopes = task.misfit(parameters, free), []
    for i in range(parameters.size):
        step = np.zeros(parameters.size)
        step[i] = 1e-5
        slopes.append((task.misfit(parameters + step, free) - here) / 1e-5)
    _, width, axes = np.linalg.svd(np.array(slopes).T, full_matrices=False)
    return float(np.sqrt(np.sum(((axes[:, 0] + above * axes[:, 1]) / np.maximum(width, 1e-12)) ** 2)))
