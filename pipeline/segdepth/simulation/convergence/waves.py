"""Exit waves of a case, timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms

from segdepth.config import Beam
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.exit_wave import crop_orders, exit_waves, propagate_free_space
from segdepth.simulation.grid import grid_points
from segdepth.simulation.scattering import parametrization


def timed_waves(
    atoms: Atoms, beam: Beam, rng: np.random.Generator, abtem_projection: str | None
) -> tuple[np.ndarray, float]:
    """Exit waves [configuration, ky, kx] and seconds."""
    start = time.perf_counter()
    waves = abtems_wave(atoms, beam, abtem_projection)[None] if abtem_projection else exit_waves(atoms, beam, rng)
    return waves, time.perf_counter() - start


def compile_all(choices: Iterable[tuple[Beam, str | None]], elements: Sequence[str]) -> None:
    """Run each kind of (beam, abTEM's projection) once on an atom of each element: what numba compiles on first use,
    seconds, is no part of a case's time."""
    places = [(20 * (i + 0.5) / len(elements),) * 2 + (1,) for i in range(len(elements))]
    atoms = Atoms(list(elements), positions=places, cell=(20, 20, 4), pbc=True)
    small = {"pixel_pm": 7.0, "stored_angle_mrad": 5.0, "slice_pm": 100.0, "frozen_phonons": 0, "diffuse_snapshots": 0}
    kinds = {}
    for beam, projection in choices:
        coarse = beam.model_copy(update=small)
        kinds[coarse.as_json(), projection] = coarse
    for (_, projection), beam in kinds.items():
        timed_waves(atoms, beam, np.random.default_rng(0), projection)


def abtems_wave(atoms: Atoms, beam: Beam, projection: str) -> np.ndarray:
    """The exit wave of a usual abTEM calculation, with its own potential and multislice; without tilt, in a square
    cell."""
    import abtem

    side = float(atoms.cell[0, 0])
    points = grid_points(100 * side, beam.pixel_pm)
    with abtem.config.set({"precision": beam.precision, "antialias.cutoff": beam.band_limit}):
        potential = abtem.Potential(
            atoms,
            gpts=(points, points),
            slice_thickness=beam.slice_pm / 100,
            parametrization=parametrization(beam),
            projection=projection,
        )
        plane = abtem.PlaneWave(energy=1000 * beam.energy_kev)
        wave = plane.multislice(potential, lazy=True).compute(scheduler="synchronous", progress_bar=False)
    wave = np.asarray(wave.to_cpu().array).reshape(points, points)
    orders = stored_orders(100 * side, beam.energy_kev, beam.stored_angle_mrad)
    cropped = crop_orders(np.fft.fft2(wave.T) / wave.size, orders, 100 * side, beam)
    bottom_pm = 100 * float(atoms.cell[2, 2])
    return cropped * propagate_free_space(
        orders, 100 * side, beam, atoms.info.get("exit_face_pm", bottom_pm) - bottom_pm, 0.0
    )
