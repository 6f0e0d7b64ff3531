"""What blurs the intensity on its way to the counts, as factors on its spectrum. Lengths in pm, frequencies in 1/pm.

Image spread (a Gaussian, round or oval), the camera's MTF, a straight drift, and electrons that have lost their detail:
they were scattered inelastically, over a distance of some 0.4 nm (plasmons), so that their image is that of the others
blurred by as much. All factors are 1 at frequency 0, so that the mean, and vacuum, stay as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segdepth.simulation.aberrations import Lens

LOST_DETAIL_PM = 400.0
"""Rms blur of the share of electrons that ``contrast_factor`` leaves."""


def spectrum_factor(lens: Lens, x: Tensor, y: Tensor, squared: Tensor, mtf_power: Tensor) -> Tensor:
    """The factor on the intensity's spectrum, (batch, y, x), real.

    exp(-2π² (l² q∥² + s² q⊥²)) · exp(-mtf_decay · mtf_power) · sinc(q · drift) · (1 - p + p exp(-2π² 400² q²)), with
    l and s the spreads along the azimuth of the image spread and across it, p the blurred share.

    Parameters
    ----------
    lens : values of the batch.
    x, y : frequencies along the axes, (x,) and (y,); ``squared`` is x² + y², (y, x).
    mtf_power : (q / q_Nyquist)^exponent of the camera, (y, x).
    """
    twice_variance = 2 * (math.pi * lens.image_spread_pm).square()
    exponent = -twice_variance[:, None, None] * squared
    if lens.image_spread_oval.any():
        along, across = _parts(twice_variance * lens.image_spread_oval, 2 * lens.image_spread_azimuth_rad)
        exponent = exponent - along * (x**2 - y[:, None] ** 2) - across * (2 * x * y[:, None])
    if lens.mtf_decay.any():
        exponent = exponent - lens.mtf_decay[:, None, None] * mtf_power
    factor = torch.exp(exponent)
    if lens.drift_pm.any():
        drift_x, drift_y = _parts(lens.drift_pm, lens.drift_azimuth_rad)
        factor = factor * torch.sinc(drift_x * x + drift_y * y[:, None])
    if lens.blurred_share.any():
        lost = -torch.expm1(-2 * (math.pi * LOST_DETAIL_PM) ** 2 * squared)
        factor = factor * (1 - lens.blurred_share[:, None, None] * lost)
    return factor


def _parts(size: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """size · cos and size · sin of an angle, for broadcasting."""
    return (size * torch.cos(angle))[:, None, None], (size * torch.sin(angle))[:, None, None]
