"""From average unit cells to a fit of lens, tilt and thickness, with its errors and its rivals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segdepth.fitting.cells import Cells
from segdepth.fitting.model import NAMES, PLACE, CellModel, Held, as_imaging, imaging_slopes
from segdepth.fitting.result import FittedBin, Rival
from segdepth.fitting.search import SEARCHED_ORDERS, coarse_grid, leaps, search, starts
from segdepth.fitting.solve import Data, Fit
from segdepth.fitting.wave_table import WaveTable

FIRST_STARTS, STARTS, FURTHER_STARTS = 64, 192, 64
"""Starts of the coarse search that all go down; where none of them explains the data; for each astigmatism."""

FIRST_STEPS = 8
KEPT_SHARE, SECOND_STEPS = 4, 25
POLISHED, LAST_STEPS = 5, 15

LEAPING, LEAP_ROUNDS = 3, 4
"""Minima from which the search leaps in one round, and the most rounds."""

SEARCH_ANGLE_MRAD = 23.0
"""Beams of the coarse search."""

GOOD_ENOUGH = 1.5
"""χ² per degree of freedom from which on further starts, with astigmatism, are tried."""

TRIED_A1_NM, TRIED_AZIMUTHS = 3.0, 6

EXPLAINED = 1.5
"""Largest χ² per degree of freedom that is called explained."""

SAME_C1_NM, SAME_ATOMS, SAME_TILT_MRAD = 1.0, 2.0, 8.0
"""Minima that differ by less, in all three, are one solution."""

ERROR_FACTOR = 1.5
"""Stated errors are so many times those of the curvature of χ²: what the model leaves out is not independent from order
to order, and valleys are not parabolas. Found on simulated frames of known truth (``benchmarks/lens_fit.py``)."""

RIVAL_SHARE = 0.1
"""A minimum whose χ² per degree of freedom is larger by less than so much of the best one's is its rival."""


@dataclass(frozen=True)
class Solution:
    """What ``fit_cells`` found: fields as in ``LensFit``. correlated : pairs of parameters that the data hardly tell
    apart, and their correlation. data, model : (bin, value) as in ``cells.Bin``. cell_model, parameters :
    by which ``model`` was made."""

    values: dict[str, float]
    errors: dict[str, float | None]
    bins: tuple[FittedBin, ...]
    chi2: float
    dof: float
    rivals: tuple[Rival, ...]
    explained: bool
    correlated: tuple[tuple[str, str, float], ...]
    data: np.ndarray
    model: np.ndarray
    cell_model: CellModel
    parameters: Tensor


def fit_cells(
    cells: Cells,
    table: WaveTable,
    *,
    c5_mm: float = 5.0,
    convergence_mrad: float = 0.2,
    given: dict[str, float] | None = None,
) -> Solution:
    """Fit average unit cells.

    Parameters
    ----------
    c5_mm, convergence_mrad : held.
    given : further values that are held, by name in ``model.NAMES`` and its units.
    """
    held = Held(c5_mm, convergence_mrad, cells.box)
    data = Data.of(cells.bins)
    first = Fit(CellModel(table, cells.orders, held, torch.float32), data, given)
    degrees = _degrees(first, data)
    begun = _starts(first, table, cells, held, data, (0.0, 0.0), STARTS)
    best, costs = _leapt(first, *_descended(first, begun[:FIRST_STARTS]))
    if float(costs[0]) > GOOD_ENOUGH * degrees.sum():
        turned = [_starts(first, table, cells, held, data, a1, FURTHER_STARTS) for a1 in _astigmatisms()]
        best, costs = _joined((best, costs), _descended(first, torch.cat([begun[FIRST_STARTS:], *turned])))
        best, costs = _leapt(first, best, costs)
    last = Fit(CellModel(table, cells.orders, held, torch.float64), data, given)
    chosen = _distinct(first, best, costs, POLISHED)
    polished, costs = last.run(best[chosen].double(), LAST_STEPS, tolerance=1e-4)
    polished, costs = polished[costs.argsort()], costs.sort().values
    chosen = _distinct(last, polished, costs, POLISHED)
    return _solution(last, polished[chosen], costs[chosen], cells, degrees)


def _astigmatisms() -> list[tuple[float, float]]:
    angles = 2 * np.pi * np.arange(TRIED_AZIMUTHS) / TRIED_AZIMUTHS
    return [(TRIED_A1_NM * math.cos(angle), TRIED_A1_NM * math.sin(angle)) for angle in angles]


def _starts(
    fit: Fit, table: WaveTable, cells: Cells, held: Held, data: Data, a1_nm: tuple[float, float], number: int
) -> Tensor:
    """The coarse search's best starts at an astigmatism."""
    coarse = Held(held.c5_mm, held.convergence_mrad, held.box[:SEARCHED_ORDERS])
    model = CellModel(table, cells.orders[:SEARCHED_ORDERS], coarse, torch.float32, SEARCH_ANGLE_MRAD)
    grid = coarse_grid(table)
    base = fit.middle.clone()
    base[PLACE["a1x"]], base[PLACE["a1y"]] = a1_nm
    return starts(*search(model, data.to(torch.float32), grid, base), grid, base, model.period_pm, number)


