"""What the unit tests share: one configured abTEM, small structures and waves, and where Dr. Probe's files lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import settings

from segdepth.config import Beam, CrystalBlock, Labels, Specimen
from segdepth.crystals import load_crystal
from segdepth.specimen.wedge import build_wedge

torch.set_num_threads(1)
settings.register_profile("segdepth", deadline=None, max_examples=15, derandomize=True)
settings.load_profile("segdepth")

CERIA_BLOCK = CrystalBlock(structure="CeO2", zone_axis=(1, 1, 0), x_axis=(0, 0, 1))
CERIA = load_crystal(CERIA_BLOCK, "ceria")
"""The crystal of the default configuration, a = 541.1 pm."""

TITANATE_BLOCK = CrystalBlock(
    structure=str(Path(__file__).parents[1] / "data" / "SrTiO3.cif"),
    zone_axis=(0, 0, 1),
    x_axis=(1, 0, 0),
    debye_waller_pm={"Sr": 8.9, "Ti": 7.5, "O": 9.6},  # Yu. A. Abramov et al., Acta Cryst. B 51, 942 (1995)
)
TITANATE = load_crystal(TITANATE_BLOCK, "titanate")
"""SrTiO3 along [001]: columns of Sr, of Ti with O, and of O."""

RADII = {"core_radius_pm": {"Ce": 85, "O": 64}, "outer_radius_pm": {"Ce": 120, "O": 90}}
RINGS = Labels(**RADII)
"""The labels of the default configuration."""

SMALL = {
    "crystal": "ceria",
    "field_pm": 1352.75,
    "margin_pm": 338.1875,
    "decay_nm": (0.5, 1.0),
    "missing_probability": 0.0,
}
SMALL_BEAM = Beam(pixel_pm=7, slice_pm=190, absorption=False, debye_waller_pm={"Ce": 6.6, "O": 8.5})


@pytest.fixture(scope="session")
def abtem():
    """abTEM, set up as the workflow sets it up."""
    module = pytest.importorskip("abtem")
    from segdepth.simulation.exit_wave import configure_abtem

    configure_abtem("cpu")
    return module


def small_slab(atoms_a_column: float, *, field_pm: float = 1352.75):
    """A flat slab of even thickness with vacuum at +y, and its specimen block."""
    block = Specimen(**{**SMALL, "field_pm": field_pm})
    row = {
        "id": "slab-00000", "index": 0, "seed": 0, "surface": "flat", "bulk_atoms": atoms_a_column,
        "surface_atoms": atoms_a_column, "decay_pm": 500.0, "exit_fraction": 0.5, "vacuum_fraction": 0.25,
        "origin_x_pm": 100.0, "origin_y_pm": 60.0, "entrance_phase": 0.3,
    }  # fmt: skip
    return build_wedge(row, block, CERIA, "slab", 0), block


@pytest.fixture(scope="session")
def slab_waves(abtem):
    """Exit waves of uniform slabs: atoms a column -> (wave, atoms, block)."""
    from segdepth.simulation.exit_wave import exit_wave

    made = {}
    for count in (2, 5, 9, 12):
        atoms, block = small_slab(count)
        made[count] = exit_wave(atoms, SMALL_BEAM), atoms, block
    return made


@pytest.fixture(scope="session")
def drprobe() -> Path:
    """Dr. Probe's SrTiO3 calculation, which is no part of the project."""
    near = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference" / "drprobe_srtio3"
    folder = Path(os.environ.get("SEGDEPTH_DRPROBE", near))
    if not (folder / "img" / "STO_sl002.dat").is_file():
        pytest.skip(
            f"Dr. Probe's SrTiO3 files are not at {folder}: set SEGDEPTH_DRPROBE to the examples of "
            "github.com/FWin22/drprobe_interface (wav/, img/, slc/)"
        )
    return folder


def random_wave(orders: int, cell_pm: float, angle_rad: float, wavelength_pm: float, seed: int) -> np.ndarray:
    """A wave without any symmetry, unit intensity, inside an angle; FFT order, complex128."""
    rng = np.random.default_rng(seed)
    k = np.r_[0 : orders + 1, -orders:0]
    wave = rng.normal(size=(k.size, k.size)) + 1j * rng.normal(size=(k.size, k.size))
    square = k[:, None] ** 2 + k[None, :] ** 2
    wave *= np.exp(-square / (orders / 2) ** 2) * (square <= (angle_rad / wavelength_pm * cell_pm) ** 2)
    wave[0, 0] = 3 * np.abs(wave[0, 0]) + 1
    return wave / np.sqrt(np.sum(np.abs(wave) ** 2))


def cerium(*places, side=16.0, height=9.0) -> Atoms:
    return Atoms(f"Ce{len(places)}", positions=places, cell=(side, side, height), pbc=True)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference over the norm of what was scattered."""
    scattered = expected.copy()
    scattered[0, 0] -= 1
    return np.linalg.norm(found - expected) / np.linalg.norm(scattered)
