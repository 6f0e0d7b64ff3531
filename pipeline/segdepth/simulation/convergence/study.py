"""The convergence study: image error and time of each case on some structures, as a table.

Columns: ``group``, ``case``, ``against`` (see ``cases.Case``), ``grid_points`` (multislice), ``multislice_s``,
``multislice_ratio`` (of the time of abTEM's own 2048² with 48 pm slices), ``stored_kb`` (exit wave),
``intensity_points`` (grid of |ψ|²), ``image_ms``, ``error_<C1>nm_percent`` (rms difference over rms contrast, rms over
structures), ``error_percent`` (rms over defoci). Times are medians over structures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, Imaging, check_whole_pixels
from segdepth.crystals import Crystal
from segdepth.errors import ConfigError
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.cell import sides_pm
from segdepth.simulation.convergence.cases import Case, Optics, cases, explicit, reference_beam, snapshot_beam
from segdepth.simulation.convergence.checks import check_study
from segdepth.simulation.convergence.images import DEFOCUS_NM, Microscope, error_percent, opened
from segdepth.simulation.convergence.waves import compile_all, timed_waves
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.simulation.potential import SAME_PLANE, plane_levels

ONE_PLANE_PM = 30.0
"""Atoms of a crystal's period that lie nearer in height are one plane."""

Multislice = Callable[[Atoms, Beam, str | None, int], tuple[np.ndarray, float]]
"""Structure, beam, abTEM's projection and a seed of the frozen phonons to waves and seconds."""


def run_multislice(atoms: Atoms, beam: Beam, projection: str | None, seed: int) -> tuple[np.ndarray, float]:
    """``timed_waves`` of a structure; its frozen phonons come from ``seed`` and its index."""
    rng = np.random.default_rng([seed, int(atoms.info.get("index", 0))])
    return timed_waves(atoms, beam, rng, projection)


class Study:
    """The cases for some structures of one crystal, all checked before any work.

    Parameters
    ----------
    beam, imaging : the blocks under study, with fixed values.
    frames : structures in square cells of one size.
    margin_pm : what is cropped from each side of the cell.
    crystal : of the structures; None where it is not known.
    phonons : snapshots on either side of the comparison with the Debye-Waller factor; 0 leaves it out.

    Raises
    ------
    ConfigError
        The beam is tilted, a block gives a range, the aperture is wider than what the beam stores, a grid is too
        coarse, the cell is not square, or the vibration of an element is not known.
    """

    def __init__(
        self,
        beam: Beam,
        imaging: Imaging,
        frames: Sequence[Atoms],
        margin_pm: float,
        crystal: Crystal | None = None,
        phonons: int = 16,
    ) -> None:
        check_study(beam, imaging)
        self.frames, self.phonons = frames, phonons
        self.cell_pm, other = sides_pm(frames[0])
        if other != self.cell_pm:
            raise ConfigError(f"atoms: the convergence study needs a square cell, got {self.cell_pm:g} x {other:g} pm")
        check_whole_pixels("imaging.pixel_pm", imaging.pixel_pm, self.cell_pm - 2 * margin_pm, margin_pm)
        check_grid("beam", beam, self.cell_pm)
        check_grid("reference", reference_beam(beam, self.cell_pm), self.cell_pm)
        self.elements = sorted({symbol for frame in frames for symbol in frame.get_chemical_symbols()})
        known = crystal.debye_waller_pm if crystal else {}
        self.beam = resolve_beam(beam, self.elements, known, np.random.default_rng(0))
        self.microscope = Microscope(imaging, beam.energy_kev, self.cell_pm, margin_pm)
        plane_pm = crystal_plane_pm(crystal) if crystal else frames_plane_pm(frames)
        self.rows = list(cases(self.beam, imaging, self.cell_pm, plane_pm, phonons))

    def table(self, multislice: Multislice = run_multislice) -> pd.DataFrame:
        """Measure all cases; ``multislice`` may reuse earlier waves."""
        compile_all(((case.beam, case.abtem) for case in self.rows if case.beam is not None), self.elements)
        found = []
        with tqdm(total=len(self.frames) * (len(self.rows) + 1), desc="cases", unit="case") as bar:
            for frame in self.frames:
                found.append(self._measure(frame, multislice, bar))
        return _table(self.rows, found, self.beam, self.cell_pm)

    def _measure(self, frame: Atoms, multislice: Multislice, bar: tqdm) -> list[dict[str, object]]:
        """Of the reference and of each case: seconds of the multislice and an image, points of |ψ|², errors
        (defocus,)."""
        beam, microscope = self.beam, self.microscope
        waves, seconds = {}, float("nan")
        for absorption in sorted({beam.absorption, False}):  # abTEM's own potentials absorb nothing
            given = reference_beam(beam.model_copy(update={"absorption": absorption}), self.cell_pm)
            waves[absorption], seconds = multislice(frame, given, None, 0)
        reference = waves[beam.absorption]
        usual = Optics()
        ways = {"wave": usual, "open": opened(usual), "everything": opened(explicit())}
        truth = {
            (kind, a): microscope.images(wave, way).images for kind, way in ways.items() for a, wave in waves.items()
        }
        if self.phonons:
            snapshots = microscope.images(
                multislice(frame, snapshot_beam(beam, self.phonons), None, 1)[0], usual
            ).images
            truth |= {("phonons", absorption): snapshots for absorption in (False, True)}
        bar.update()
        measured: list[dict[str, object]] = [{"multislice_s": seconds}]
        for case in self.rows:
            wave, seconds, absorption = reference, float("nan"), beam.absorption
            if case.beam is not None:
                wave, seconds = multislice(frame, case.beam, case.abtem, 2)
                absorption = case.beam.absorption
            images = microscope.images(wave, case.optics)
            measured.append(
                {
                    "multislice_s": seconds,
                    "image_s": images.seconds,
                    "intensity_points": images.intensity_points,
                    "errors": error_percent(images.images, truth[case.against, absorption]),
                }
            )
            bar.update()
        return measured


