"""Lens, tilt and thickness from average unit cells: the model against the image former, and fits of what it made."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from segdepth.config import CrystalBlock, LensFitOptions, Reading
from segdepth.crystals import load_crystal
from segdepth.errors import MicrographError, StoreError
from segdepth.fitting import wave_table as tables
from segdepth.fitting.cells import Bin, Cells, average_cells, image_orders
from segdepth.fitting.film_fit import describe, energy_of, fit_film
from segdepth.fitting.fit import _leapt, _same, fit_cells
from segdepth.fitting.model import NAMES, CellModel, Held, as_imaging, imaging_slopes
from segdepth.fitting.result import FittedBin, LensFit, Rival
from segdepth.fitting.search import leaps
from segdepth.fitting.solve import Data, Fit, as_values
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.film import inspect_film
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.exit_wave import configure_abtem, exit_wave
from segdepth.simulation.optics import ImageFormer

LENS = {
    "c1": 7.0,
    "c3": -9.0,
    "a1x": 1.5,
    "a1y": -1.0,
    "b2x": 40.0,
    "b2y": 60.0,
    "a2x": -90.0,
    "a2y": 30.0,
    "focal_spread": 4.0,
    "image_spread": 20.0,
    "contrast": 1.0,
    "background": 0.0,
    "exit_share": 0.4,
    "tilt_x": 9.0,
    "tilt_y": -15.0,
}


@cache
def crystal():
    block = CrystalBlock(
        structure="CeO2",
        zone_axis=(1, 1, 0),
        x_axis=(0, 0, 1),
        lattice_pm=541.1,
        debye_waller_pm={"Ce": 6.6, "O": 8.5},
    )
    return load_crystal(block)


def small_table(folder, thickest: int):
    """A table of up to so many periods, tilts of up to 18 mrad."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "THICKEST", thickest)
        patch.setattr(tables, "MOST_TILT_MRAD", 18.0)
        return tables.wave_table(crystal(), 300.0, "code", folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(tmp_path_factory.mktemp("tables"), 12)


def parameters(thickness, shifts=None, **changes) -> torch.Tensor:
    p = torch.tensor([[(LENS | changes)[name] for name in NAMES]], dtype=torch.float64)
    bins = len(thickness)
    shifts = torch.zeros((1, 2 * bins)) if shifts is None else torch.as_tensor(shifts).reshape(1, -1)
    return torch.cat([p, torch.tensor([thickness], dtype=torch.float64), shifts.double()], dim=1)


@pytest.fixture(scope="module")
def model(table):
    orders = image_orders(crystal(), 6.0, table.orders)
    return CellModel(table, orders, Held(5.0, 0.2, np.ones(len(orders))), torch.float64)


def reference_wave(periods: int, tilt_mrad) -> np.ndarray:
    configure_abtem("cpu")
    atoms = tables.cell_atoms(crystal(), periods)
    atoms.info["exit_face_pm"] = float(100 * atoms.positions[:, 2].max() + crystal().periods_pm[2] / 4)
    beam = tables.fixed_beam(crystal(), 300.0).model_copy(update={"precision": "float64", "tilt_mrad": tilt_mrad})
    return exit_wave(atoms, beam)


@pytest.mark.parametrize(
    ("periods", "tilt", "most"), [(1, (0.0, 0.0), 1e-5), (7, (9.0, -15.0), 1e-4), (12, (10.3, 4.4), 3e-3)]
)
def test_table_holds_the_exit_waves_of_the_multislice(table, periods, tilt, most):
    wave = reference_wave(periods, tilt)
    expected = np.array([wave[k, h] for h, k in table.orders])
    got, _ = table.waves(
        torch.tensor([[float(periods)]], dtype=torch.float64), torch.tensor([tilt], dtype=torch.float64)
    )
    assert np.abs(got[0, 0].numpy() - expected).max() < most


@pytest.mark.parametrize("c1", [1.0, 14.0])
def test_model_is_the_image_former_on_a_periodic_cell(model, c1):
    wave, sides, points = reference_wave(8, (9.0, -15.0)), crystal().periods_pm[:2], (54, 38)
    a1, b2, a2 = complex(1.5, -1.0), complex(40, 60), complex(-90, 30)
    lens = Lens.from_values(
        {
            "c1_pm": [c1 * 1e3],
            "c3_pm": [-9e6],
            "c5_pm": [5e9],
            "a1_pm": [abs(a1) * 1e3],
            "a1_azimuth_rad": [np.angle(a1) / 2],
            "b2_pm": [abs(b2) * 1e3],
            "b2_azimuth_rad": [np.angle(b2)],
            "a2_pm": [abs(a2) * 1e3],
            "a2_azimuth_rad": [np.angle(a2) / 3],
            "focal_spread_pm": [4e3],
            "convergence_rad": [2e-4],
            "image_spread_pm": [20.0],
        }
    )
    former = ImageFormer(
        cell_pm=sides,
        margin_pm=0,
        pixel_pm=[side / n for side, n in zip(sides, points)],
        orders=(wave.shape[1] // 2, wave.shape[0] // 2),
        wavelength_pm=model.table.wavelength_pm,
        aperture_rad=tables.BEAM_ANGLE_MRAD / 1000,
        focal_modes=40,
        dtype=torch.float64,
    )
    image = former.form(torch.as_tensor(wave)[None], lens)[0].numpy()
    spectrum = np.fft.fft2(image) / image.size
    got, _ = model.orders(parameters([8.0], c1=c1))
    for (h, k), value in zip(image_orders(crystal(), 6.0, model.table.orders), got[0, 0].numpy()):
        shift = np.exp(-1j * np.pi * (h / points[0] + k / points[1]))  # pixel centres lie half a pixel from the corner
        expected = spectrum[k, h] * shift / (np.sinc(h / points[0]) * np.sinc(k / points[1]))
        assert abs(value - expected) < 1e-3, (h, k)


def test_slopes_are_those_of_the_values(model):
    shifts = [10.0, -40.0, 3.0, 77.0]
    p = parameters([3.3, 7.7], shifts, contrast=0.9, background=0.1)
    _, by = model.orders(p, slopes=True)
    for n in range(p.shape[1]):
        step = torch.zeros_like(p)
        step[0, n] = 1e-4
        slope = (model.orders(p + step)[0] - model.orders(p - step)[0]) / 2e-4
        assert float((slope - by[..., n]).abs().max()) < 0.02 * float(slope.abs().max()) + 1e-8, n


def made_cells(model, thickness, noise=0.002, **changes) -> Cells:
    """Average unit cells as the model has them, with noise."""
    rng = np.random.default_rng(4)
    p = parameters(thickness, rng.uniform(0, 300, 2 * len(thickness)), **changes)
    values = as_values(model.orders(p)[0])[0].numpy()
    values = values + rng.normal(0, noise, values.shape)
    covariance = noise**2 * np.eye(values.shape[1])
    bins = tuple(Bin(190 + 380.0 * n, 10.0, v, covariance) for n, v in enumerate(values))
    orders = image_orders(crystal(), 6.0, model.table.orders)
    return Cells(orders, np.ones(len(orders)), bins, np.zeros((1, 1)), 1, (), *np.zeros((3, 1, 1)))


@pytest.fixture(scope="module")
def found(model, table):
    thickness = [3.4, 5.0, 6.3, 7.0]
    return thickness, fit_cells(made_cells(model, thickness), table)


def test_fit_finds_what_the_cells_were_made_with(found):
    thickness, solution = found
    assert solution.explained
    assert solution.chi2 < 1.2 * solution.dof
    assert solution.values["defocus_nm"] == pytest.approx(LENS["c1"], abs=0.5)
    lean = [solution.values[f"tilt_{axis}_deg"] for axis in "xy"]
    assert np.radians(lean) * -1000 == pytest.approx([LENS["tilt_x"], LENS["tilt_y"]], abs=3)
    assert [each.thickness_atoms for each in solution.bins] == pytest.approx(thickness, abs=0.7)
    assert 0.02 < solution.errors["defocus_nm"] < 1


def test_leaps_lead_out_of_a_wrong_minimum(model):
    thickness = [3.4, 5.0, 6.3, 7.0]
    fit = Fit(model, Data.of(made_cells(model, thickness).bins))
    shifts = np.random.default_rng(4).uniform(0, 300, 2 * len(thickness))
    right, least = fit.run(parameters(thickness, shifts), 30)
    ended, costs = fit.run(leaps(fit, right), 30)
    wrong = int(costs.argmax())
    assert not _same(fit, ended[wrong], right[0])
    found, better = _leapt(fit, ended[wrong : wrong + 1], costs[wrong : wrong + 1])
    assert _same(fit, found[0], right[0])
    assert float(better[0]) < float(least[0]) + 1


def test_leaps_differ_from_their_minimum_in_tilt_focus_and_thickness_only(model):
    fit = Fit(model, Data.of(made_cells(model, [5.0, 6.0]).bins))
    p = parameters([5.0, 6.0], [10.0, -40.0, 3.0, 77.0])
    found = leaps(fit, p)
    moved = (found != p).any(0)
    names = [*NAMES, "first", "second", *["shift"] * 4]
    assert {name for name, each in zip(names, moved.tolist()) if each} == {"c1", "tilt_x", "tilt_y", "first", "second"}
    assert len({tuple(each) for each in found.tolist()}) == len(found) == 35
    assert not (found == p).all(1).any()
    assert bool((leaps(fit, parameters([1.0, 11.9])) <= fit.high).all())


def test_held_values_stay_and_have_no_error(model, table):
    cells = made_cells(model, [3.4, 5.0, 6.3])
    solution = fit_cells(cells, table, given={"c3": -20.0, "focal_spread": 4.0})
    assert solution.values["c3_um"] == pytest.approx(-20, abs=0.05)
    assert solution.errors["c3_um"] is None and solution.errors["focal_spread_nm"] is None
    assert solution.errors["defocus_nm"] is not None


def test_cells_of_another_crystal_are_not_explained(model, table, monkeypatch):
    monkeypatch.setattr("segdepth.fitting.fit.TRIED_AZIMUTHS", 1)
    monkeypatch.setattr("segdepth.fitting.fit.STARTS", 64)
    monkeypatch.setattr("segdepth.fitting.fit.LEAP_ROUNDS", 1)
    cells = made_cells(model, [3.4, 5.0, 6.3])
    rng = np.random.default_rng(1)
    strange = [Bin(b.distance_pm, b.cells, rng.permutation(b.values), b.covariance) for b in cells.bins]
    solution = fit_cells(replace(cells, bins=tuple(strange)), table)
    assert not solution.explained
    assert describe(solution, LensFitOptions(), 300.0)[0].startswith("NOT EXPLAINED")


def test_a_kept_table_is_read_again_and_a_broken_one_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "THICKEST", 2)
    monkeypatch.setattr(tables, "MOST_TILT_MRAD", 3.0)
    first = tables.wave_table(crystal(), 200.0, "code", tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    again = tables.wave_table(crystal(), 200.0, "code", tmp_path)
    assert torch.equal(first.coefficients, again.coefficients)
    monkeypatch.setattr(tables, "_coefficients", lambda *_: pytest.fail("made, though it is kept"))
    assert torch.equal(first.coefficients, tables.wave_table(crystal(), 200.0, "code", tmp_path).coefficients)


def test_a_table_of_other_code_is_made_anew_in_its_place(tmp_path, monkeypatch):
    made = []

    def coefficients(*_):
        made.append(len(made))
        return np.zeros((1, 2), int), torch.full((2, 3, 3, 1), float(made[-1]), dtype=torch.complex64)

    monkeypatch.setattr(tables, "_coefficients", coefficients)
    found = [tables.wave_table(crystal(), 200.0, code, tmp_path) for code in ("old", "old", "new", "new", "old")]
    assert [float(each.coefficients.real.mean()) for each in found] == [0, 0, 1, 1, 2]
    assert len(list(tmp_path.iterdir())) == 1  # a cache does not grow with every version


def test_values_and_their_slopes_in_the_imaging_blocks_units():
    common = parameters([1.0])[0, : len(NAMES)].numpy()
    slopes = imaging_slopes(common)
    for n in range(len(NAMES)):
        step = 1e-5 * np.eye(len(NAMES))[n]
        up, down = as_imaging(common + step), as_imaging(common - step)
        for name, slope in slopes.items():
            assert (up[name] - down[name]) / 2e-5 == pytest.approx(slope[n], abs=1e-5), name


def wedge_counts(model, vacuum_rows: int, shape=(300, 420), pixel=7.0, dose=1.4, seed=0) -> np.ndarray:
    """Counts of a crystal of 6 periods below rows of vacuum, made from the model's orders."""
    orders = image_orders(crystal(), 6.0, model.table.orders)
    made = model.orders(parameters([6.0]))[0][0, 0].numpy()
    x, y = (np.arange(shape[1]) + 0.5) * pixel, (np.arange(shape[0]) + 0.5) * pixel
    image = np.full(shape, made[0].real)
    for (h, k), value in zip(orders[1:], made[1:]):
        gx, gy = np.array([h, k]) / crystal().periods_pm[:2]
        image += 2 * (value * np.exp(2j * np.pi * (gy * y[:, None] + gx * x[None, :]))).real
    if vacuum_rows:
        image[-vacuum_rows:] = 1
    return np.random.default_rng(seed).poisson(np.maximum(image, 0) * dose).astype(np.uint8)


def test_average_cells_are_the_images_orders(model, table):
    counts = wedge_counts(model, 80, dose=60.0)
    film = inspect_film(recording_of(counts), crystal(), 20.0, Reading(pixel_pm=7.0, rotation_deg=0.0))
    cells = average_cells(film, crystal(), table.orders)
    expected = model.orders(parameters([6.0]))[0][0, 0].numpy()[: len(cells.orders)]
    inner = cells.bins[2]
    count = len(cells.orders)
    got = inner.values[1:count] + 1j * inner.values[count:]
    assert np.abs(got) == pytest.approx(np.abs(expected[1:]) * cells.box[1:], abs=0.012)
    error = np.sqrt(np.diag(inner.covariance))[0]
    assert error == pytest.approx(1 / np.sqrt(60 / 7**2 * inner.cells * np.prod(crystal().periods_pm[:2])), rel=0.2)


def test_one_strip_along_the_edge_is_too_little_and_two_are_enough(model, table, monkeypatch):
    film = inspect_film(
        recording_of(wedge_counts(model, 80, dose=20.0)), crystal(), 20.0, Reading(pixel_pm=7.0, rotation_deg=0.0)
    )
    monkeypatch.setattr("segdepth.fitting.cells.STRIPS", (0, 1, 2))
    found = average_cells(film, crystal(), table.orders).bins
    assert [round(each.distance_pm) for each in found] == [191, 574]
    monkeypatch.setattr("segdepth.fitting.cells.STRIPS", (0, 1))
    with pytest.raises(MicrographError) as failure:
        average_cells(film, crystal(), table.orders)
    told = "1 strip along the edge has 3 unit cells of CeO2 [110] or more; at least 2 are needed"
    assert told in str(failure.value)


def test_all_frames_of_a_drifting_film_are_used(model, table):
    one = wedge_counts(model, 80, dose=4.0)
    film = np.stack([np.roll(wedge_counts(model, 80, dose=4.0, seed=n), (0, 3 * n), (0, 1)) for n in range(3)])
    cells = [
        average_cells(
            inspect_film(recording_of(each), crystal(), 20.0, Reading(pixel_pm=7.0, rotation_deg=0.0)),
            crystal(),
            table.orders,
        )
        for each in (one, film)
    ]
    assert [each.frames for each in cells] == [1, 3]
    single, three = (each.bins[2] for each in cells)
    assert three.covariance[0, 0] == pytest.approx(single.covariance[0, 0] / 3, rel=0.1)
    strongest = np.argmax(np.abs(single.values[1:])) + 1
    assert np.hypot(three.values[strongest], 0) == pytest.approx(np.hypot(single.values[strongest], 0), rel=0.3)


def refused(counts: np.ndarray, **options) -> str:
    with pytest.raises(MicrographError) as failure:
        given = LensFitOptions(**({"pixel_pm": 7.0, "energy_kev": 300} | options))
        fit_film(recording_of(counts), crystal(), given, table_code="code")
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_what_cannot_be_fitted_is_refused_in_one_line(model, monkeypatch, table):
    monkeypatch.setattr("segdepth.fitting.film_fit.wave_table", lambda *_: table)
    noise = np.random.default_rng(0).poisson(2.0, (300, 300)).astype(np.uint8)
    assert "no lattice" in refused(noise) or "only noise" in refused(noise)
    assert "no vacuum" in refused(wedge_counts(model, 0, dose=6.0))
    assert "--energy-kev" in refused(wedge_counts(model, 80), energy_kev=None)
    tiny = wedge_counts(model, 60, dose=60.0)[-150:, :150]
    assert "0 strips along the edge have 3 unit cells" in refused(tiny, rotation_deg=0.0)


def test_voltage_of_the_file_must_be_in_reach():
    recording = recording_of(np.zeros((8, 8)))
    assert energy_of(recording, LensFitOptions(energy_kev=200)) == 200
    with pytest.raises(StoreError, match="60 to 300"):
        tables.wave_table(crystal(), 1000.0, "code")


def a_fit() -> LensFit:
    return LensFit(
        crystal=crystal().to_dict(),
        energy_kev=300.0,
        dose_e_per_a2=400.0,
        frames=2,
        pixel_pm=6.3,
        values={"defocus_nm": 7.0, "tilt_x_deg": 1.0, "tilt_y_deg": -0.5},
        errors={"defocus_nm": 0.2, "tilt_x_deg": 0.1, "tilt_y_deg": None},
        held=("tilt_y_deg",),
        bins=(FittedBin(190.0, 5.5, 0.3, 10.0, 40.0, 35.0),),
        chi2=40.0,
        dof=35.0,
        explained=True,
        rivals=(Rival({"defocus_nm": 3.0}, (9.0,), 44.0),),
        lines=("explained",),
    )


def test_the_beam_is_tilted_against_the_lean():
    assert a_fit().tilt_mrad == pytest.approx((-17.4533, 8.72665), rel=1e-5)
    assert replace(a_fit(), values={"tilt_y_deg": 1.0}).tilt_mrad == pytest.approx((0, -17.4533), rel=1e-5)


def test_picture_shows_data_model_and_thickness(found, model):
    from segdepth.figures.lens_fit import draw

    _, solution = found
    values = {name: 0.0 for name in as_imaging(np.ones(len(NAMES)))}
    rivals = (Rival(values, tuple(each.thickness_atoms + 3 for each in solution.bins), 1.0),)
    changes = {"values": values, "errors": dict.fromkeys(values), "bins": solution.bins, "rivals": rivals}
    fit = replace(a_fit(), **changes)
    orders = image_orders(crystal(), 6.0, model.table.orders)
    cells = {"orders": orders.tolist(), "data": solution.data.tolist(), "model": solution.model.tolist()}
    figure = draw(fit, json.loads(json.dumps(cells)))
    assert len(figure.axes) == 3 * len(solution.bins) + 1
    shown = figure.axes[0].images[0].get_array()
    assert float(shown.mean()) == pytest.approx(solution.data[0, 0], abs=1e-3)
    assert len(figure.axes[-1].lines) >= 2
