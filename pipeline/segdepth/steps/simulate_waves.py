"""The job ``simulate-waves``: a shard of atoms in, a store of exit waves out.

``wave(structure, configuration, ky, kx)`` complex64, dimensionless (vacuum F00 = 1); coordinates ``structure``
(index in the plan), ``ky``, ``kx`` (orders, in units of 1/cell). ``configuration`` counts frozen phonons; without
them it is 1. Attributes ``cell_pm``, ``margin_pm``, ``energy_kev``, ``wavelength_pm``, ``stored_angle_mrad``,
``grid_points``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from segdepth.config import Beam
from segdepth.seeds import structure_rng
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_waves
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import check_target, read_manifest, writing
from segdepth.store.zarr_store import one_at_a_time, write_zarr

COMMAND = "simulate-waves"


def simulate_waves(beam: Beam, atoms: Path, out: Path, code: str, device: str = "auto") -> None:
    """Multislice of every structure in an atoms shard."""
    check_target(out, COMMAND, [atoms])
    backend = abtem_device(device)
    configure_abtem(backend)
    frames = read_atoms(atoms)
    made = read_manifest(atoms)
    specimen, name, root_seed = made["parameters"]["specimen"], made["parameters"]["name"], made["seeds"]["root_seed"]
    check_grid("beam", beam, 100 * float(frames[0].cell[0, 0]))
    cell_pm = 100 * float(frames[0].cell[0, 0])
    orders = stored_orders(cell_pm, beam.energy_kev, beam.stored_angle_mrad)

    def of_structure(position: int) -> np.ndarray:
        frame = frames[position]
        return exit_waves(frame, beam, structure_rng(root_seed, name, frame.info["index"], "phonons"))

    shape = (max(1, beam.frozen_phonons), 2 * orders + 1, 2 * orders + 1)
    waves = one_at_a_time(of_structure, len(frames), shape, np.complex64, f"multislice of {atoms}")
    k = np.r_[0 : orders + 1, -orders:0]
    dataset = xr.Dataset(
        {
            "wave": (
                ("structure", "configuration", "ky", "kx"),
                waves,
                {"units": "1", "long_name": "Fourier coefficients of the exit wave"},
            )
        },
        coords={
            "structure": (
                "structure",
                [f.info["index"] for f in frames],
                {"units": "1", "long_name": "index in the plan"},
            ),
            "ky": ("ky", k, {"units": "1/cell", "long_name": "Fourier order along y"}),
            "kx": ("kx", k, {"units": "1/cell", "long_name": "Fourier order along x"}),
        },
        attrs={
            "title": "exit waves of CeO2 wedges",
            "cell_pm": cell_pm,
            "margin_pm": specimen["margin_pm"],
            "energy_kev": beam.energy_kev,
            "stored_angle_mrad": beam.stored_angle_mrad,
            "wavelength_pm": wavelength_pm(beam.energy_kev),
            "grid_points": grid_points(cell_pm, beam.pixel_pm),
        },
    )
    parameters = {"beam": beam.model_dump(mode="json")}
    with writing(
        out,
        command=COMMAND,
        code=code,
        inputs=[atoms],
        parameters=parameters,
        seeds={"structures": {f.info["id"]: int(f.info["seed"]) for f in frames}},
        notes={"device": backend},
    ) as partial:
        write_zarr(dataset, partial, parameters=parameters)
