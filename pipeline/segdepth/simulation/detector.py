"""The electron-counting detector: dose and shot noise (SegDepth III-B3, eqs. 1 and 2).

A counting detector registers each electron with a small position error and loses some. So its MTF acts on the expected
intensity, before the noise (``segdepth.simulation.optics``), lost electrons make a lower dose, and counts of
neighbouring pixels stay independent: DQE(q) = DQE(0) · MTF(q)², beside the pixel's box. (An integrating camera would
blur the noise as well.)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segdepth.config.fields import PAPER_PIXEL_PM


def electrons_per_pixel(
    dose_lambda: float | np.ndarray, pixel_pm: float, detection_efficiency: float = 1.0
) -> float | np.ndarray:
    """Electrons that a pixel counts in vacuum: λ scaled by area (λ = 2.5 is 40 at 21.1 pm, 895 e⁻/Å²) and by DQE(0)."""
    return dose_lambda * detection_efficiency * (pixel_pm / PAPER_PIXEL_PM) ** 2


def electrons_per_square_angstrom(dose_lambda: float) -> float:
    return dose_lambda / (PAPER_PIXEL_PM / 100) ** 2


def add_shot_noise(intensity: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """x = Poisson(λc)/λ (eq. 1) with ``electrons`` as λ; mean c, variance c/λ; float32."""
    return (rng.poisson(np.maximum(intensity, 0) * electrons) / electrons).astype(np.float32)


def add_shot_noise_batch(intensity: Tensor, electrons: Tensor | float, generator: torch.Generator) -> Tensor:
    """The same on a device, ``electrons`` a number or a tensor that broadcasts against the batch."""
    return torch.poisson(intensity.clamp_min(0) * electrons, generator=generator) / electrons
