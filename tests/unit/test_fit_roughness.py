"""What electrons say of how columns scatter: responses by a law, the estimate on simulated crystals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from test_lens_fit import crystal, parameters, small_table

from segdepth.config import Beam
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.fitting.cells import Bin, Cells, image_orders
from segdepth.fitting.model import NAMES, CellModel, Held
from segdepth.fitting.roughness import (
    AROUND_PM,
    ENTRANCE,
    EXIT,
    LEAST_PROJECTIONS,
    RESPONSE_SHARE,
    Scatter,
    column_scatter,
    responses,
    roughness_atoms,
    seen_roughness,
)
from segdepth.micrograph.geometry import FrameTransform
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.exit_wave import configure_abtem, exit_wave
from segdepth.simulation.optics import ImageFormer

PIXEL, THICKNESS = 10.0, 6
REPEATS = 4, 5
UPRIGHT = dict.fromkeys(("a1x", "a1y", "b2x", "b2y", "a2x", "a2y", "tilt_x", "tilt_y"), 0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    table = small_table(tmp_path_factory.mktemp("tables"), 12)
    orders = image_orders(crystal(), 6.0, table.orders)
    return CellModel(table, orders, Held(5.0, 0.0, np.ones(len(orders))), torch.float64)


def test_all_columns_together_change_the_image_as_the_thickness_does(model):
    transform = FrameTransform((100, 100), 1e-3, 20.0)  # of a pixel that averages nothing
    found = responses(model, parameters([8.0, 8.0], **UPRIGHT)[0], 0, transform)
    periods = np.array(crystal().periods_pm[:2])
    places = np.array([(c.x, c.y) for c in crystal().columns]) * periods
    cells = np.prod(np.ceil(AROUND_PM / periods))  # of the response, each with as many columns
    for end, share in ((ENTRANCE, 0.0), (EXIT, 1.0)):
        p = parameters([8.0, 8.0], **UPRIGHT | {"exit_share": share})
        _, slopes = model.orders(p, slopes=True)
        expected = slopes[0, 0, :, len(NAMES)].numpy()
        for g, value in zip(image_orders(crystal(), 6.0, model.table.orders) / periods, expected):
            order = np.flatnonzero(np.hypot(*(found.orders - g).T) < 1e-9)
            if len(order):
                moved = np.exp(-2j * np.pi * places @ g)
                assert abs(cells * (found.spectrum[end, :, order[0]] @ moved) - value) < 2e-3


def rough_crystal(scatter: np.ndarray) -> Atoms:
    """``THICKNESS`` atoms in every column and, of ``scatter`` (x cell, y cell, column), half more at either end."""
    sides = np.array(crystal().periods_pm)
    numbers, places = [], []
    for (i, j, kind), more in np.ndenumerate(scatter):
        column = crystal().columns[kind]
        for rank in range(-(more // 2), THICKNESS + more - more // 2):
            numbers.append(ATOMIC_NUMBER[column.element])
            places.append((i + column.x, j + column.y, rank + column.z + 3))
    cell = np.array([*REPEATS, THICKNESS + 6]) * sides / 100
    atoms = Atoms(numbers, np.array(places) * sides / 100, cell=cell, pbc=(True, True, False))
    atoms.info["exit_face_pm"] = (3 + THICKNESS - 0.25) * sides[2]
    return atoms


def image(scatter: np.ndarray) -> np.ndarray:
    configure_abtem("cpu")
    beam = Beam(energy_kev=300, debye_waller_pm=dict(crystal().debye_waller_pm), pixel_pm=10.0)
    wave = exit_wave(rough_crystal(scatter), beam)
    sides = [n * side for n, side in zip(REPEATS, crystal().periods_pm)]
    former = ImageFormer(
        cell_pm=sides,
        margin_pm=0,
        pixel_pm=[side / round(side / PIXEL) for side in sides],
        orders=(wave.shape[1] // 2, wave.shape[0] // 2),
        wavelength_pm=1.9687,
        aperture_rad=0.036,
        focal_modes=8,
        dtype=torch.float64,
    )
    lens = {"c1_pm": [7e3], "c3_pm": [-9e6], "c5_pm": [5e9], "focal_spread_pm": [4e3], "image_spread_pm": [20.0]}
    return former.form(torch.as_tensor(wave)[None], Lens.from_values(lens))[0].numpy()


def counted(model, deviation: float, electrons: float, seed: int = 0):
    """Arguments of ``column_scatter``, and the true standard deviation."""
    rng = np.random.default_rng(seed)
    scatter = np.rint(rng.normal(0, deviation, (*REPEATS, len(crystal().columns)))).astype(int)
    scatter = np.clip(scatter, -4, 4)
    perfect = electrons * image(np.zeros_like(scatter))
    counts = rng.poisson(electrons * image(scatter))
    transform = FrameTransform(counts.shape, PIXEL, PIXEL)
    values, covariance = np.zeros(2 * len(model.first) - 1), np.eye(2 * len(model.first) - 1)
    bins = tuple(Bin(at, 10.0, values, covariance) for at in (0.0, 1000.0))
    cells = Cells(
        orders=np.zeros((1, 2)),
        box=np.ones(1),
        bins=bins,
        distance_pm=np.full(counts.shape, 1000.0),
        frames=1,
        lines=(),
        residual=counts - perfect - (counts - perfect).mean(),
        expected=perfect,
        vacuum=np.full(counts.shape, electrons),
    )
    given = UPRIGHT | {"exit_share": 0.5, "focal_spread": 4.0, "image_spread": 20.0}
    p = parameters([float(THICKNESS)] * 2, **given)[0]
    return (SimpleNamespace(transform=transform), cells, model, p), float(scatter.std())


@pytest.mark.parametrize("electrons", [40.0, 400.0])
def test_the_scatter_of_rough_columns_is_found(model, electrons):
    given, true = counted(model, 1.5, electrons)
    found, error = column_scatter(*given).variance()
    assert true > 1.3
    assert 0.8 < roughness_atoms(*given) / true < 1.4  # upright columns answer by more than those of a tilted crystal
    assert error < 0.5 * found


def test_a_smooth_crystal_has_none(model):
    given, true = counted(model, 0.0, 100.0)
    assert true == 0
    assert roughness_atoms(*given) < 0.3


def projections(rng: np.random.Generator, number: int, noise: float, scatter: float) -> Scatter:
    """Of columns that scatter so, with so much shot noise, both standard deviations; the gain is 1."""
    value = rng.normal(0, np.hypot(noise, scatter), number)
    return Scatter(value, np.full(number, noise**2), np.ones(number))


@pytest.mark.parametrize("number", [24, 300])
def test_shot_noise_alone_is_seldom_taken_for_scatter(number):
    rng = np.random.default_rng(3)
    seen = [seen_roughness(projections(rng, number, 4.0, 0.0)) for _ in range(400)]
    assert np.mean(np.array(seen) > 0) < 0.06


def test_scatter_that_stands_out_of_the_noise_is_seen():
    found = seen_roughness(projections(np.random.default_rng(4), 400, 2.0, 2.0))
    assert found == pytest.approx(2.0 / RESPONSE_SHARE, rel=0.15)


def test_few_columns_and_none_tell_nothing():
    rng = np.random.default_rng(5)
    assert seen_roughness(projections(rng, LEAST_PROJECTIONS - 1, 0.1, 3.0)) is None
    assert seen_roughness(Scatter(*np.zeros((3, 0)))) is None
    assert seen_roughness(projections(rng, LEAST_PROJECTIONS, 0.0, 0.0)) is None
