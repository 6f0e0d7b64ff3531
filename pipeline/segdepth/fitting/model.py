"""Fourier orders of the image of a periodic crystal, as the image former makes them, and their slopes.

|ψ|² of a periodic wave has the orders I(G) = Σ_g ψ(g + G) ψ*(g) E(g + G, g): with the phases of the lens in ψ and the
mixed envelope of the focal spread in E, which for a Gaussian spread Δ is exp(-(πΔ (θ₁² - θ₂²) / 2λ)²), no average over
focus is needed. Image spread, the pixel's box and the contrast act on each order. Everything is a sum over pairs of
beams, so values and slopes of many starts and bins come from a few products of matrices.

Parameters of a fit, in this order (``NAMES``), then a thickness for each bin, then a shift along x and y for each bin:
the average cell's origin is not known, and tilt moves columns. Lengths in pm inside, in the imaging block's units
outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segdepth.fitting.wave_table import WaveTable
from segdepth.simulation.aberrations import Lens, aberration_function, aberration_slope
from segdepth.simulation.blurring import LOST_DETAIL_PM

LINEAR = ("c1", "c3", "a1x", "a1y", "b2x", "b2y", "a2x", "a2y")
"""Parameters in which the aberration function is linear: nm, µm, and nm for the others."""

NAMES = (*LINEAR, "focal_spread", "image_spread", "contrast", "background", "exit_share", "tilt_x", "tilt_y")
"""nm, pm, 1, 1, 1, mrad, mrad. ``exit_share``: how much of the thinning towards the edge is on the exit face; C1 counts
from the exit face of the last bin."""

PLACE = {name: number for number, name in enumerate(NAMES)}

UNITS_PM = {"c1": 1e3, "c3": 1e6, "a1x": 1e3, "a1y": 1e3, "b2x": 1e3, "b2y": 1e3, "a2x": 1e3, "a2y": 1e3}

_FIELDS = {
    "c1": ("c1_pm", 0.0),
    "c3": ("c3_pm", 0.0),
    "a1x": ("a1_pm", 0.0),
    "a1y": ("a1_pm", math.pi / 4),
    "b2x": ("b2_pm", 0.0),
    "b2y": ("b2_pm", math.pi / 2),
    "a2x": ("a2_pm", 0.0),
    "a2y": ("a2_pm", math.pi / 6),
}
"""The lens's field, and the azimuth at which one part of it stands alone."""


def _unit_lens(name: str, size: float) -> Lens:
    field, azimuth = _FIELDS[name]
    values = {field: [size]}
    if field[:2] in ("a1", "b2", "a2"):
        values[field.replace("_pm", "_azimuth_rad")] = [azimuth]
    return Lens.from_values(values)


@dataclass(frozen=True)
class Held:
    """What is not fitted. box : (order,) what the pixel's box leaves of each order."""

    c5_mm: float
    convergence_mrad: float
    box: np.ndarray


