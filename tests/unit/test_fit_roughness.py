"""What electrons say of how columns scatter: responses by a law, the estimate on simulated crystals."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy import ndimage
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
from segdepth.micrograph.electrons.camera import Camera
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


@pytest.mark.parametrize("kind", range(len(crystal().columns)))
def test_a_column_of_a_tilted_crystal_answers_where_the_multislice_says(model, kind):
    """An atom less at the entrance, which lies beside the place of the column's middle."""
    tilt, cell = np.array((14.0, -10.0)), (2, 2)
    scatter = np.zeros((*REPEATS, len(crystal().columns)), dtype=int)
    scatter[(*cell, kind)] = -1  # half of it is rounded down at the entrance
    plain = tilted_image(tuple(tilt))
    change = (image(scatter, tilt=tuple(tilt)) - plain) * scatter[(*cell, kind)]
    periods, column = np.array(crystal().periods_pm[:2]), crystal().columns[kind]
    found = {}
    for sign in (1, -1):
        given = UPRIGHT | {"exit_share": 0.5, "focal_spread": 4.0, "image_spread": 20.0}
        p = parameters([float(THICKNESS)] * 2, **given | dict(zip(("tilt_x", "tilt_y"), sign * tilt)))
        moved = moved_by(
            model, parameters([float(THICKNESS)] * 2, **given | dict(zip(("tilt_x", "tilt_y"), tilt))), plain
        )
        response = responses(model, p[0], 1, FrameTransform(plain.shape, PIXEL, PIXEL))
        x, y = (np.array(cell) + (column.x, column.y)) * periods + moved
        off_y, off_x = (np.indices(plain.shape) + 0.5) * PIXEL - np.array((y, x))[:, None, None]
        near = np.hypot(off_y, off_x) <= 300
        places = np.stack([off_y[near], off_x[near]]) / np.array(response.step_pm)[::-1, None]
        expected = ndimage.map_coordinates(response.image[ENTRANCE, kind], places, order=1, mode="grid-wrap")
        both = (change[near] * expected).sum()
        norm = (expected**2).sum()
        found[sign] = both / np.sqrt(norm * (change[near] ** 2).sum()), both / norm
    assert found[1][0] > 0.8 and 0.5 < found[1][1] < 1.3
    assert found[1][0] > found[-1][0]


def moved_by(model, p: torch.Tensor, made: np.ndarray) -> np.ndarray:
    """How far (x, y) in pm an image of a perfect crystal lies from that of the model."""
    orders = image_orders(crystal(), 6.0, model.table.orders)
    expected = model.orders(p)[0][0, 0].numpy()
    h, k = (orders * REPEATS).T
    shape = np.array(made.shape)
    seen = (np.fft.fft2(made) / made.size)[k, h] * np.exp(-1j * np.pi * (h / shape[1] + k / shape[0]))
    weight = np.abs(expected)[1:13]
    g = 2 * np.pi * (orders / np.array(crystal().periods_pm[:2]))[1:13]
    phase = np.angle(seen[1:13] / expected[1:13])
    return -np.linalg.lstsq(g * weight[:, None], phase * weight, rcond=None)[0]


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


