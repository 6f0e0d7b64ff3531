"""Averaging over focus as a sum of coherent images: equal steps, or the eigenmodes of the focal kernel.

The averaged intensity is Σ_j w_j |Σ_q F(q) exp(-iπ d_j q²…)|², with d_j the focal steps. Steps are what Dr. Probe
and SBD A.1 do. The kernel Σ_j w_j exp(-i(π/λ) d_j (s - s')), s = θ², is smooth, so that a few of its eigenmodes hold
it: each mode is a sum of coherent steps, and stands for many. Lengths in pm, angles in rad; must not know of waves
or pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEP_REACH = 2.0
"""Equal steps end at this many 1/e half-widths (SBD A.1; Dr. Probe); what is beyond weighs 0.5 %."""

MODE_STEPS, MODE_REACH = 81, 3.0
"""The modes' kernel is summed over this many steps up to this many half-widths: a whole Gaussian."""

MODE_TABLE = 1024
"""Points of θ² at which a mode is tabulated; linear in between (phases turn by 0.03 rad a point)."""

MODE_FALL, MODE_CENTRE = 3.0, 10.0
"""What the modes reproduce best: weight exp(-3 θ²/θ_max²), and 10 for the undiffracted beam, which takes part in all
linear contrast. With even weights nine modes do what eight do so (``study_convergence``)."""


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
    modes: int, spread_pm: float, convergence_rad: float, largest_angle_rad: float, wavelength_pm: float
) -> Tensor:
    """The leading eigenmodes of the focal kernel against θ², complex128 (mode, ``MODE_TABLE``), from 0 to the
    largest angle.

    Σ_m |Σ_q F(q) mode_m(q) …|² is the average. The envelope of convergence changes with focus: its part that is
    quadratic in the step, exp(-(α/2 · 2π/λ)² d² θ²), is in the modes, the mixed part (linear in the step, 0.05 % of the
    contrast at 0.2 mrad) is not.
    """
    steps, weights = focal_steps(MODE_STEPS, MODE_REACH)
    d = spread_pm * torch.tensor(steps, dtype=torch.float64)[:, None]
    s = torch.linspace(0, largest_angle_rad**2, MODE_TABLE, dtype=torch.float64)
    wavenumber = 2 * math.pi / wavelength_pm
    size = torch.tensor(weights, dtype=torch.float64).sqrt()[:, None]
    coherent = torch.polar(
        size * torch.exp(-((convergence_rad / 2 * wavenumber * d) ** 2) * s), -wavenumber / 2 * d * s
    )
    weight = torch.exp(-MODE_FALL * s / s[-1])
    weight[0] += MODE_CENTRE
    weighted = coherent * weight
    _, vectors = torch.linalg.eigh(weighted @ weighted.mH)  # rising
    leading = vectors[:, -modes:].flip(1)
    return leading.mH @ coherent
