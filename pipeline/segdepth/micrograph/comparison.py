"""The job ``compare-micrograph``: a micrograph and the simulated wedge at its pixel and dose, measured in the same way.

The folder it writes:

- ``comparison.json``: ``micrograph`` and ``simulation`` (the structure and the defocus that are shown), each with
  ``vacuum`` (mean, variance/mean, correlation of neighbours), ``lattice`` (every peak's spacing, its deviation from the
  lattice, its error; the pixel and the distortion that follow) and ``contrast`` (see ``segdepth.micrograph.contrast``);
  ``ranges``: for each quantity of contrast and each peak's deviation, from the least to the greatest of all simulated
  structures and defoci, whether the micrograph lies within, and at which defoci.
- ``simulated.csv``: one row a structure and defocus: contrast, ``difference`` (rms between the average cell and the
  micrograph's), ``d_<reflection>_pm``. Empty where the lattice does not rise above the noise.
- ``comparison.zarr``: the pictures, upright, vacuum = 1: ``<side>_counts``, ``<side>_smooth`` (Gaussian of 25 pm) and
  ``<side>_spectrum`` (log10 of the Fourier modulus over the noise's; ``<side>_v``, ``<side>_u`` in 1/nm) for
  the sides ``micrograph`` and ``simulation``; ``<side>_cell``, the average unit cell.

The micrograph is measured on its own pixels; it is turned for the pictures alone. Must not know how anything is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from segdepth.config import Imaging
from segdepth.errors import ConfigError, StoreError
from segdepth.micrograph.columns import LATTICE_PM
from segdepth.micrograph.comparison_pictures import comparison_pictures, crop_shape
from segdepth.micrograph.contrast import QUANTITIES
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.lattice_peaks import REFLECTIONS, spacing_pm
from segdepth.micrograph.measurement import (
    Frame,
    Measured,
    check_strongest,
    describe_lattice,
    describe_vacuum,
    measure_contrast,
    measure_lattice,
)
from segdepth.micrograph.preparation import check_frames, check_geometry, dose_lambda_of
from segdepth.micrograph.readers import Recording, read_micrograph
from segdepth.micrograph.simulated_views import Camera, View, simulated_views, structures_in
from segdepth.simulation.detector import electrons_per_square_angstrom
from segdepth.store.manifest import check_target, writing
from segdepth.store.zarr_store import write_zarr

COMMAND = "compare-micrograph"
FACTS, TABLE, STORE = "comparison.json", "simulated.csv", "comparison.zarr"
LEAST_CROP_PM = 500.0
"""Side of the upright picture below which there is nothing to see."""


def compare_micrograph(
    input: str | Path,
    out: str | Path,
    *,
    waves: str | Path,
    imaging: Imaging,
    specimen_name: str,
    structure: int,
    pixel_pm: float | None,
    lattice_pm: float = LATTICE_PM,
    key: str | None = None,
    frame: int = 0,
    invalid: float | None = None,
    rotation_deg: float = 0.0,
    flip: bool = False,
    dose: float | None = None,
    defocus_nm: float | None = None,
    root_seed: int = 0,
    code: str = "unknown",
    draw: Callable[[Path], None] | None = None,
) -> list[str]:
    """Compare one frame of a micrograph with every structure of a shard of waves.

    Parameters
    ----------
    input, key, frame : see ``readers``; ``frame`` of a movie, from 0.
    waves : shard of exit waves that holds ``structure``, the one that is shown.
    imaging : lens; its defocus values are gone through.
    pixel_pm, invalid, rotation_deg, flip, dose : as for ``predict.predict_micrograph``.
    lattice_pm : cubic lattice constant that the peaks are held against.
    defocus_nm : which of the lens's values is shown; by default the one whose average cells are nearest.
    draw : called with the unfinished folder, to add pictures.

    Returns
    -------
    Lines that the user should see; they are in ``comparison.json`` too.

    Raises
    ------
    ConfigError
        Anything wrong with the input, before anything is written.
    """
    source, out, waves = Path(input), Path(out), Path(waves)
    check_target(out, COMMAND, [source, waves])
    defoci = imaging.defocus_values_nm
    if defocus_nm is not None and not np.isclose(defoci, defocus_nm).any():
        listed = ", ".join(f"{value:g}" for value in defoci)
        raise ConfigError(f"--defocus-nm: got {defocus_nm:g}; the imaging block has {listed}")
    if structure not in structures_in(waves):
        raise StoreError(f"{waves}: does not hold structure {structure}")
    real, warnings = read_frame(
        source, key, frame, pixel_pm=pixel_pm, invalid=invalid, rotation_deg=rotation_deg, flip=flip, dose=dose
    )
    mine = measure(real, lattice_pm, f"{source}, frame {frame}", strict=True)
    camera = camera_of(mine)
    parameters = {
        "imaging": imaging.model_dump(mode="json"),
        "structure": structure,
        "pixel_pm": real.pixel_pm,
        "lattice_pm": lattice_pm,
        "key": key,
        "frame": frame,
        "invalid": None if invalid is None else str(invalid),
        "rotation_deg": real.transform.rotation_deg,
        "flip": real.transform.flip,
        "dose": dose,
        "defocus_nm": defocus_nm,
    }
    seeds = {"root_seed": root_seed, "specimen": specimen_name}
    with writing(
        out, command=COMMAND, code=code, inputs=[source, waves], parameters=parameters, seeds=seeds
    ) as partial:
        partial.mkdir()
        table, views = _measure_views(mine, camera, waves, imaging, structure, lattice_pm, specimen_name, root_seed)
        if defocus_nm is None:
            seen = table[(table["structure"] == structure) & table["difference"].notna()]["defocus_nm"]
            near = table[table["defocus_nm"].isin(seen)].groupby("defocus_nm")["difference"].mean()
            if near.empty:
                raise ConfigError(f"{waves}: the lattice of structure {structure} never rises above this dose's noise")
            defocus_nm = float(near.idxmin())
        view = min(views, key=lambda one: abs(one.defocus_nm - defocus_nm))
        shown = measure(frame_of(view, camera), lattice_pm, f"{waves}, structure {structure} at {defocus_nm:g} nm")
        table.round(6).to_csv(partial / TABLE, index=False, lineterminator="\n")
        sides = {"micrograph": mine, "simulation": shown}
        facts = {
            name: {
                "pixel_pm": one.frame.pixel_pm,
                "electrons_per_pixel": one.frame.level / one.frame.gain,
                "electrons_per_square_angstrom": electrons_per_square_angstrom(
                    dose_lambda_of(one.frame.level / one.frame.gain, one.frame.pixel_pm)
                ),
                "shape": list(one.frame.counts.shape),
                "vacuum": describe_vacuum(one.frame),
                "lattice": describe_lattice(one.frame, one.lattice, lattice_pm),
                "contrast": one.contrast.values | {"cerium_noise": one.contrast.noise},
            }
            for name, one in sides.items()
        }
        facts["micrograph"] |= {"file": source.name, "frame": frame, "rotation_deg": real.transform.rotation_deg}
        facts["simulation"] |= {"structure": structure, "defocus_nm": view.defocus_nm}
        facts |= {
            "lattice_pm": lattice_pm,
            "structures": int(table["structure"].nunique()),
            "defocus_nm": list(defoci),
            "ranges": ranges(table, facts["micrograph"], view.defocus_nm, lattice_pm),
            "warnings": warnings,
        }
        (partial / FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_zarr(comparison_pictures(sides), partial / STORE, leading=(), parameters=parameters)
        if draw is not None:
            draw(partial)
    return warnings


def read_frame(
    source: Path,
    key: str | None,
    number: int,
    *,
    pixel_pm: float | None,
    invalid: float | None,
    rotation_deg: float,
    flip: bool,
    dose: float | None,
) -> tuple[Frame, list[str]]:
    """One frame of a micrograph, checked, with its vacuum level, and lines for the user."""
    recording = read_micrograph(source, key)
    held = len(recording.frames)
    if not 0 <= number < held:
        raise ConfigError(f"--frame: got {number}; {source} holds {held}, numbered from 0")
    one = Recording(recording.frames[number : number + 1], recording.source, recording.warnings)
    transform = check_geometry(one.frames.shape[1:], pixel_pm, pixel_pm or 1.0, rotation_deg, flip)
    if min(crop_shape(transform)) * transform.pixel_pm < LEAST_CROP_PM:
        raise ConfigError(
            f"--rotation-deg {rotation_deg:g}: no upright rectangle of {LEAST_CROP_PM / 1000:g} nm is left of the "
            f"frame ({transform.shape[0]} x {transform.shape[1]} pixels of {transform.pixel_pm:g} pm)"
        )
    checked = check_frames(one, transform.pixel_pm, invalid=invalid, dose=dose)
    vacuum, gain, warnings = checked.vacuum[0], 1.0, list(checked.warnings)
    if not checked.electrons:
        gain = vacuum.dispersion
        if not np.isfinite(gain) or gain <= 1e-6 * vacuum.level:
            raise ConfigError(
                f"{source}: is not in electron counts, and its vacuum does not tell how many there were"
                + ("; leave out --dose, so that the vacuum is found" if dose is not None else " (it has no shot noise)")
            )
        warnings.append(f"variance/mean in the vacuum, {gain:.3g}, is taken as the counts that an electron leaves")
    return Frame(checked.frames[0].astype(np.float64), checked.usable[0], transform, vacuum.level, gain), warnings


def measure(frame: Frame, lattice_pm: float, what: str, strict: bool = False) -> Measured:
    """Lattice and contrast; ``strict``: no other fringes may be stronger."""
    try:
        lattice = measure_lattice(frame, lattice_pm)
        if strict:
            check_strongest(frame, lattice)
    except ConfigError as failure:
        raise ConfigError(f"{what}: {failure}") from None
    return Measured(frame, lattice, measure_contrast(frame, lattice, lattice_pm))


def camera_of(mine: Measured) -> Camera:
    """What a simulated view must have in common with the micrograph."""
    frame = mine.frame
    rows, columns = frame.counts.shape
    c, s = (abs(part) for part in frame.transform.turn)
    vacuum = 1 - mine.lattice.crystal.sum() / frame.usable.sum()
    shape = (columns, rows) if s > c else (rows, columns)
    return Camera(frame.pixel_pm, frame.level / frame.gain, shape, float(vacuum))


def frame_of(view: View, camera: Camera) -> Frame:
    counts = view.counts.astype(np.float64)
    transform = FrameTransform(counts.shape, camera.pixel_pm, camera.pixel_pm, view.rotation_deg)
    return Frame(counts, np.ones(counts.shape, dtype=bool), transform, camera.electrons)


def _measure_views(
    mine: Measured,
    camera: Camera,
    waves: Path,
    imaging: Imaging,
    structure: int,
    lattice_pm: float,
    specimen_name: str,
    root_seed: int,
) -> tuple[pd.DataFrame, list[View]]:
    """The table of all structures and defoci, and the views of the structure that is shown."""
    rows: list[dict[str, Any]] = []
    kept: list[View] = []
    defoci = imaging.defocus_values_nm
    views = simulated_views(waves, imaging, camera, defoci, specimen_name, root_seed, lattice_pm)
    number = len(structures_in(waves)) * len(defoci)
    for view in tqdm(views, total=number, desc=f"views of {waves}", unit="image"):
        if view.structure == structure:
            kept.append(view)
        row: dict[str, Any] = {"structure": view.structure, "defocus_nm": view.defocus_nm}
        try:
            one = measure(frame_of(view, camera), lattice_pm, "")
        except ConfigError:  # the lattice does not rise above the noise
            row |= dict.fromkeys([*QUANTITIES, "difference", *map(_column, REFLECTIONS)], np.nan)
        else:
            row |= one.contrast.values
            row["difference"] = float(np.sqrt(np.mean((one.contrast.cell - mine.contrast.cell) ** 2)))
            for name, peak in one.lattice.peaks.items():
                row[_column(name)] = peak.d_pm if peak.seen else np.nan
        rows.append(row)
    return pd.DataFrame(rows), kept


def _column(reflection: str) -> str:
    return f"d_{reflection}_pm"


def ranges(
    table: pd.DataFrame, micrograph: Mapping[str, Any], shown_nm: float, lattice_pm: float
) -> dict[str, dict[str, Any]]:
    """Least and greatest simulated value of each quantity, over all defoci and at the one that is shown.

    ``within``: the micrograph's value lies in the range of all; ``within_at_nm``: the defoci at which it lies in the
    range of the structures.
    """
    found: dict[str, dict[str, Any]] = {}
    wanted = {name: (table[name], micrograph["contrast"][name]) for name in QUANTITIES}
    for name in REFLECTIONS:
        deviation = table[_column(name)] / spacing_pm(name, lattice_pm) - 1
        peak = micrograph["lattice"]["peaks"][name]
        wanted[f"deviation_{name}"] = deviation, peak["deviation"] if peak["seen"] else np.nan
    for name, (values, own) in wanted.items():
        groups = values.groupby(table["defocus_nm"])
        low, high = groups.min(), groups.max()
        found[name] = {
            "low": _number(low.min()),
            "high": _number(high.max()),
            "shown_low": _number(low[shown_nm]),
            "shown_high": _number(high[shown_nm]),
            "micrograph": _number(own),
            "within": bool(low.min() <= own <= high.max()),
            "within_at_nm": [float(nm) for nm in low.index if low[nm] <= own <= high[nm]],
        }
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
