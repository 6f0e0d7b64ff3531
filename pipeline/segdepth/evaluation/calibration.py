"""Reliability of the confidence score (SegDepth IV-C, Fig. 7): sums by bins of confidence, and calibration errors,
before and after temperature scaling (Guo et al., ICML 2017, section 4.2)."""

from __future__ import annotations

import numpy as np

from segdepth.evaluation.metrics import bootstrap_weights, percentile_interval

BINS = 20
POPULATIONS = {
    "pixels": "expected_calibration_error",
    "pixels_of_columns": "expected_calibration_error_pixels_of_columns",
    "columns": "expected_calibration_error_columns",
    "pixels_before": "expected_calibration_error_before",
    "columns_before": "expected_calibration_error_columns_before",
}
"""What is binned, and the metric of its calibration error: every pixel, the pixels whose true depth is above 0, and the
columns by their mean probability over the core; two of them also before temperature scaling."""


def before_scaling(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What a network's probabilities (class, ...) were before its logits were divided by a temperature T: p^T over its
    sum, since softmax(z) is in proportion to softmax(z / T)^T. Probabilities that underflow stay 0."""
    if temperature == 1:
        return probabilities
    raised = np.power(probabilities, probabilities.dtype.type(temperature))
    return raised / raised.sum(axis=0)


def reliability_sums(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Pixels or columns, their sum of confidence, and right ones of each bin, float64 (bin, 3); sums of images add.

    Bin b holds b/bins ≤ confidence < (b + 1)/bins, the last one also 1.
    """
    confidence = np.asarray(confidence, dtype=np.float64).ravel()
    place = np.clip((confidence * bins).astype(np.int64), 0, bins - 1)
    weights = (np.ones_like(confidence), confidence, right.ravel().astype(np.float64))
    return np.stack([np.bincount(place, weights=w, minlength=bins) for w in weights], axis=1)


def reliability_curve(sums: np.ndarray) -> dict[str, np.ndarray]:
    """``confidence_low``, ``confidence_high``, ``number``, ``mean_confidence``, ``accuracy``; NaN in empty bins."""
    edges = np.linspace(0, 1, len(sums) + 1)
    number = np.where(sums[:, 0], sums[:, 0], np.nan)
    return {
        "confidence_low": edges[:-1],
        "confidence_high": edges[1:],
        "number": sums[:, 0].astype(np.int64),
        "mean_confidence": sums[:, 1] / number,
        "accuracy": sums[:, 2] / number,
    }


def _errors(sums: np.ndarray) -> np.ndarray:
    """Expected calibration errors of (…, bin, 3); NaN where nothing was counted."""
    pixels = sums[..., 0].sum(-1)
    return np.abs(sums[..., 2] - sums[..., 1]).sum(-1) / np.where(pixels, pixels, np.nan)


def expected_calibration_error(sums: np.ndarray) -> float | None:
    """Σ share of bin · |accuracy − mean confidence|; None where nothing was counted."""
    error = float(_errors(sums))
    return None if np.isnan(error) else error


def calibration_interval(sums: np.ndarray, rng: np.random.Generator, draws: int = 2000) -> list[float] | None:
    """95 % percentile interval of the expected calibration error, structures drawn with replacement.

    ``sums`` (structure, bin, 3); None with fewer than two structures or where a draw has nothing to count.
    """
    structures = len(sums)
    if structures < 2:
        return None
    errors = _errors(np.tensordot(bootstrap_weights(structures, rng, draws), sums, axes=1))
    return None if np.isnan(errors).any() else percentile_interval(errors)
