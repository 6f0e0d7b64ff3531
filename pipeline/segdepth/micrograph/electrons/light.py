"""Uneven light: a smooth illumination fitted to the vacuum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CELL_PIXELS = 8
LINEAR_SPAN, QUADRATIC_SPAN = 0.3, 0.6
"""Part of the frame's side that the vacuum must span for a slope, and for a curvature, along that axis."""

LEAST_UNEVEN = 0.03
"""Peak to peak over the frame, of the mean, below which light is left as it is."""

DEVIATIONS = 6.0
"""Peak to peak in sampling errors (the largest of the frame) that it must exceed."""


def find_light(
    electrons: Sequence[np.ndarray], usable: Sequence[np.ndarray], areas: Sequence[np.ndarray]
) -> np.ndarray | None:
    """Illumination over the frame, float32 (y, x) with mean 1, from the vacuum of a few frames; None where it is even,
    or where the vacuum is too small to tell.

    Parameters
    ----------
    electrons : frames (y, x), in electrons or in any unit without an offset.
    usable, areas : of each frame, bool (y, x); its vacuum is where both are true.

    A slope and a curvature along each axis (Σ aᵢⱼ xⁱ yʲ, i + j ≤ 2) are fitted as far as the vacuum spans the frame.
    """
    shape = electrons[0].shape if electrons else (0, 0)
    number, total = np.zeros(_grid(shape)), np.zeros(_grid(shape))
    for frame, mask, area in zip(electrons, usable, areas):
        inside = area & mask
        mean = float(frame[inside].mean()) if inside.any() else 0.0
        if mean > 0:  # frames of other brightness weigh alike
            number += _cell_sums(inside)
            total += _cell_sums(np.where(inside, frame / mean, 0.0))
    full = number >= 0.5 * CELL_PIXELS**2
    if full.sum() < 30:
        return None
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(n) for n in number.shape), indexing="ij")
    terms = _terms(full)
    if len(terms) < 2:
        return None
    basis = np.stack([x**i * y**j for i, j in terms])
    weight, level = number[full], total[full] / number[full]
    inverse = np.linalg.inv((basis[:, full] * weight) @ basis[:, full].T)
    fit = inverse @ (basis[:, full] @ (weight * level))
    field = np.tensordot(fit, basis, 1)
    variance = float(np.sum(weight * (level - field[full]) ** 2) / (full.sum() - len(terms)))
    error = np.sqrt(variance * np.einsum("iyx,ij,jyx->yx", basis, inverse, basis))
    uneven = np.ptp(field) / field.mean()
    if uneven < LEAST_UNEVEN or np.ptp(field) < DEVIATIONS * error.max() or field.min() <= 0.1 * field.max():
        return None
    rows, columns = ((np.arange(n) + 0.5) / CELL_PIXELS - 0.5 for n in shape)
    y, x = (2 * at / (n - 1) - 1 if n > 1 else 0 * at for at, n in zip((rows, columns), number.shape))
    light = sum(a * x[None, :] ** i * y[:, None] ** j for a, (i, j) in zip(fit, terms))
    return (light / light.mean()).astype(np.float32)


def describe_light(light: np.ndarray) -> str:
    """The line for the user."""
    return f"uneven light, {100 * np.ptp(light) / light.mean():.0f} % from darkest to brightest: flattened"


def _grid(shape: tuple[int, int]) -> tuple[int, int]:
    return shape[0] // CELL_PIXELS, shape[1] // CELL_PIXELS


def _cell_sums(values: np.ndarray) -> np.ndarray:
    rows, columns = _grid(values.shape)
    kept = values[: rows * CELL_PIXELS, : columns * CELL_PIXELS]
    return kept.reshape(rows, CELL_PIXELS, columns, CELL_PIXELS).sum(axis=(1, 3), dtype=np.float64)


def _terms(full: np.ndarray) -> list[tuple[int, int]]:
    """Powers (of x, of y) that the cells with vacuum (y, x) can tell."""
    spans = [np.ptp(np.flatnonzero(full.any(axis=axis))) / max(full.shape[1 - axis] - 1, 1) for axis in (0, 1)]
    reach = [int(span >= LINEAR_SPAN) + int(span >= QUADRATIC_SPAN) for span in spans]
    return [(i, j) for i in range(reach[0] + 1) for j in range(reach[1] + 1) if i + j <= 2]
