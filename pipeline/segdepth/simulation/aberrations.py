"""Lens values, and the aberration function and its slope on a grid of angles.

χ(w) = (2π/λ) Re{ C1 w̄w/2 + Ā1 w²/2 + B̄2 w²w̄ + Ā2 w³/3 + C3 (w̄w)²/4 + C5 (w̄w)³/6 }, w = θx + iθy (Uhlemann and
Haider, Ultramicroscopy 72 (1998) 109; their names), C1 > 0 is overfocus. A1, B2, A2 stand for |A1| e^{2iφ}, |B2|
e^{iφ}, |A2| e^{3iφ}; φ is the azimuth, from x towards y. In Krivanek's notation C12 = A1, C21 = 3 B2, C23 = A2.
Lengths in pm, angles in rad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """Lens and camera values of a batch: tensors of shape (batch,), in pm and rad.

    ``mtf_decay`` is -ln MTF at the camera's Nyquist frequency. ``image_spread_pm`` is the quadratic mean of the spreads
    l along the azimuth and s across it, ``image_spread_oval`` = (l² - s²) / (l² + s²). ``blurred_share`` of the
    electrons have lost their detail, ``background`` is uniform, as a share of vacuum; ``drift_pm`` is the whole length.
    """

    c1_pm: Tensor
    c3_pm: Tensor
    c5_pm: Tensor
    a1_pm: Tensor
    a1_azimuth_rad: Tensor
    b2_pm: Tensor
    b2_azimuth_rad: Tensor
    a2_pm: Tensor
    a2_azimuth_rad: Tensor
    focal_spread_pm: Tensor
    convergence_rad: Tensor
    image_spread_pm: Tensor
    mtf_decay: Tensor
    blurred_share: Tensor
    background: Tensor
    image_spread_oval: Tensor
    image_spread_azimuth_rad: Tensor
    drift_pm: Tensor
    drift_azimuth_rad: Tensor

    @classmethod
    def from_values(
        cls,
        columns: Mapping[str, Sequence[float]],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Self:
        """From ``{field: sequence of length batch}``; fields that are not given are 0.

        Raises
        ------
        ValueError
            A name is no field.
        """
        names = [field.name for field in fields(cls)]
        if unknown := set(columns) - set(names):
            raise ValueError(f"a lens has no {', '.join(sorted(unknown))}; it has {', '.join(names)}")
        length = len(next(iter(columns.values())))
        return cls(
            **{name: torch.as_tensor(columns.get(name, [0.0] * length), device=device, dtype=dtype) for name in names}
        )

    def part(self, which: slice) -> Self:
        """The lens of a part of the batch."""
        return type(self)(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        return type(self)(**{f.name: getattr(self, f.name).to(device, dtype) for f in fields(self)})

    @property
    def is_round(self) -> bool:
        """No aberration depends on the azimuth."""
        return not (self.a1_pm.any() or self.b2_pm.any() or self.a2_pm.any())

    @property
    def least_image_spread_pm(self) -> float:
        """The smallest image spread of the batch along any direction."""
        return float((self.image_spread_pm * (1 - self.image_spread_oval).sqrt()).min())


def _each(values: Tensor) -> Tensor:
    return values[:, None, None]


def aberration_function(lens: Lens, theta_x: Tensor, theta_y: Tensor, wavelength_pm: float) -> Tensor:
    """χ in rad, (batch, y, x), at angles that broadcast to (y, x)."""
    s = theta_x**2 + theta_y**2
    chi = s * (_each(lens.c1_pm) / 2 + s * (_each(lens.c3_pm) / 4 + s * _each(lens.c5_pm) / 6))
    if not lens.is_round:
        square_x, square_y = theta_x**2 - theta_y**2, 2 * theta_x * theta_y  # w²
        cube_x = square_x * theta_x - square_y * theta_y  # w³
        cube_y = square_x * theta_y + square_y * theta_x
        a1_x, a1_y = _parts(lens.a1_pm, lens.a1_azimuth_rad, 2)
        b2_x, b2_y = _parts(lens.b2_pm, lens.b2_azimuth_rad, 1)
        a2_x, a2_y = _parts(lens.a2_pm, lens.a2_azimuth_rad, 3)
        chi = chi + (a1_x * square_x + a1_y * square_y) / 2
        chi = chi + s * (b2_x * theta_x + b2_y * theta_y) + (a2_x * cube_x + a2_y * cube_y) / 3
    return 2 * math.pi / wavelength_pm * chi


def aberration_slope(lens: Lens, theta_x: Tensor, theta_y: Tensor) -> tuple[Tensor, Tensor]:
    """λ/2π · ∇χ in pm, the displacement of a beam's image along x and y, each (batch, y, x)."""
    s = theta_x**2 + theta_y**2
    round_part = _each(lens.c1_pm) + s * (_each(lens.c3_pm) + s * _each(lens.c5_pm))
    slope_x, slope_y = theta_x * round_part, theta_y * round_part
    if not lens.is_round:
        square_x, square_y = theta_x**2 - theta_y**2, 2 * theta_x * theta_y
        a1_x, a1_y = _parts(lens.a1_pm, lens.a1_azimuth_rad, 2)
        b2_x, b2_y = _parts(lens.b2_pm, lens.b2_azimuth_rad, 1)
        a2_x, a2_y = _parts(lens.a2_pm, lens.a2_azimuth_rad, 3)
        # A1 w̄ + B̄2 w² + 2 B2 w̄w + A2 w̄²
        slope_x = slope_x + a1_x * theta_x + a1_y * theta_y + b2_x * square_x + b2_y * square_y
        slope_x = slope_x + 2 * b2_x * s + a2_x * square_x + a2_y * square_y
        slope_y = slope_y + a1_y * theta_x - a1_x * theta_y + b2_x * square_y - b2_y * square_x
        slope_y = slope_y + 2 * b2_y * s + a2_y * square_x - a2_x * square_y
    return slope_x, slope_y


def _parts(size: Tensor, azimuth: Tensor, multiplicity: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of size · exp(i · multiplicity · azimuth), for broadcasting."""
    return _each(size * torch.cos(multiplicity * azimuth)), _each(size * torch.sin(multiplicity * azimuth))
