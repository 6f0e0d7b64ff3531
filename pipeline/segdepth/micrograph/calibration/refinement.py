"""Turn, pixel and distortion from the lattice's peaks in the crystal's area, with their uncertainties.

A peak's place is off its ideal one by shot noise and, in a wedge, by the phase of its Fourier component, which turns
with the thickness: the frequency is shifted by (dφ/dt) ∇t / 2π, along the thickness gradient only. The peaks are
therefore weighted with the covariance

    C = C_shot + (PHASE |g₀|)² nnᵀ + (BENT |g|)² 1,

n the direction of the gradient (from the crystal into the vacuum), g₀ the shortest reflection: components along the
edge decide, those across it hardly. Without vacuum n is not known and both directions count alike. The uncertainty that
is given is that of this weighting or the scatter of the peaks about the fit, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segdepth.crystals import Crystal
from segdepth.micrograph.lattice_peaks import Peak

PHASE = 0.03
"""Shift of a peak by a wedge's phases, over the shortest reflection: up to 4 % were seen on a tilted particle."""

BENT = 0.01
"""Any other shift, over the peak's own length: distortion, bending."""


@dataclass(frozen=True)
class Similarity:
    """The lattice turned and scaled.

    a : complex, pixel in pm times exp(i turn), see ``matching``. error : relative standard error of its modulus, and in
    radians of its argument. elongation, elongation_error : of the ellipse that a circle of the specimen becomes in the
    frame, longest over shortest axis less 1; None with fewer than three peaks.
    """

    a: complex
    error: float
    elongation: float | None = None
    elongation_error: float | None = None


def fit_similarity(
    peaks: Mapping[tuple[int, int], Peak], crystal: Crystal, pixel_pm: float, across: complex | None
) -> Similarity:
    """Least squares over the peaks that are seen.

    Parameters
    ----------
    peaks : by their orders in the reflection pair, frequencies in 1/pm for a pixel of ``pixel_pm``.
    across : unit vector of the thickness gradient in the frame, or None.
    """
    pair = [complex(*crystal.frequency(name)) for name in crystal.reflection_pair]
    shortest = min(abs(complex(*crystal.frequency(r.name))) for r in crystal.reflections)
    similar, affine, values = [], [], []
    for (h, k), peak in peaks.items():
        g = h * pair[0] + k * pair[1]
        found = complex(*peak.frequency) * pixel_pm  # waves a pixel
        shot = peak.noise_pm * abs(g) ** 2 * pixel_pm
        covariance = (shot**2 + (BENT * abs(g) * pixel_pm) ** 2) * np.eye(2)
        share = (PHASE * shortest * pixel_pm) ** 2
        if across is None:
            covariance += 0.5 * share * np.eye(2)
        else:
            n = np.array([across.real, across.imag])
            covariance += share * np.outer(n, n)
        whiten = np.linalg.cholesky(np.linalg.inv(covariance)).T
        similar.append(whiten @ [[g.real, -g.imag], [g.imag, g.real]])
        affine.append(whiten @ [[g.real, g.imag, 0, 0], [0, 0, g.real, g.imag]])
        values.append(whiten @ (found.real, found.imag))
    target = np.concatenate(values)
    solution, error = _solve(np.concatenate(similar), target)
    a = complex(*solution)
    relative = float(np.sqrt(np.trace(error) / 2)) / abs(a)
    if len(peaks) < 3:
        return Similarity(a, relative)
    matrix, error = _solve(np.concatenate(affine), target)
    stretch = np.linalg.svd(matrix.reshape(2, 2), compute_uv=False)
    return Similarity(a, relative, float(stretch[0] / stretch[1] - 1), float(np.sqrt(2 * np.trace(error) / 4) / abs(a)))


def _solve(matrix: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares and covariance, which is scaled where the scatter is larger than the errors say."""
    solution, *_ = np.linalg.lstsq(matrix, target, rcond=None)
    left = target - matrix @ solution
    chi2 = float(left @ left) / max(1, len(target) - matrix.shape[1])
    return solution, np.linalg.inv(matrix.T @ matrix) * max(1.0, chi2)
