"""Levenberg-Marquardt from many starts at once.

Residuals are whitened by the shot noise and by the error of the model (``MODEL_SHARE``); wide Gaussian priors keep
parameters, which the data do not tell, within what lenses are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segdepth.fitting.cells import Bin
from segdepth.fitting.model import NAMES, PLACE, CellModel

PRIORS = {
    "c1": (9.0, 7.0, -12.0, 32.0),
    "c3": (-13.0, 6.0, -60.0, 40.0),
    "a1x": (0.0, 2.2, -20.0, 20.0),
    "a1y": (0.0, 2.2, -20.0, 20.0),
    "b2x": (0.0, 65.0, -1000.0, 1000.0),
    "b2y": (0.0, 65.0, -1000.0, 1000.0),
    "a2x": (0.0, 110.0, -1500.0, 1500.0),
    "a2y": (0.0, 110.0, -1500.0, 1500.0),
    "focal_spread": (4.8, 1.2, 0.5, 15.0),
    "image_spread": (22.0, 7.0, 2.0, 60.0),
    "contrast": (0.87, 0.09, 0.3, 1.1),
    "background": (0.13, 0.09, 0.0, 0.6),
    "exit_share": (0.5, 0.35, -0.2, 1.2),
    "tilt_x": (0.0, 25.0, -1e3, 1e3),
    "tilt_y": (0.0, 25.0, -1e3, 1e3),
}
"""Middle, standard deviation, and limits of each parameter; the table limits the tilts."""

GIVEN_SHARE = 1e-3
"""Of its prior's width, what is left to a value that is held."""

THINNEST = 0.7
BEND_INSIDE_ATOMS, BEND_EDGE_ATOMS, BEND_REACH_PM = 0.7, 8.0, 500.0
"""Standard deviation of the change of slope of the thickness from bin to bin, per 400 pm: inside, and what is added at
the edge and falls off exponentially. Edges may be steep; farther in, the thickness is smooth."""

MODEL_SHARE, MODEL_FLOOR, MEAN_ERROR = 0.03, 0.001, 0.02
"""Error of the model: share of an order's amplitude, and absolute; of the mean, to which scattered electrons add."""

EDGE_SHARE = 0.1
"""The same share in the strip at the edge, where no cell is like the next one."""


@dataclass(frozen=True)
class Data:
    """What is fitted. values : (bin, value). whitening : (bin, value, value), by which residuals become
    white."""

    values: Tensor
    whitening: Tensor
    distance: np.ndarray

    @classmethod
    def of(cls, bins: Sequence[Bin], dtype: torch.dtype = torch.float64) -> Data:
        values = np.stack([each.values for each in bins])
        count = (values.shape[1] + 1) // 2
        whitening = []
        for number, each in enumerate(bins):
            share = EDGE_SHARE if number == 0 else MODEL_SHARE
            amplitude = np.hypot(each.values[1:count], each.values[count:])
            error = (share * amplitude) ** 2 / 2 + MODEL_FLOOR**2
            covariance = each.covariance + np.diag(np.concatenate([[MEAN_ERROR**2], error, error]))
            whitening.append(np.linalg.inv(np.linalg.cholesky(covariance)))
        return cls(
            torch.as_tensor(values, dtype=dtype),
            torch.as_tensor(np.stack(whitening), dtype=dtype),
            np.array([each.distance_pm for each in bins]),
        )

    def to(self, dtype: torch.dtype) -> Data:
        return Data(self.values.to(dtype), self.whitening.to(dtype), self.distance)


def as_values(orders: Tensor) -> Tensor:
    """(…, order) complex to (…, value): mean, real parts, imaginary parts."""
    return torch.cat([orders.real, orders.imag[..., 1:]], dim=-1)


