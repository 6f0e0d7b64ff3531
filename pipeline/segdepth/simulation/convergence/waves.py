"""Exit waves of a case, timed, and kept on disk so that a stopped study goes on. Nothing here knows of the optics."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from ase import Atoms

from segdepth.config import Beam
from segdepth.seeds import hash64
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.exit_wave import carried_on, crop_orders, exit_waves
from segdepth.simulation.grid import grid_points
from segdepth.simulation.scattering import parametrization
from segdepth.store.code import code_hash


def timed_waves(
    atoms: Atoms, beam: Beam, rng: np.random.Generator, abtem_projection: str | None
) -> tuple[np.ndarray, float]:
    """Exit waves [configuration, ky, kx] and seconds."""
    start = time.perf_counter()
    waves = abtems_wave(atoms, beam, abtem_projection)[None] if abtem_projection else exit_waves(atoms, beam, rng)
    return waves, time.perf_counter() - start


def compile_all(choices: Iterable[tuple[Beam, str | None]]) -> None:
    """Run each kind of (beam, abTEM's projection) once on two atoms: what numba compiles on first use, seconds, is no
    part of a case's time."""
    atoms = Atoms("CeO", positions=[(5, 5, 1), (12, 12, 1)], cell=(20, 20, 4), pbc=True)
    small = {"pixel_pm": 7.0, "stored_angle_mrad": 5.0, "slice_pm": 100.0, "frozen_phonons": 0}
    kinds = {}
    for beam, projection in choices:
        coarse = beam.model_copy(update=small)
        kinds[coarse.as_json(), projection] = coarse
    for (_, projection), beam in kinds.items():
        timed_waves(atoms, beam, np.random.default_rng(0), projection)


def abtems_wave(atoms: Atoms, beam: Beam, projection: str) -> np.ndarray:
    """The exit wave with abTEM's own potential and multislice, as a user of abTEM would ask for it; without the beam's
    tilt."""
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
    return cropped * carried_on(orders, 100 * side, beam, atoms.info.get("exit_face_pm", bottom_pm) - bottom_pm, 0.0)


class KeptWaves:
    """Finished waves, with the seconds that they took, in a folder; without one nothing is kept.

    A file's name is a hash of all that makes the wave: the code of the multislice, the atoms file's content, the
    structure, the beam. A change of the optics leaves them in use.

    Attributes
    ----------
    reused : files of an earlier run that this one has read.
    """

    def __init__(self, folder: Path | None, atoms_content: str) -> None:
        self.folder = folder
        self.source = [code_hash(__name__), atoms_content]
        self.reused: set[Path] = set()
        self._mine: set[Path] = set()

    def waves(self, frame: Atoms, beam: Beam, projection: str | None, seed: int) -> tuple[np.ndarray, float]:
        """``timed_waves`` of a structure, whose frozen phonons come from ``seed`` and its index."""
        rng = np.random.default_rng([seed, int(frame.info["index"])])
        if self.folder is None:
            return timed_waves(frame, beam, rng, projection)
        key = hash64(json.dumps([*self.source, frame.info["id"], beam.as_json(), projection, seed]))
        path = self.folder / f"{key:016x}.npz"
        kept = _read(path)
        if kept is not None:
            if path not in self._mine:
                self.reused.add(path)
            self._mine.add(path)
            return kept
        waves, seconds = timed_waves(frame, beam, rng, projection)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, waves=waves, seconds=seconds)
        partial.replace(path)
        self._mine.add(path)
        return waves, seconds

    def remove(self) -> None:
        """Delete what this study wrote or read, and nothing else."""
        for path in self._mine:
            path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[np.ndarray, float] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["waves"], float(file["seconds"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # not there, or damaged: made anew
        return None
