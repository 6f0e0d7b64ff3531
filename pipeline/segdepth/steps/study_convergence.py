"""The job ``study-convergence``: image error and time of each case, on some structures of an atoms file, as CSV.

Columns: ``group``, ``case``, ``against`` (see ``cases.Case``), ``grid_points`` (multislice), ``multislice_s``,
``multislice_ratio`` (of the time of abTEM's own 2048² with 48 pm slices), ``stored_kb`` (exit wave),
``intensity_points`` (grid of |ψ|²), ``image_ms``, ``error_<C1>nm_percent`` (rms difference over rms contrast, rms over
structures), ``error_percent`` (rms over defoci).

One core; times are medians over structures. A wave that an earlier, stopped run has kept keeps the seconds that it took
there: a resumed study mixes times of several runs, and the manifest's note ``waves_of_earlier_runs`` counts such waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, Imaging, check_whole_pixels
from segdepth.errors import ConfigError
from segdepth.simulation.convergence.cases import Case, Optics, cases, explicit, reference_beam, snapshot_beam
from segdepth.simulation.convergence.limits import check_study
from segdepth.simulation.convergence.pictures import DEFOCUS_NM, Camera, error_percent, opened
from segdepth.simulation.convergence.waves import KeptWaves, compile_all
from segdepth.simulation.electron import stored_orders
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.steps.atoms_files import read_atoms
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
    phonons: int = 16,
    checkpoints: Path | None = None,
) -> None:
    """Measure every case on some structures of an atoms file; resumes from ``checkpoints``.

    Parameters
    ----------
    structures : indices in the plan; none means the thickest and the middle one of the file.
    phonons : snapshots on either side of the comparison with the Debye-Waller factor; 0 leaves it out.
    checkpoints : folder where finished waves are kept until the study is whole.

    Raises
    ------
    ConfigError
        The file lacks a structure, the beam is tilted, the imaging block draws a lens value from a range or has a wider
        aperture than the beam stores, or a grid is too coarse.
    """
    check_target(out, COMMAND, [atoms])
    frames = read_atoms(atoms)
    chosen = _chosen(frames, structures, atoms)
    made = read_manifest(atoms)
    specimen = made["parameters"]["specimen"]
    cell_pm = 100 * float(chosen[0].cell[0, 0])
    check_study(beam, imaging)
    check_whole_pixels("imaging.pixel_pm", imaging.pixel_pm, specimen["field_pm"], specimen["margin_pm"])
    check_grid("beam", beam, cell_pm)
    check_grid("reference", reference_beam(beam, cell_pm), cell_pm)
    torch.set_num_threads(1)
    configure_abtem("cpu")
    kept = KeptWaves(checkpoints, made["content"])
    camera = Camera(imaging, beam.energy_kev, cell_pm, specimen["margin_pm"])
    rows = list(cases(beam, imaging, cell_pm, phonons))
    compile_all((case.beam, case.abtem) for case in rows if case.beam is not None)
    found = []
    with tqdm(total=len(chosen) * (len(rows) + 1), desc="cases", unit="case") as bar:
        for frame in chosen:
            found.append(_measure(frame, beam, rows, camera, kept, phonons, bar))
    table = _table(rows, found, beam, cell_pm)
    text = StringIO()
    table.to_csv(text, index=False, float_format="%.5g", lineterminator="\n")
    parameters = {"beam": beam.model_dump(mode="json"), "imaging": imaging.model_dump(mode="json"), "phonons": phonons}
    notes = {
        "structures": [frame.info["id"] for frame in chosen],
        "versions": versions(),
        "waves_of_earlier_runs": len(kept.reused),
    }
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


def _measure(
    frame: Atoms, beam: Beam, rows: list[Case], camera: Camera, kept: KeptWaves, phonons: int, bar: tqdm
) -> list[dict[str, object]]:
    """Of the reference and of each case: seconds of the multislice and an image, points of |ψ|², errors (defocus,)."""
    waves, seconds = {}, float("nan")
    for absorption in sorted({beam.absorption, False}):  # abTEM's own potentials absorb nothing
        given = reference_beam(beam.model_copy(update={"absorption": absorption}), 100 * float(frame.cell[0, 0]))
        waves[absorption], seconds = kept.waves(frame, given, None, 0)
    reference = waves[beam.absorption]
    usual = Optics()
    ways = {"wave": usual, "open": opened(usual), "everything": opened(explicit())}
    truth = {(kind, a): camera.images(wave, way).images for kind, way in ways.items() for a, wave in waves.items()}
    if phonons:
        snapshots = camera.images(kept.waves(frame, snapshot_beam(beam, phonons), None, 1)[0], usual).images
        truth |= {("phonons", absorption): snapshots for absorption in (False, True)}
    bar.update()
    measured: list[dict[str, object]] = [{"multislice_s": seconds}]
    for case in rows:
        wave, seconds, absorption = reference, float("nan"), beam.absorption
        if case.beam is not None:
            wave, seconds = kept.waves(frame, case.beam, case.abtem, 2)
            absorption = case.beam.absorption
        pictures = camera.images(wave, case.optics)
        measured.append(
            {
                "multislice_s": seconds,
                "image_s": pictures.seconds,
                "intensity_points": pictures.intensity_points,
                "errors": error_percent(pictures.images, truth[case.against, absorption]),
            }
        )
        bar.update()
    return measured


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