class Fit:
    """Levenberg-Marquardt on many starts."""

    def __init__(self, model: CellModel, data: Data, given: Mapping[str, float] | None = None) -> None:
        self.model, self.data, self.given = model, data.to(model.dtype), dict(given or {})
        priors = PRIORS | {
            name: (value, GIVEN_SHARE * PRIORS[name][1], -1e9, 1e9) for name, value in self.given.items()
        }
        bins = len(data.distance)
        self.bins, self.size = bins, len(NAMES) + 3 * bins
        middle, deviation, low, high = (
            torch.tensor([priors[name][n] for name in NAMES], dtype=model.dtype) for n in range(4)
        )
        self.middle, self.deviation = middle, deviation
        most = model.table.most_tilt_mrad - 1
        low[PLACE["tilt_x"] :], high[PLACE["tilt_x"] :] = -most, most
        self.low = torch.cat([low, torch.full((bins,), THINNEST), torch.full((2 * bins,), -1e4)]).to(model.dtype)
        self.high = torch.cat([high, torch.full((bins,), model.table.thickest - 0.5), torch.full((2 * bins,), 1e4)]).to(
            model.dtype
        )
        bend = np.zeros((max(bins - 2, 0), self.size))
        x = data.distance / 400.0
        for row in range(bins - 2):
            at = len(NAMES) + row
            first, second = x[row + 1] - x[row], x[row + 2] - x[row + 1]
            allowed = BEND_INSIDE_ATOMS + BEND_EDGE_ATOMS * math.exp(-data.distance[row + 1] / BEND_REACH_PM)
            bend[row, at : at + 3] = np.array([1 / first, -1 / first - 1 / second, 1 / second]) / allowed
        prior = np.zeros((len(NAMES), self.size))
        prior[np.arange(len(NAMES)), np.arange(len(NAMES))] = 1 / deviation.numpy()
        self.prior = torch.as_tensor(np.concatenate([prior, bend]), dtype=model.dtype)
        self.aim = torch.cat([middle / deviation, torch.zeros(len(bend), dtype=model.dtype)])

    def modelled(self, p: Tensor) -> Tensor:
        """What the parameters make of the data, (start, bin, value)."""
        return as_values(self.model.orders(p)[0])

    def residuals(self, p: Tensor, slopes: bool = False) -> tuple[Tensor, Tensor | None]:
        """White residuals of data (start, bin, value), and their slopes (start, bin, value, parameter)."""
        orders, by = self.model.orders(p, slopes)
        off = as_values(orders) - self.data.values
        white = torch.einsum("kvw,skw->skv", self.data.whitening, off)
        if by is None:
            return white, None
        by = torch.cat([by.real, by.imag[:, :, 1:]], dim=2)
        return white, torch.matmul(self.data.whitening, by)

    def cost(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """χ² of data by bin (start, bin), and the priors' (start,)."""
        return self.residuals(p)[0].square().sum(-1), (p @ self.prior.T - self.aim).square().sum(-1)

    def normal(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """JᵀJ and Jᵀr, priors included."""
        white, by = self.residuals(p, True)
        by, white = by.flatten(1, 2), white.flatten(1)
        rest = p @ self.prior.T - self.aim
        square = by.mT @ by + self.prior.T @ self.prior
        return square, (by.mT @ white[..., None])[..., 0] + rest @ self.prior

    def run(self, p: Tensor, steps: int, tolerance: float = 1e-3) -> tuple[Tensor, Tensor]:
        """Parameters and total costs after at most so many steps."""
        damping = torch.full((len(p),), 1e-2, dtype=p.dtype)
        data, prior = self.cost(p)
        best = data.sum(1) + prior
        for _ in range(steps):
            square, right = self.normal(p)
            size = torch.diagonal(square, dim1=1, dim2=2).clamp_min(1e-9)
            tried = torch.linalg.solve_ex(square + torch.diag_embed(size * damping[:, None]), right)[0]
            new = torch.minimum(torch.maximum(p - tried, self.low), self.high)
            data, prior = self.cost(new)
            total = data.sum(1) + prior
            good = total < best
            gain = torch.where(good, best - total, 0.0)
            p = torch.where(good[:, None], new, p)
            best = torch.where(good, total, best)
            damping = torch.where(good, damping / 4, damping * 5).clamp(1e-7, 1e7)
            if bool(((gain < tolerance) & (good | (damping > 1e4))).all()):
                break
        return p, best