def crystal_plane_pm(crystal: Crystal) -> float:
    """Median spacing of the upright crystal's planes of atoms along the beam."""
    period = crystal.periods_pm[2]
    heights = [
        period * (round(column.z + offset + n / column.per_period, 6) % 1)
        for column in crystal.columns
        for offset in (0.0, *(height for _, height in column.companions))
        for n in range(column.per_period)
    ]
    levels = plane_levels(np.array(heights), ONE_PLANE_PM)
    return float(np.median(np.diff([*levels, levels[0] + period])))


def frames_plane_pm(frames: Sequence[Atoms]) -> float:
    """Median spacing of the planes of atoms in the first structure; the cell's height where there is one plane."""
    levels = 100 * plane_levels(frames[0].positions[:, 2], SAME_PLANE)
    return float(np.median(np.diff(levels))) if len(levels) > 1 else 100 * float(frames[0].cell[2, 2])


def _table(rows: list[Case], found: list[list[dict]], beam: Beam, cell_pm: float) -> pd.DataFrame:
    reference = reference_beam(beam, cell_pm)
    plain = next((place for place, case in enumerate([None, *rows]) if case and case.abtem), None)
    unit = np.median([each[plain]["multislice_s"] for each in found]) if plain else float("nan")
    lines = []
    for place, case in enumerate([None, *rows]):
        given = reference if case is None else case.beam
        seconds = np.median([each[place]["multislice_s"] for each in found])
        orders = stored_orders(cell_pm, beam.energy_kev, (given or reference).stored_angle_mrad)
        line = {
            "group": "reference" if case is None else case.group,
            "case": "2048², 16.7 pm slabs, float64, explicit averaging" if case is None else case.name,
            "against": "" if case is None else case.against,
            "grid_points": "" if given is None else grid_points(cell_pm, given.pixel_pm),
            "multislice_s": seconds,
            "multislice_ratio": seconds / unit,
            "stored_kb": "" if given is None else 8 * max(1, given.frozen_phonons) * (2 * orders + 1) ** 2 / 1000,
        }
        if case is not None:
            errors = np.sqrt(np.mean([each[place]["errors"] ** 2 for each in found], axis=0))
            line["intensity_points"] = found[0][place]["intensity_points"]
            line["image_ms"] = 1000 * np.median([each[place]["image_s"] for each in found])
            line |= {f"error_{c1:g}nm_percent": value for c1, value in zip(DEFOCUS_NM, errors)}
            line["error_percent"] = np.sqrt(np.mean(errors**2))
        lines.append(line)
    return pd.DataFrame(lines)