def _descended(fit: Fit, p: Tensor) -> tuple[Tensor, Tensor]:
    """Where starts end, best first: all go some steps, the best of them to the end."""
    p, costs = fit.run(p, FIRST_STEPS)
    p, costs = fit.run(p[costs.argsort()[: max(len(p) // KEPT_SHARE, 16)]], SECOND_STEPS)
    order = costs.argsort()
    return p[order], costs[order]


def _joined(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Parameters and costs of both, best first."""
    p, costs = torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])
    order = costs.argsort()
    return p[order], costs[order]


def _leapt(fit: Fit, p: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """Minima, best first, with those that leaps from the best of them lead to, until these have all been tried."""
    tried: list[Tensor] = []
    for _ in range(LEAP_ROUNDS):
        chosen = [n for n in _distinct(fit, p, costs, LEAPING) if not any(_same(fit, p[n], each) for each in tried)]
        if not chosen:
            break
        tried.extend(p[chosen])
        p, costs = _joined((p, costs), _descended(fit, leaps(fit, p[chosen])))
    return p, costs


def _degrees(fit: Fit, data: Data) -> np.ndarray:
    """Degrees of freedom of each bin: its values less its own thickness and shift and its part of what all share."""
    count = data.values.shape[1]
    shared = len(NAMES) - len(fit.given)
    return np.full(fit.bins, max(count - 3 - shared / fit.bins, 1.0))


def _distinct(fit: Fit, p: Tensor, costs: Tensor, most: int) -> list[int]:
    """Numbers of the parameters, best first, that are no copies of a better one."""
    kept: list[int] = []
    for number in costs.argsort().tolist():
        if not any(_same(fit, p[number], p[other]) for other in kept):
            kept.append(number)
        if len(kept) == most:
            break
    return kept


def _same(fit: Fit, one: Tensor, other: Tensor) -> bool:
    bins = slice(len(NAMES), len(NAMES) + fit.bins)
    tilt = slice(PLACE["tilt_x"], PLACE["tilt_y"] + 1)
    return (
        abs(float(one[0] - other[0])) < SAME_C1_NM
        and float((one[bins] - other[bins]).abs().max()) < SAME_ATOMS
        and float((one[tilt] - other[tilt]).norm()) < SAME_TILT_MRAD
    )


def _solution(fit: Fit, p: Tensor, costs: Tensor, cells: Cells, degrees: np.ndarray) -> Solution:
    best = p[:1]
    by_bin = fit.cost(best)[0][0].numpy()
    chi2, dof = float(by_bin.sum()), float(degrees.sum())
    square = fit.normal(best)[0][0]
    covariance = torch.linalg.inv(square).numpy() * max(1.0, chi2 / dof) * ERROR_FACTOR**2
    common, thickness, _ = fit.model.split(best)
    values = as_imaging(common[0].numpy())
    errors = _errors(common[0].numpy(), covariance, fit.given)
    at = slice(len(NAMES), len(NAMES) + fit.bins)
    deviation = np.sqrt(np.diag(covariance))
    bins = tuple(
        FittedBin(each.distance_pm, float(n), float(e), each.cells, float(c), float(d))
        for each, n, e, c, d in zip(cells.bins, thickness[0], deviation[at], by_bin, degrees)
    )
    limit = float(costs[0]) + RIVAL_SHARE * max(dof, chi2)
    rivals = tuple(
        Rival(as_imaging(one[: len(NAMES)].numpy()), tuple(one[at].tolist()), float(fit.cost(one[None])[0].sum()))
        for one, cost in zip(p[1:], costs[1:])
        if float(cost) < limit
    )
    return Solution(
        values=values,
        errors=errors,
        bins=bins,
        chi2=chi2,
        dof=dof,
        rivals=rivals,
        explained=chi2 / dof <= EXPLAINED and not rivals,
        correlated=_correlated(covariance, fit.given),
        data=fit.data.values.numpy(),
        model=fit.modelled(best)[0].numpy(),
        cell_model=fit.model,
        parameters=best[0],
    )


def _errors(common: np.ndarray, covariance: np.ndarray, given: dict[str, float]) -> dict[str, float | None]:
    """Standard errors in the imaging block's units; None where a value was held."""
    part = covariance[: len(NAMES), : len(NAMES)]
    found: dict[str, float | None] = {}
    for name, slope in imaging_slopes(common).items():
        used = [NAMES[n] for n in np.flatnonzero(slope)]
        held = bool(used) and all(each in given for each in used)
        error = float(np.sqrt(slope @ part @ slope))
        found[name] = None if held else min(error, 180.0) if name.endswith("azimuth_deg") else error
    return found


TOLD_CORRELATION = 0.9


def _correlated(covariance: np.ndarray, given: dict[str, float]) -> tuple[tuple[str, str, float], ...]:
    """Pairs of parameters that the data hardly tell apart, and their correlation."""
    part = covariance[: len(NAMES), : len(NAMES)]
    size = np.sqrt(np.diag(part))
    share = part / np.outer(size, size)
    return tuple(
        (NAMES[i], NAMES[j], float(share[i, j]))
        for i in range(len(NAMES))
        for j in range(i)
        if abs(share[i, j]) > TOLD_CORRELATION and not {NAMES[i], NAMES[j]} & set(given)
    )
