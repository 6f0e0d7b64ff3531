"""The job ``study-convergence``: image error and time of each case, on some structures of an atoms file, as CSV.

Columns: ``group``, ``case``, ``against`` (see ``cases.Case``), ``multislice_s``, ``multislice_ratio`` (of the time
of abTEM's own 2048² with 48 pm slices, same run), ``image_ms``, ``stored_kb`` (exit wave), ``grid_points``,
``intensity_points``,
``error_<C1>nm_percent`` (rms difference over rms contrast, rms over structures), ``error_percent`` (rms over defoci).
One core; times are medians over structures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, ConfigError, Imaging
from segdepth.seeds import hash64
from segdepth.simulation.convergence.cases import Case, Optics, cases, reference_beam, snapshot_beam
from segdepth.simulation.convergence.pictures import DEFOCUS_NM, Camera, error_percent, opened, timed_waves
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.specimen.files import read_atoms
from segdepth.store.manifest import check_target, read_manifest, versions, writing

COMMAND = "study-convergence"


def study_convergence(
    beam: Beam,
    imaging: Imaging,
    atoms: Path,
    structures: Sequence[int],
    out: Path,
    code: str,
    *,
    phonons: int = 32,
    checkpoints: Path | None = None,
) -> None:
    """Measure every case on some structures of an atoms file; resumes from ``checkpoints``.

    Parameters
    ----------
    structures : indices in the plan; none means the thickest and the middle one of the file.
    phonons : snapshots on either side of the comparison with the Debye-Waller factor; 0 leaves it out.
    checkpoints : folder where finished waves are kept until the study is whole.
    """
    check_target(out, COMMAND, [atoms])
    frames = read_atoms(atoms)
    chosen = _chosen(frames, structures, atoms)
    specimen = read_manifest(atoms)["parameters"]["specimen"]
    cell_pm = 100 * float(chosen[0].cell[0, 0])
    check_grid("beam", beam, cell_pm)
    if isinstance(imaging.vibration_pm, tuple) or isinstance(imaging.focal_spread_nm, tuple):
        raise ConfigError("imaging: the study needs fixed values, got a range of vibration_pm or focal_spread_nm")
    torch.set_num_threads(1)
    configure_abtem("cpu")
    kept = _Kept(checkpoints, code)
    camera = Camera(imaging, beam.energy_kev, cell_pm, specimen["margin_pm"])
    rows = list(cases(beam, imaging, cell_pm, phonons))
    found = []
    with tqdm(total=len(chosen) * (len(rows) + 1), desc="cases", unit="case") as bar:
        for frame in chosen:
            found.append(_measure(frame, beam, rows, camera, kept, phonons, bar))
    table = _table(rows, found, beam, cell_pm)
    text = StringIO()
    table.to_csv(text, index=False, float_format="%.5g", lineterminator="\n")
    parameters = {"beam": beam.model_dump(mode="json"), "imaging": imaging.model_dump(mode="json"), "phonons": phonons}
    notes = {"structures": [frame.info["id"] for frame in chosen], "versions": versions()}
    with writing(out, command=COMMAND, code=code, inputs=[atoms], parameters=parameters, notes=notes) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    kept.remove()


def _chosen(frames: list[Atoms], structures: Sequence[int], atoms: Path) -> list[Atoms]:
    if not structures:
        ranked = sorted(frames, key=lambda frame: float(frame.cell[2, 2]))
        return [ranked[-1], ranked[len(ranked) // 2]] if len(ranked) > 1 else ranked
    by_index = {frame.info["index"]: frame for frame in frames}
    missing = [index for index in structures if index not in by_index]
    if missing:
        raise ConfigError(f"{atoms}: does not hold structure {missing[0]}; it has {min(by_index)} to {max(by_index)}")
    return [by_index[index] for index in structures]


class _Kept:
    """Finished waves of slow cases on disk, so that a stopped study goes on."""

    def __init__(self, folder: Path | None, code: str) -> None:
        self.folder, self.code = folder, code

    def waves(self, frame: Atoms, beam: Beam, projection: str | None, seed: int) -> tuple[np.ndarray, float]:
        rng = np.random.default_rng([seed, int(frame.info["index"])])
        if self.folder is None:
            return timed_waves(frame, beam, rng, projection)
        key = hash64(
            json.dumps([self.code, frame.info["id"], int(frame.info["seed"]), beam.as_json(), projection, seed])
        )
        path = self.folder / f"{key:016x}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                return file["waves"], float(file["seconds"])
        waves, seconds = timed_waves(frame, beam, rng, projection)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, waves=waves, seconds=seconds)
        partial.replace(path)
        return waves, seconds

    def remove(self) -> None:
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.npz"):
                path.unlink()


def _measure(
    frame: Atoms, beam: Beam, rows: list[Case], camera: Camera, kept: _Kept, phonons: int, bar: tqdm
) -> list[dict[str, object]]:
    """Error of each case (defocus,), seconds of the multislice, seconds an image."""
    waves, seconds = {}, float("nan")
    for absorption in sorted({beam.absorption, False}):  # abTEM's own potentials absorb nothing
        given = reference_beam(beam.model_copy(update={"absorption": absorption}), 100 * float(frame.cell[0, 0]))
        waves[absorption], seconds = kept.waves(frame, given, None, 0)
    reference = waves[beam.absorption]
    usual, explicit = Optics(), Optics(focal_method="gaussian", focal_samples=161)
    ways = {"wave": usual, "open": opened(usual), "everything": opened(explicit)}
    truth = {(kind, a): camera.images(wave, way)[0] for kind, way in ways.items() for a, wave in waves.items()}
    if phonons:
        snapshots = camera.images(kept.waves(frame, snapshot_beam(beam, phonons), None, 1)[0], usual)[0]
        truth |= {("phonons", absorption): snapshots for absorption in (False, True)}
    bar.update()
    measured: list[dict[str, object]] = [{"multislice_s": seconds}]
    for case in rows:
        wave, seconds, absorption = reference, float("nan"), beam.absorption
        if case.beam is not None:
            wave, seconds = kept.waves(frame, case.beam, case.abtem, 2)
            absorption = case.beam.absorption
        images, each = camera.images(wave, case.optics)
        errors = error_percent(images, truth[case.against, absorption])
        measured.append({"multislice_s": seconds, "image_s": each, "errors": errors})
        bar.update()
    return measured


def _table(rows: list[Case], found: list[list[dict]], beam: Beam, cell_pm: float) -> pd.DataFrame:
    reference = reference_beam(beam, cell_pm)
    plain = next(place for place, case in enumerate(rows) if case.abtem == "infinite")
    unit = np.median([each[plain + 1]["multislice_s"] for each in found])
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
            "stored_kb": "" if given is None else 8 * (2 * orders + 1) ** 2 / 1000,
        }
        if case is not None:
            errors = np.sqrt(np.mean([each[place]["errors"] ** 2 for each in found], axis=0))
            line["image_ms"] = 1000 * np.median([each[place]["image_s"] for each in found])
            line |= {f"error_{c1:g}nm_percent": value for c1, value in zip(DEFOCUS_NM, errors)}
            line["error_percent"] = np.sqrt(np.mean(errors**2))
        lines.append(line)
    return pd.DataFrame(lines)
