"""What the tests of adaptations share: a film, a lens fit of it, and a small network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import CERIA
from film_data import crystal_film, small_network

from segdepth.fitting.result import FittedBin, LensFit
from segdepth.store.manifest import write_artefact

FIT = LensFit(
    crystal=json.loads(json.dumps(CERIA.to_dict())),
    energy_kev=300.0,
    dose_e_per_a2=800.0,
    frames=2,
    pixel_pm=7.0,
    values={
        "defocus_nm": 12.3, "c3_um": -9.0, "c5_mm": 5.0, "a1_nm": 2.4, "a1_azimuth_deg": 170.0, "b2_nm": 40.0,
        "b2_azimuth_deg": -100.0, "a2_nm": 5.0, "a2_azimuth_deg": 20.0, "focal_spread_nm": 4.1, "convergence_mrad": 0.2,
        "image_spread_pm": 24.0, "contrast_factor": 0.93, "background": 0.05, "exit_share": 0.4,
        "tilt_x_deg": 1.0, "tilt_y_deg": -0.8,
    },
    errors={
        "defocus_nm": 0.2, "c3_um": None, "c5_mm": None, "a1_nm": 0.1, "a1_azimuth_deg": 4.0, "b2_nm": 9.0,
        "b2_azimuth_deg": 12.0, "a2_nm": 8.0, "a2_azimuth_deg": 60.0, "focal_spread_nm": 0.3, "convergence_mrad": None,
        "image_spread_pm": 1.5, "contrast_factor": 0.01, "background": 0.03, "exit_share": 0.05,
        "tilt_x_deg": 0.05, "tilt_y_deg": 0.04,
    },
    held=("c3_um", "c5_mm", "convergence_mrad"),
    bins=tuple(
        FittedBin(distance, atoms, thickness_error=0.3, cells=30.0, chi2=11.0, dof=10.0)
        for distance, atoms in ((170.0, 3.2), (500.0, 4.6), (1000.0, 6.0), (2000.0, 7.2), (3000.0, 7.6))
    ),
    chi2=51.0,
    dof=50,
    explained=True,
    rivals=(),
    lines=(),
)  # fmt: skip


def write_fit(folder: Path, **changes) -> Path:
    path = folder / "lens_fit.json"
    path.write_text(json.dumps(replace(FIT, **changes).to_dict()))
    return path


def write_film(folder: Path) -> Path:
    path = folder / "film.npy"
    np.save(path, crystal_film(count=2))
    return path


def write_network(folder: Path) -> Path:
    """One that has learnt nothing, as if a training had written it; its fields are small."""
    path = folder / "broad"
    with write_artefact(path, command="train-model", code="code", parameters={}) as partial:
        partial.mkdir()
        splits = {"test": 0.0, "validation": 0.5, "train": 0.5}
        seen = {"specimen": "elsewhere", "root_seed": 0, "structures": 2, "splits": splits}
        small_network(partial, field_pm=1352.75, training_record=[seen])
    return path
