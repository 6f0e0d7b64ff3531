"""The exit waves of a file of atoms (see ``simulation.datasets.waves_dataset``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segdepth.config import Beam
from segdepth.seeds import structure_rng
from segdepth.simulation.cell import sides_pm
from segdepth.simulation.configurations import configuration_weights
from segdepth.simulation.datasets import structure_beams, waves_dataset
from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_waves, wave_orders
from segdepth.simulation.grid import check_grid
from segdepth.specimen.frame_facts import frame_facts
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import one_at_a_time, write_zarr

COMMAND = "simulate-waves"


def simulate_waves(beam: Beam, atoms: Path, out: Path, *, code: str, device: str = "auto") -> None:
    """Multislice of every structure in a file of atoms: a shard, or any extxyz.

    Raises
    ------
    StoreError, ConfigError
        The atoms cannot be read, the beam's grid is too coarse, or the vibration of an element is not known.
    """
    check_target(out, COMMAND, [atoms])
    backend = abtem_device(device)
    configure_abtem(backend)
    frames = read_atoms(atoms)
    facts = frame_facts(frames, square=False)
    cell_pm = sides_pm(frames[0])
    check_grid("beam", beam, cell_pm)
    beams = structure_beams(beam, frames, facts)

    def of_structure(position: int) -> np.ndarray:
        one = facts[position]
        rng = structure_rng(one.root_seed, one.specimen, one.index, "phonons")
        return exit_waves(frames[position], beams[position], rng)

    kx, ky = (2 * most + 1 for most in wave_orders(cell_pm, beam))
    shape = (len(configuration_weights(beam)), ky, kx)
    waves = one_at_a_time(of_structure, len(frames), shape, np.complex64, f"multislice of {atoms}")
    dataset = waves_dataset(waves, frames, facts, beams)
    parameters = {"beam": beam.model_dump(mode="json")}
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[atoms],
        parameters=parameters,
        seeds={name: dataset.attrs[name] for name in ("root_seed", "specimen")},
        notes={"device": backend},
    ) as partial:
        write_zarr(dataset, partial, parameters=parameters)
