"""Image error and time of multislice grids, margins and stored angles: ``python benchmarks/grid.py`` (one core, 1 min).

Error: rms of the image's difference over the rms of its contrast, in the field of view, at C1 = 1, 5 and 9 nm with
4 nm focal spread averaged explicitly, 0.2 mrad, 40 mrad aperture, 20 pm vibration and 21 pm pixels. One structure:
the default specimen's first with a flat surface, a bulk above 9 atoms and no missing atoms.
"""

from __future__ import annotations

import platform
import time
from pathlib import Path

import abtem
import numpy as np
import torch
from ase import Atoms

from segdepth.config import Beam, Specimen
from segdepth.simulation import exit_wave as multislice
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.optics import ImageFormer, Lens
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge
from segdepth.store.manifest import versions

FOCUS_NM = (1.0, 5.0, 9.0)
SPECIMEN = Specimen(missing_probability=0)
NAME = "benchmark"


def planned_row() -> dict:
    rows = (plan_row(SPECIMEN, NAME, index, 0) for index in range(1000))
    return next(row for row in rows if row["bulk_atoms"] > 9 and row["surface"] == "flat")


def structure(margin_pm: float) -> tuple[Atoms, Specimen]:
    """The same lattice in the field of view, whatever the margin."""
    block = SPECIMEN.model_copy(update={"margin_pm": margin_pm})
    row, more = planned_row(), margin_pm - SPECIMEN.margin_pm
    row = {**row, "origin_x_pm": row["origin_x_pm"] + more, "origin_y_pm": row["origin_y_pm"] + more}
    return build_wedge(row, block, NAME, 0), block


def images(wave: np.ndarray, block: Specimen, aperture_mrad: float = 40.0) -> np.ndarray:
    former = ImageFormer(
        cell_pm=block.cell_pm,
        margin_pm=block.margin_pm,
        pixel_pm=5411 / 256,
        orders=wave.shape[-1] // 2,
        wavelength_pm=wavelength_pm(300),
        aperture_rad=aperture_mrad / 1000,
        dtype=torch.float64,
    )
    one = [1.0] * len(FOCUS_NM)
    lens = Lens.from_columns(
        {
            "c1_pm": [1000 * c1 for c1 in FOCUS_NM],
            "c3_pm": [-9e6 * v for v in one],
            "c5_pm": [5e9 * v for v in one],
            "focal_spread_pm": [4000 * v for v in one],
            "convergence_rad": [0.2e-3 * v for v in one],
            "vibration_pm": [20 * v for v in one],
        }
    )
    return former.form(torch.as_tensor(wave).expand(len(one), -1, -1), lens).numpy()


def error_percent(found: np.ndarray, reference: np.ndarray) -> str:
    each = [100 * np.sqrt(np.mean((a - b) ** 2)) / b.std() for a, b in zip(found, reference)]
    return " / ".join(f"{value:.2f}" for value in each)


def timed(atoms: Atoms, beam: Beam) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    wave = multislice.exit_wave(atoms, beam)
    return wave, time.perf_counter() - start


def abtems_potential(atoms: Atoms, points: int, slice_angstrom: float, parametrization) -> abtem.Potential:
    """What ``segdepth.simulation.potential`` replaces."""
    return abtem.Potential(
        atoms,
        gpts=(points, points),
        slice_thickness=slice_angstrom,
        parametrization=parametrization,
        projection="infinite",
    )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    torch.set_num_threads(1)
    multislice.configure_abtem("cpu")
    found = versions()
    named = ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "abtem", "torch"))
    print(f"{processor()}, one core; {named}\n")
    atoms, block = structure(SPECIMEN.margin_pm)
    cell = block.cell_pm
    timed(atoms, Beam(pixel_pm=12))  # plans, caches, compilation
    wave, seconds = timed(atoms, Beam(pixel_pm=cell / 2000))
    reference = images(wave, block)
    print(f"{len(atoms)} atoms, bulk {planned_row()['bulk_atoms']} atoms a column, cell {cell / 1000:.3f} nm.")
    print("Reference: 2000 points, exact potential, a slice for each plane.\n")
    print("| potential | pixel_pm | points | slice_pm | error %, C1 = 1 / 5 / 9 nm | seconds |")
    print("|---|---|---|---|---|---|")

    def row(label: str, pixel_pm: float, slice_pm: float) -> None:
        wave, seconds = timed(atoms, Beam(pixel_pm=pixel_pm, slice_pm=slice_pm))
        error = error_percent(images(wave, block), reference)
        points = multislice.grid_points(cell, pixel_pm)
        print(f"| {label} | {pixel_pm:.2f} | {points} | {slice_pm:g} | {error} | {seconds:.1f} |", flush=True)

    print(f"| exact | {cell / 2000:.2f} | 2000 | planes | reference | {seconds:.1f} |")
    for pixel_pm in (5.28, 5.7, 7.05, 7.6, 8.5, 9.4):
        row("exact", pixel_pm, 96)
    row("exact", 7.05, 191)
    row("exact", 7.05, 200)
    ours, multislice.projected_potential = multislice.projected_potential, abtems_potential
    for pixel_pm, slice_pm in ((7.05, 191), (7.05, 96), (5.7, 191), (5.7, 96), (5.28, 96), (cell / 2000, 48)):
        row("abTEM's", pixel_pm, slice_pm)
    multislice.projected_potential = ours

    print("\n| what else | error %, C1 = 1 / 5 / 9 nm |\n|---|---|")
    pixel = 5411 / 800  # 1000 and 1200 points, the same pixel
    wide_atoms, wide = structure(1352.75)
    near = images(timed(atoms, Beam(pixel_pm=pixel))[0], block)
    far = images(timed(wide_atoms, Beam(pixel_pm=pixel))[0], wide)
    print(f"| margin {block.margin_pm:g} pm against {wide.margin_pm:g} pm | {error_percent(near, far)} |")
    all_angles = timed(atoms, Beam(pixel_pm=pixel, stored_angle_mrad=60))[0]
    narrow, open_lens = images(all_angles, block, 40), images(all_angles, block, 60)
    print(f"| waves and aperture of 40 mrad against 60 mrad | {error_percent(narrow, open_lens)} |")


if __name__ == "__main__":
    main()