def image(scatter: np.ndarray, pixel: float = PIXEL, tilt=(0.0, 0.0), **lens) -> np.ndarray:
    configure_abtem("cpu")
    beam = Beam(energy_kev=300, debye_waller_pm=dict(crystal().debye_waller_pm), pixel_pm=10.0, tilt_mrad=tilt)
    wave = exit_wave(rough_crystal(scatter), beam)
    sides = [n * side for n, side in zip(REPEATS, crystal().periods_pm)]
    former = ImageFormer(
        cell_pm=sides,
        margin_pm=0,
        pixel_pm=[side / round(side / pixel) for side in sides],
        orders=(wave.shape[1] // 2, wave.shape[0] // 2),
        wavelength_pm=1.9687,
        aperture_rad=0.036,
        focal_modes=8,
        dtype=torch.float64,
    )
    values = {"c1_pm": [7e3], "c3_pm": [-9e6], "c5_pm": [5e9], "focal_spread_pm": [4e3], "image_spread_pm": [20.0]}
    return former.form(torch.as_tensor(wave)[None], Lens.from_values(values | lens))[0].numpy()


COMA = {"b2_pm": [94.3e3], "b2_azimuth_rad": [np.angle(80 + 50j)]}, {"b2x": 80.0, "b2y": 50.0}
"""As the image former and the model take it: nothing is symmetric then."""


@cache
def smooth_image(pixel: float, coma: bool) -> np.ndarray:
    return image(np.zeros((*REPEATS, len(crystal().columns)), dtype=int), pixel, **COMA[0] if coma else {})


@cache
def tilted_image(tilt: tuple[float, float]) -> np.ndarray:
    return image(np.zeros((*REPEATS, len(crystal().columns)), dtype=int), tilt=tilt)


def in_file(values: np.ndarray, transform: FrameTransform) -> np.ndarray:
    """An upright map (y, x) as a file has it that is mirrored, or turned by quarters."""
    i, j = np.indices(transform.shape)
    x, y = transform.forward((j + 0.5) * transform.pixel_pm, (i + 0.5) * transform.pixel_pm)
    return values[(y // transform.pixel_pm).astype(int), (x // transform.pixel_pm).astype(int)]


def counted(
    model, deviation: float, electrons: float, seed: int = 0, pixel: float = PIXEL, coma: bool = False, **turned
):
    """Arguments of ``column_scatter``, and the true standard deviation.

    ``electrons`` : in 10 pm x 10 pm of vacuum. ``turned`` : of the file's transform.
    """
    electrons = electrons * (pixel / 10) ** 2
    rng = np.random.default_rng(seed)
    scatter = np.rint(rng.normal(0, deviation, (*REPEATS, len(crystal().columns)))).astype(int)
    scatter = np.clip(scatter, -4, 4)
    upright = electrons * smooth_image(pixel, coma)
    shape = upright.shape[:: -1 if turned.get("rotation_deg", 0) % 180 else 1]
    transform = FrameTransform(shape, pixel, pixel, **turned)
    perfect = in_file(upright, transform)
    rough = electrons * image(scatter, pixel, **COMA[0] if coma else {}) if scatter.any() else upright
    counts = in_file(rng.poisson(rough), transform)
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
    given = UPRIGHT | {"exit_share": 0.5, "focal_spread": 4.0, "image_spread": 20.0} | (COMA[1] if coma else {})
    p = parameters([float(THICKNESS)] * 2, **given)[0]
    return (SimpleNamespace(transform=transform, camera=Camera()), cells, model, p), float(scatter.std())


@pytest.mark.parametrize("electrons", [40.0, 400.0])
def test_the_scatter_of_rough_columns_is_found(model, electrons):
    given, true = counted(model, 1.5, electrons)
    found, error = column_scatter(*given).variance()
    assert true > 1.3
    assert 0.8 < roughness_atoms(*given) / true < 1.4  # upright columns answer by more than those of a tilted crystal
    assert error < 0.5 * found


@pytest.mark.parametrize(
    "turned", [{"flip": True}, {"rotation_deg": 90.0}, {"rotation_deg": -90.0, "flip": True}, {"rotation_deg": 180.0}]
)
def test_a_mirrored_or_turned_file_shows_the_same_scatter(model, turned):
    plain, _ = counted(model, 1.5, 40.0, coma=True)
    other, true = counted(model, 1.5, 40.0, coma=True, **turned)
    assert 0.7 < roughness_atoms(*other) / true < 1.4
    assert roughness_atoms(*other) == pytest.approx(roughness_atoms(*plain), rel=0.02)


@pytest.mark.parametrize("pixel", [5.0, 16.0, 22.0])
def test_other_pixels_show_the_same_scatter(model, pixel):
    given, true = counted(model, 1.5, 400.0, pixel=pixel)
    assert 0.8 < roughness_atoms(*given) / true < 1.4


@pytest.mark.parametrize("deviation", [0.0, 1.5])
def test_noise_that_is_not_that_of_single_electrons_tells_nothing(model, deviation):
    (film, *rest), _ = counted(model, deviation, 40.0)
    for camera in (Camera(correlated=True), Camera(variance_over_mean=0.5), Camera(variance_over_mean=1.6)):
        assert roughness_atoms(SimpleNamespace(transform=film.transform, camera=camera), *rest) is None
    assert roughness_atoms(film, *rest) is not None


def test_at_a_low_dose_shot_noise_alone_is_not_believed(model):
    """60 electrons per square angstrom: one frame in forty may be believed, at two standard errors."""
    found = [roughness_atoms(*counted(model, 0.0, 0.6, seed)[0]) for seed in range(16)]
    assert None not in found and np.count_nonzero(found) <= 1


def test_at_a_high_dose_scatter_is_always_believed(model):
    """9,000 electrons per square angstrom."""
    for seed in range(4):
        given, true = counted(model, 1.2, 90.0, seed)
        assert 0.7 < roughness_atoms(*given) / true < 1.5


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
