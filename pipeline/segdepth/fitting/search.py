"""A coarse search over tilt, focus and thickness, which gives the fit its starts; and leaps from where these end.

Each bin is compared by itself, at every shift of its cell; what suits all bins together is put together afterwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segdepth.fitting.model import NAMES, PLACE, CellModel
from segdepth.fitting.solve import Data, Fit
from segdepth.fitting.wave_table import WaveTable


@dataclass(frozen=True)
class Coarse:
    """The search's grid: tilts (tilt, 2) in mrad, C1 in nm, thickness in periods."""

    tilts: Tensor
    c1: Tensor
    thickness: Tensor


def coarse_grid(table: WaveTable, step_mrad: float = 8.0) -> Coarse:
    """The grid over all that a table holds."""
    most = min(table.most_tilt_mrad - 1, 46.0)
    line = step_mrad * np.arange(-int(most / step_mrad), int(most / step_mrad) + 1)
    tilts = np.array([(x, y) for x in line for y in line if np.hypot(x, y) <= most])
    thickness = [n for n in range(1, table.thickest) if n < 16 or n % 2 == 0]
    return Coarse(torch.as_tensor(tilts), torch.arange(-5.0, 25.0, 1.0), torch.tensor(thickness, dtype=torch.float32))


SEARCHED_ORDERS = 9
SEARCH_SHARE = 0.25
"""In the search, lens aberrations are 0: the model's error as a share of an order's amplitude."""


def search(model: CellModel, data: Data, grid: Coarse, base: Tensor) -> tuple[Tensor, Tensor]:
    """χ² (tilt, C1, thickness, bin) and the shift (tilt, C1, thickness, bin, 2) at which it is least, pm.

    ``base`` : all other parameters. ``model`` has the first ``SEARCHED_ORDERS`` orders only. Shift and contrast are
    chosen for each point.
    """
    tilts, focuses, counts = len(grid.tilts), len(grid.c1), len(grid.thickness)
    count = (data.values.shape[1] + 1) // 2
    orders = len(model.frequency)
    found = data.values[:, 1:orders] + 1j * data.values[:, count : count + orders - 1]
    noise = torch.linalg.inv(data.whitening)
    noise = torch.diagonal(noise @ noise.mT, dim1=1, dim2=2)[:, 1:orders]
    weight = 1 / (noise + (SEARCH_SHARE * found.abs()) ** 2 / 2 + 0.003**2)
    sides = model.table.crystal.periods_pm[:2]
    shifts = torch.as_tensor(
        np.array([(x * sides[0] / 16, y * sides[1] / 12) for x in range(16) for y in range(12)]), dtype=model.dtype
    )
    turn = torch.polar(torch.ones((), dtype=model.dtype), -2 * math.pi * (shifts @ model.frequency[1:].T))
    power = (weight * found.abs() ** 2).sum(1)
    chi2 = torch.empty((tilts, focuses, counts, len(data.distance)), dtype=model.dtype)
    place = torch.empty((tilts, focuses, counts, len(data.distance)), dtype=torch.long)
    for n, tilt in enumerate(grid.tilts):
        p = base.repeat(focuses, 1)
        p[:, 0] = grid.c1
        p[:, PLACE["exit_share"]] = 0
        p[:, PLACE["tilt_x"]], p[:, PLACE["tilt_y"]] = tilt[0], tilt[1]
        thick = grid.thickness.to(model.dtype).expand(focuses, -1)
        made = model.orders(torch.cat([p, thick, torch.zeros((focuses, 2 * counts), dtype=model.dtype)], 1))[0][..., 1:]
        for k in range(len(data.distance)):
            product = (weight[k] * found[k].conj() * made).flatten(0, 1)
            agreement = product.real @ turn.real.T - product.imag @ turn.imag.T
            most, at = agreement.max(1)
            size = (weight[k] * made.abs() ** 2).sum(-1).flatten()
            scale = (most / size.clamp_min(1e-12)).clamp(0.4, 1.3)
            chi2[n, :, :, k] = (power[k] - 2 * scale * most + scale**2 * size).view(focuses, counts)
            place[n, :, :, k] = at.view(focuses, counts)
    return chi2, shifts[place]


