"""A crystal tilted by propagation, whose atoms stay upright, against the same crystal with its atoms tilted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import SMALL_BEAM, cerium, relative, small_slab

from segdepth.config import Imaging
from segdepth.simulation.datasets import structure_beams, waves_dataset
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import exit_wave
from segdepth.simulation.lens_values import draw_lens_values, image_former, lens_fields
from segdepth.simulation.optics import Lens
from segdepth.specimen.columns import column_table
from segdepth.specimen.frame_facts import frame_facts
from segdepth.specimen.orientation import Orientation

DEFOCUS = (3, 8, 14)


def two_thicknesses(count: int):
    """A slab whose columns at large x lack the first third of their atoms, Å: their middles lie further down."""
    atoms, block = small_slab(count)
    height, x = atoms.positions[:, 2], atoms.positions[:, 0]
    thick = height.min() + (np.ptp(height) / 3)
    atoms = atoms[(x < 10) | (height > thick)]
    atoms.info["exit_face_pm"] = 100 * float(atoms.positions[:, 2].max())
    return atoms, block


def images(atoms, block) -> np.ndarray:
    wave = exit_wave(atoms, SMALL_BEAM)
    attrs = {"cell_pm": block.cell_pm, "margin_pm": block.margin_pm, "wavelength_pm": wavelength_pm(300)}
    imaging = Imaging(defocus_nm=DEFOCUS)
    former = image_former(imaging, {**attrs, "stored_angle_mrad": 45.0}, wave.shape[-1] // 2, "cpu")
    lens = Lens.from_values(lens_fields(draw_lens_values(imaging, DEFOCUS, np.random.default_rng(0))))
    return former.form(torch.as_tensor(wave).expand(3, -1, -1), lens).numpy()


@pytest.mark.parametrize(("count", "lean", "percent"), [(10, 0.5, 1), (10, 2.5, 2), (30, 1.5, 3)])
def test_tilt_by_propagation_is_tilt_of_the_atoms(abtem, count, lean, percent):
    """Rms difference of images as a share of the contrast. No shift is left: both keep the plane halfway between the
    first and the last atoms where it is."""
    atoms, block = two_thicknesses(count)
    x, y = lean * np.cos(0.5), lean * np.sin(0.5)
    height = atoms.positions[:, 2]
    pivot = np.array([*np.diag(atoms.cell)[:2] / 2, (height.min() + height.max()) / 2])
    tilted, upright = atoms.copy(), atoms.copy()
    tilted.positions = Orientation(tilt_x_deg=x, tilt_y_deg=y).applied(atoms.positions, pivot)
    upright.info |= {"tilt_x_deg": x, "tilt_y_deg": y}
    expected, found, plain = (images(each, block) for each in (tilted, upright, atoms))

    def off(one: np.ndarray) -> float:
        return float(100 * np.sqrt(((one - expected) ** 2).mean((1, 2)) / expected.var((1, 2))).max())

    assert off(found) < percent and off(plain) > 30
    wrong = atoms.copy()
    wrong.info |= {"tilt_x_deg": -x, "tilt_y_deg": -y}
    assert off(images(wrong, block)) > 30


def test_columns_are_where_the_image_shows_them(abtem):
    """Two atoms of one height each, far apart along the beam: each is imaged where the column table has its column."""
    atoms = cerium((5, 9, 0.5), (11, 6, 60.5), height=61)
    atoms.info |= {"tilt_x_deg": 1.0, "tilt_y_deg": -0.5}
    atoms.set_array("column", np.array([0, 1]))
    table = column_table(atoms, 0.0, 1600.0)
    for place, height in zip(table[["x_pm", "y_pm"]].to_numpy(), (0.5, 60.5)):
        atoms.info["exit_face_pm"] = 100 * height
        wave = exit_wave(atoms, SMALL_BEAM)
        orders = wave.shape[0] // 2
        k = np.r_[0 : orders + 1, -orders:0]
        spectrum = np.zeros((400, 400), complex)
        spectrum[np.ix_(k, k)] = wave
        phase = np.angle(np.fft.ifft2(spectrum))
        row, column = np.unravel_index(phase.argmax(), phase.shape)
        assert np.hypot(*(np.array([column, row]) * 4.0 - place)) < 10
    assert np.abs(table[["x_pm", "y_pm"]].to_numpy() - [[500, 900], [1100, 600]]).max() > 40


def test_the_lean_adds_to_the_beams_own_tilt(abtem):
    atoms = cerium((5, 9, 0.5), (11, 6, 30.5), height=31)
    leaning = atoms.copy()
    leaning.info |= {"tilt_x_deg": 1.0, "tilt_y_deg": -0.4}
    beam = SMALL_BEAM.model_copy(update={"tilt_mrad": (3.0, 5.0)})
    degree = 17.453292519943295
    both = SMALL_BEAM.model_copy(update={"tilt_mrad": (3.0 - degree, 5.0 + 0.4 * degree)})
    assert relative(exit_wave(leaning, beam), exit_wave(atoms, both)) < 1e-6
    facts = frame_facts([leaning])
    beams = structure_beams(beam, [leaning], facts)
    wave = exit_wave(leaning, beam)[None, None]
    store = waves_dataset(wave, [leaning], facts, beams)
    assert store["tilt_x_mrad"].item() == pytest.approx(3 - degree)
    assert store["tilt_y_mrad"].item() == pytest.approx(5 + 0.4 * degree)
