"""Averaging over focus as a sum of coherent images: equal steps, or the eigenmodes of the focal kernel.

The averaged intensity is Σ_j w_j |Σ_q F(q) exp(-iπ d_j q²…)|², with d_j the focal steps. Steps are what Dr. Probe
and SBD A.1 do. The kernel Σ_j w_j exp(-i(π/λ) d_j (s - s')), s = θ², is smooth, so that a few of its eigenmodes hold
it: each mode is a sum of coherent steps, and stands for many. Lengths in pm, angles in rad.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEP_REACH = 2.0
"""Equal steps end at this many 1/e half-widths (SBD A.1; Dr. Probe); what is beyond weighs 0.5 %."""

MODE_REACH = 3.0
"""The modes' kernel is summed up to this many half-widths: a whole Gaussian."""

STEP_TURN, TABLE_TURN = 0.8, 0.03
"""Largest change of phase, in rad, from one step of that sum to the next at the largest angle, and from one point of a
mode's table to the next at the last step."""

MODE_FALL_RAD, MODE_CENTRE = 0.026, 0.28
"""What the modes reproduce best: weight exp(-(θ / 26 mrad)²), about as a crystal's beams fall off, and for the
undiffracted beam, which takes part in all linear contrast, 0.28 √points more: a fixed share beside the table's
points."""

MODE_REST = 1.5e-3
"""Share of the weighted kernel that the modes may leave out."""


def focal_steps(samples: int, reach: float = STEP_REACH) -> tuple[list[float], list[float]]:
    """Equal focal steps over ± ``reach`` half-widths and their weights exp(-t²), summing to 1 (SBD A.1; Dr. Probe).

    Returns the steps in units of the 1/e half-width. One sample is the nominal focus alone.
    """
    if samples == 1:
        return [0.0], [1.0]
    steps = [-reach + 2 * reach * i / (samples - 1) for i in range(samples)]
    weights = [math.exp(-(t**2)) for t in steps]
    total = sum(weights)
    return steps, [w / total for w in weights]


def focal_modes(
    spread_pm: float,
    convergence_rad: float,
    largest_angle_rad: float,
    wavelength_pm: float,
    count: int | None = None,
) -> Tensor:
    """The leading eigenmodes of the focal kernel against θ², complex128 (mode, θ²), at even steps of θ² from 0 to the
    largest angle.

    Σ_m |Σ_q F(q) mode_m(q) …|² is the average. Without ``count`` there are as many as leave ``MODE_REST`` of the
    weighted kernel: 9 for 4 nm and 45 mrad, 1 without spread. All are scaled together so that vacuum stays 1.

    The envelope of convergence changes with focus: its part that is quadratic in the step, exp(-(α/2 · 2π/λ)² d²
    θ²), is in the modes, the mixed part, linear in the step, is not.
    """
    wavenumber = 2 * math.pi / wavelength_pm
    turn = wavenumber / 2 * MODE_REACH * spread_pm * largest_angle_rad**2  # phase of the last step at the largest angle
    steps, weights = focal_steps(2 * max(30, math.ceil(turn / STEP_TURN)) + 1, MODE_REACH)
    d = spread_pm * torch.tensor(steps, dtype=torch.float64)[:, None]
    points = max(256, math.ceil(turn / TABLE_TURN))
    s = torch.linspace(0, largest_angle_rad**2, points, dtype=torch.float64)
    size = torch.tensor(weights, dtype=torch.float64).sqrt()[:, None]
    envelope = size * torch.exp(-((convergence_rad / 2 * wavenumber * d) ** 2) * s)
    coherent = torch.polar(envelope, -wavenumber / 2 * d * s)
    weight = torch.exp(-s / MODE_FALL_RAD**2)
    weight[0] += MODE_CENTRE * math.sqrt(points)
    weighted = coherent * weight
    values, vectors = torch.linalg.eigh(weighted @ weighted.mH)  # rising
    if count is None:
        rest = values.clamp_min(0).cumsum(0).flip(0) / values.sum()  # what is left without the leading 0, 1, 2 …
        count = max(1, int((rest > MODE_REST).sum()))
    modes = vectors[:, -count:].flip(1).mH @ coherent
    return modes / modes[:, :1].abs().square().sum().sqrt()