def starts(
    chi2: Tensor,
    shifts: Tensor,
    grid: Coarse,
    base: Tensor,
    period_pm: float,
    number: int,
    shares: Sequence[float] = (0.0, 0.5, 1.0),
) -> Tensor:
    """The best starts (start, parameter) that differ from each other.

    For each tilt, focus and thickness of the last bin, and share of the exit face, every other bin takes its best
    thickness at the focus that follows.
    """
    tilts, focuses, counts, bins = chi2.shape
    step = float(grid.c1[1] - grid.c1[0])
    found = []
    for share in shares:
        lacking = grid.thickness[:, None] - grid.thickness[None, :]  # (last, other)
        moved = (share * lacking * period_pm / 1000 / step).round().long()
        index = torch.arange(focuses)[:, None, None] + moved  # (focus, last, other)
        outside = (index < 0) | (index >= focuses) | (lacking < -4)[None]
        index = index.clamp(0, focuses - 1)
        other = torch.arange(counts).expand_as(index)
        total = chi2[..., -1].clone()
        chosen = []
        for k in range(bins - 1):
            each = chi2[..., k][:, index, other]  # (tilt, focus, last, other)
            least, at = each.masked_fill(outside, 1e9).min(-1)
            total += least.clamp_max(1e6)
            chosen.append(at)
        found.append((total, index, torch.stack(chosen, -1) if chosen else torch.empty((*total.shape, 0)).long()))
    totals = torch.stack([each[0] for each in found])
    order = totals.flatten().argsort()
    taken, kept = {}, []
    for flat in order[: 40 * number].tolist():
        s, t, f, n = np.unravel_index(flat, totals.shape)
        key = (int(t), round(float(grid.c1[f]) / 2), round(float(grid.thickness[n]) / 3))
        if taken.get(key, 0) >= 2:
            continue
        taken[key] = taken.get(key, 0) + 1
        index, at = found[s][1], found[s][2][t, f, n]
        p = base.clone()
        p[0] = grid.c1[f]
        p[PLACE["exit_share"]] = shares[s]
        p[PLACE["tilt_x"]], p[PLACE["tilt_y"]] = grid.tilts[t]
        thick = [*(grid.thickness[a] for a in at), grid.thickness[n]]
        where = [shifts[t, index[f, n, a], a, k] for k, a in enumerate(at)] + [shifts[t, f, n, bins - 1]]
        kept.append(torch.cat([p, torch.stack(thick).to(p.dtype), torch.stack(where).flatten().to(p.dtype)]))
        if len(kept) == number:
            break
    return torch.stack(kept)


LEAP_ATOMS, LEAP_C1_NM = 3.0, 3.0
"""Leaps of all thicknesses, and of C1: farther than a descent goes by itself."""


def leaps(fit: Fit, p: Tensor) -> Tensor:
    """Starts (start, parameter) around minima p, where others with nearly the same image lie.

    A zone axis with mirrors nearly shows the same after the tilt is mirrored or reversed, thickness comes back with the
    extinction, and both trade with C1. Everything else stays as it is.
    """
    bins = slice(len(NAMES), len(NAMES) + fit.bins)
    found = []
    for along, across, atoms, c1 in itertools.product((1, -1), (1, -1), (0, -1, 1), (0, -1, 1)):
        if (along, across, atoms, c1) != (1, 1, 0, 0):
            moved = p.clone()
            moved[:, PLACE["tilt_x"]] *= along
            moved[:, PLACE["tilt_y"]] *= across
            moved[:, PLACE["c1"]] += LEAP_C1_NM * c1
            moved[:, bins] += LEAP_ATOMS * atoms
            found.append(moved)
    return torch.minimum(torch.maximum(torch.cat(found), fit.low), fit.high)