class CellModel:
    """The orders of the average unit cells of some bins, for many starts at once.

    Parameters
    ----------
    table : waves of the crystal.
    orders : (order, 2) whole, the first (0, 0), of each Friedel pair one.
    held : what is not fitted.
    most_angle_mrad : beams beyond are left out.
    """

    def __init__(
        self, table: WaveTable, orders: np.ndarray, held: Held, dtype: torch.dtype, most_angle_mrad: float = 1e3
    ) -> None:
        self.dtype, self.held = dtype, held
        self.complex = torch.complex64 if dtype == torch.float32 else torch.complex128
        wavelength, (side_x, side_y, self.period_pm) = table.wavelength_pm, table.crystal.periods_pm
        theta = table.orders * wavelength / np.array([side_x, side_y])
        near = np.hypot(*theta.T) <= most_angle_mrad / 1000
        beams, theta = table.orders[near], torch.as_tensor(theta[near])
        self.table = WaveTable(
            table.crystal,
            table.energy_kev,
            beams,
            table.coefficients[..., torch.as_tensor(near)] if not near.all() else table.coefficients,
            table.first_thickness,
            table.tilts_mrad,
        )
        place = {(int(h), int(k)): number for number, (h, k) in enumerate(beams)}
        up = [[place.get((h + gh, k + gk), -1) for h, k in beams] for gh, gk in orders]
        down = [[place.get((h - gh, k - gk), -1) for h, k in beams] for gh, gk in orders]
        self.up, self.down = (torch.as_tensor(index) for index in (up, down))
        tx, ty = theta[None, :, 0], theta[None, :, 1]
        chi, slope_x, slope_y = [], [], []
        for name in LINEAR:
            lens = _unit_lens(name, UNITS_PM[name])
            chi.append(aberration_function(lens, tx, ty, wavelength)[0, 0])
            for found, part in zip((slope_x, slope_y), aberration_slope(lens, tx, ty)):
                found.append(part[0, 0])
        fixed = Lens.from_values({"c5_pm": [held.c5_mm * 1e9]})
        self.chi = torch.stack(chi).to(dtype)
        self.chi_fixed = aberration_function(fixed, tx, ty, wavelength)[0, 0].to(dtype)
        self.slopes = [torch.stack(found).to(dtype) for found in (slope_x, slope_y)]
        self.slopes_fixed = [part[0, 0].to(dtype) for part in aberration_slope(fixed, tx, ty)]
        self.decay = (held.convergence_mrad / 1000 * math.pi / wavelength) ** 2
        square = (theta**2).sum(1)
        # of the pair (c, c - G): difference of phases' slopes, and of θ²
        below = self.down.clamp_min(0)
        self.paired = (self.down >= 0).to(self.complex)
        differences = self.chi[:, None, :] - self.chi[:, below]  # (parameter, order, beam)
        self.spread = ((math.pi * 1000 / (2 * wavelength)) * (square - square[below])).to(dtype) ** 2  # per nm²
        above = self.up.clamp_min(0)
        self.paired_up = (self.up >= 0).to(self.complex)
        self.spread_up = ((math.pi * 1000 / (2 * wavelength)) * (square[above] - square)).to(dtype) ** 2
        columns = torch.cat([-1j * differences, -2 * self.spread[None].to(self.complex)]).to(self.complex)
        self.columns = columns.permute(1, 2, 0).contiguous()  # (order, beam, 9)
        frequency = orders / np.array([side_x, side_y])
        self.frequency = torch.as_tensor(frequency, dtype=dtype)
        self.square = (self.frequency**2).sum(1)
        self.box = torch.as_tensor(held.box, dtype=dtype)
        self.blurred = torch.exp(-2 * (math.pi * LOST_DETAIL_PM) ** 2 * self.square)
        self.first = torch.zeros(len(orders), dtype=dtype)
        self.first[0] = 1

    def split(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Common parameters (start, 15), thickness (start, bin), shifts (start, bin, 2)."""
        count = len(NAMES)
        bins = (p.shape[1] - count) // 3
        return p[:, :count], p[:, count : count + bins], p[:, count + bins :].unflatten(1, (bins, 2))

    def local_c1(self, common: Tensor, thickness: Tensor) -> Tensor:
        """C1 in nm from each bin's own exit face, (start, bin): the last bin's lies lower by its share of what the
        others lack."""
        lacking = thickness[:, -1:] - thickness
        return common[:, :1] + common[:, PLACE["exit_share"], None] * lacking * self.period_pm / 1000

    def _transferred(self, common: Tensor, c1: Tensor) -> Tensor:
        """exp(-iχ) and the envelope of convergence, (start, bin, beam)."""
        linear = common[:, None, : len(LINEAR)].expand(-1, c1.shape[1], -1).clone()
        linear[..., 0] = c1
        chi = linear @ self.chi + self.chi_fixed
        x, y = (linear @ slope + fixed for slope, fixed in zip(self.slopes, self.slopes_fixed))
        return torch.polar(torch.exp(-self.decay * (x**2 + y**2)), -chi)

    def orders(self, p: Tensor, slopes: bool = False) -> tuple[Tensor, Tensor | None]:
        """Orders (start, bin, order), vacuum = 1, and their slopes (start, bin, order, parameter).

        Parameters
        ----------
        p : (start, parameter), see the module. The slope of the envelope of convergence is left out: it changes
            nothing.
        """
        common, thickness, shifts = self.split(p)
        c1 = self.local_c1(common, thickness)
        lens = self._transferred(common, c1)
        waves, wave_slopes = self.table.waves(thickness, common[:, PLACE["tilt_x"] : PLACE["tilt_y"] + 1])
        psi = waves * lens
        spread = common[:, PLACE["focal_spread"], None, None]
        envelope = torch.exp(-(spread**2) * self.spread) * self.paired
        lower = psi.conj()[:, :, self.down.clamp_min(0)] * envelope[:, None]  # (start, bin, order, beam)
        pairs = psi[:, :, None] * lower
        plain = pairs.sum(-1)
        # every order's own factors
        q = self.square
        blur = torch.exp(-2 * (math.pi * common[:, PLACE["image_spread"], None]) ** 2 * q) * self.box
        s, b = common[:, PLACE["contrast"], None], common[:, PLACE["background"], None]
        detail = (s + (1 - s) * self.blurred) / (1 + b)
        turn = torch.polar(torch.ones((), dtype=self.dtype), -2 * math.pi * (shifts @ self.frequency.T))
        factor = (blur * detail)[:, None] * turn
        offset = (b / (1 + b))[:, None] * self.first
        image = plain * factor + offset
        if not slopes:
            return image, None
        columns = torch.einsum("skgb,gbp->skgp", pairs, self.columns)
        upper = psi[:, :, self.up.clamp_min(0)] * (torch.exp(-(spread**2) * self.spread_up) * self.paired_up)[:, None]
        moved = wave_slopes * lens[:, :, None]
        by_wave = torch.einsum("sktb,skgb->skgt", moved, lower) + torch.einsum("sktb,skgb->skgt", moved.conj(), upper)
        bins = thickness.shape[1]
        out = torch.zeros((*image.shape, p.shape[1]), dtype=self.complex)
        linear = len(LINEAR)
        out[..., :linear] = columns[..., :linear]
        out[..., PLACE["focal_spread"]] = columns[..., linear] * spread
        per_share = self.period_pm / 1000 * columns[..., 0]
        share = common[:, PLACE["exit_share"], None, None]
        out[..., PLACE["exit_share"]] = per_share * (thickness[:, -1:] - thickness)[..., None]
        out[..., PLACE["tilt_x"]], out[..., PLACE["tilt_y"]] = by_wave[..., 1], by_wave[..., 2]
        start = len(NAMES)
        for n in range(bins):
            out[:, n, :, start + n] = by_wave[:, n, :, 0]
            if n < bins - 1:
                out[:, n, :, start + n] -= (per_share * share)[:, n]
                out[:, n, :, start + bins - 1] += (per_share * share)[:, n]
        out = out * factor[..., None]
        vibration = common[:, PLACE["image_spread"], None, None]
        out[..., PLACE["image_spread"]] = -4 * math.pi**2 * vibration * q * plain * factor
        unit = (blur[:, None] * turn) * plain
        out[..., PLACE["contrast"]] = unit * ((1 - self.blurred) / (1 + b))[:, None]
        out[..., PLACE["background"]] = (self.first - image) / (1 + b)[:, None]
        for n in range(bins):
            for axis in (0, 1):
                out[:, n, :, start + bins + 2 * n + axis] = (
                    -2j * math.pi * self.frequency[:, axis] * plain[:, n] * factor[:, n]
                )
        return image, out


_PARTS = {"a1_nm": ("a1x", "a1y", "a1_azimuth_deg", 2), "b2_nm": ("b2x", "b2y", "b2_azimuth_deg", 1),
          "a2_nm": ("a2x", "a2y", "a2_azimuth_deg", 3)}  # fmt: skip
_ALIKE = {
    "defocus_nm": "c1",
    "c3_um": "c3",
    "focal_spread_nm": "focal_spread",
    "image_spread_pm": "image_spread",
    "contrast_factor": "contrast",
    "background": "background",
    "exit_share": "exit_share",
}
LEAN_DEG = -math.degrees(1e-3)
"""Lean of the zone axis that does what a beam tilt of 1 mrad does."""


def as_imaging(common: np.ndarray) -> dict[str, float]:
    """Values of the common parameters in the imaging block's units and names."""
    found = {name: float(common[PLACE[mine]]) for name, mine in _ALIKE.items()}
    for size, (x, y, azimuth, fold) in _PARTS.items():
        vector = complex(common[PLACE[x]], common[PLACE[y]])
        found[size], found[azimuth] = abs(vector), math.degrees(np.angle(vector)) / fold
    for axis in "xy":
        found[f"tilt_{axis}_deg"] = LEAN_DEG * float(common[PLACE[f"tilt_{axis}"]])
    return found


def imaging_slopes(common: np.ndarray) -> dict[str, np.ndarray]:
    """Slopes (parameter,) of each of these values by the common parameters."""
    found = {name: np.eye(len(NAMES))[PLACE[mine]] for name, mine in _ALIKE.items()}
    for size, (x, y, azimuth, fold) in _PARTS.items():
        along, across = np.zeros(len(NAMES)), np.zeros(len(NAMES))
        vector = complex(common[PLACE[x]], common[PLACE[y]])
        turn = vector / abs(vector) if vector else 1.0 + 0j
        along[[PLACE[x], PLACE[y]]] = turn.real, turn.imag
        across[[PLACE[x], PLACE[y]]] = -turn.imag, turn.real
        found[size], found[azimuth] = along, across * math.degrees(1) / fold / max(abs(vector), 1e-9)
    for axis in "xy":
        found[f"tilt_{axis}_deg"] = LEAN_DEG * np.eye(len(NAMES))[PLACE[f"tilt_{axis}"]]
    return found
