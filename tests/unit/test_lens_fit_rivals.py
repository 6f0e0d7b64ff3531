"""Solutions of a lens fit that the data cannot tell apart: found, told, and then no value is a fact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_lens_fit import crystal, made_cells, parameters, small_table

from segdepth.config import LensFitOptions
from segdepth.fitting.cells import image_orders
from segdepth.fitting.film_fit import describe
from segdepth.fitting.fit import (
    RIVAL_SHARE,
    SAME_ATOMS,
    SAME_C1_NM,
    SAME_TILT_MRAD,
    _degrees,
    _distinct,
    _solution,
    fit_cells,
)
from segdepth.fitting.model import CellModel, Held
from segdepth.fitting.solve import Data, Fit

THICKNESS = [3.4, 5.0, 6.3]
SHIFTS = np.random.default_rng(4).uniform(0, 300, 2 * len(THICKNESS))
"""Of ``made_cells``."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("tables"), 8)


@pytest.fixture(scope="module")
def model(table):
    orders = image_orders(crystal(), 6.0, table.orders)
    return CellModel(table, orders, Held(5.0, 0.2, np.ones(len(orders))), torch.float64)


@pytest.mark.parametrize(
    ("changes", "more", "rivals"),
    [
        ({"c1": 9.0}, 0.0, 1),
        ({"tilt_x": -9.0}, 0.0, 1),
        ({"tilt_x": -9.0}, 0.9 * RIVAL_SHARE, 1),
        ({"tilt_x": -9.0}, 1.1 * RIVAL_SHARE, 0),
        ({"c1": 7.5, "tilt_x": 12.0, "a1x": 3.0}, 0.0, 0),  # the same minimum
    ],
)
def test_another_minimum_of_the_same_chi_square_is_a_rival_and_nothing_is_explained(model, changes, more, rivals):
    """Two minima built by hand; the other one's cost is larger by ``more`` of the degrees of freedom."""
    cells = made_cells(model, THICKNESS)
    fit = Fit(model, Data.of(cells.bins))
    p = torch.cat([parameters(THICKNESS, SHIFTS), parameters(THICKNESS, SHIFTS, **changes)])
    degrees = _degrees(fit, fit.data)
    costs = torch.tensor([200.0, 200.0 + more * degrees.sum()], dtype=torch.float64)
    chosen = _distinct(fit, p, costs, 5)
    found = _solution(fit, p[chosen], costs[chosen], cells, degrees)
    assert found.chi2 < found.dof  # by itself the best one explains the data
    assert len(found.rivals) == rivals and found.explained == (rivals == 0)
    told = describe(found, LensFitOptions(), 300.0)
    assert told[0].startswith("NOT EXPLAINED by one solution: 2 explain" if rivals else "explained: ")
    assert sum(line.startswith("another solution: ") for line in told) == rivals
    if rivals:
        assert found.rivals[0].thickness_atoms == pytest.approx(THICKNESS)
        assert found.rivals[0].chi2 == pytest.approx(float(fit.cost(p[1:])[0].sum()))


def test_a_thin_crystal_at_a_low_dose_has_rivals(model, table, monkeypatch):
    """Two atoms and little signal: one minimum is as good as another."""
    monkeypatch.setattr("segdepth.fitting.fit.TRIED_AZIMUTHS", 1)
    monkeypatch.setattr("segdepth.fitting.fit.STARTS", 64)
    monkeypatch.setattr("segdepth.fitting.fit.LEAP_ROUNDS", 1)
    solution = fit_cells(made_cells(model, [2.0, 2.3, 2.5], noise=0.03), table)
    assert solution.chi2 < 1.3 * solution.dof and not solution.explained
    assert solution.rivals and all(each.chi2 < 1.5 * solution.dof for each in solution.rivals)
    for rival in solution.rivals:
        atoms = np.subtract(rival.thickness_atoms, [each.thickness_atoms for each in solution.bins])
        lean = [rival.values[name] - solution.values[name] for name in ("tilt_x_deg", "tilt_y_deg")]
        focus = rival.values["defocus_nm"] - solution.values["defocus_nm"]
        apart = abs(focus) / SAME_C1_NM, np.abs(atoms).max() / SAME_ATOMS, np.hypot(*lean) * 17.4533 / SAME_TILT_MRAD
        assert max(apart) >= 1
