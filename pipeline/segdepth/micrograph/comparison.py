"""Comparison of a micrograph with simulated wedges at its pixel and dose, measured in the same way.

The micrograph is measured on its own pixels; it is turned only for the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from segdepth.config import ComparisonOptions, Imaging
from segdepth.crystals import Crystal
from segdepth.errors import ConfigError, MicrographError
from segdepth.micrograph.comparison_pictures import crop_shape
from segdepth.micrograph.contrast import quantities
from segdepth.micrograph.files.recording import Recording
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.measurement import (
    Frame,
    Lattice,
    Measured,
    check_strongest,
    describe_lattice,
    describe_vacuum,
    measure_contrast,
    search_lattice,
)
from segdepth.micrograph.preparation import dose_lambda_of
from segdepth.micrograph.simulated_views import Camera, SimulatedWaves, View, simulated_views
from segdepth.simulation.detector import electrons_per_square_angstrom

LEAST_CROP_PM = 500.0
"""Least side of the upright picture."""

PIXEL_LIMIT_PM = 1000.0
"""In the place of a network's pixel, so that no pixel that the options allow is too coarse."""


@dataclass(frozen=True)
class Compared:
    """facts, table : see ``segdepth.steps.compare_micrograph``. sides : both frames, for the pictures."""

    facts: dict[str, Any]
    table: pd.DataFrame
    sides: dict[str, Measured]


def choose_frame(recording: Recording, options: ComparisonOptions, crystal: Crystal) -> tuple[Frame, list[str]]:
    """One frame of a recording, checked, with its vacuum level, and lines for the user.

    Pixel and rotation are those that are given, or else the file's and the lattice's.

    Raises
    ------
    MicrographError
        The frame does not exist, holds no counts, or the number of electrons cannot be derived from its vacuum.
    """
    number, held = options.frame, recording.count
    if number >= held:
        raise MicrographError(f"frame: got {number}; {recording.source} holds {held}, numbered from 0")
    one = replace(recording, count=1, read_frame=lambda index: recording.read_frame(number))
    pixel = options.pixel_pm or recording.pixel_pm
    known = pixel is not None and options.rotation_deg is not None
    film = inspect_film(one, crystal, PIXEL_LIMIT_PM, options, lattice=not known)
    measured_on = pixel or film.transform.pixel_pm
    transform = replace(film.transform, pixel_pm=measured_on, grid_pixel_pm=measured_on)
    if min(crop_shape(transform)) * transform.pixel_pm < LEAST_CROP_PM:
        raise MicrographError(
            f"rotation_deg {transform.rotation_deg:g}: no upright rectangle of {LEAST_CROP_PM / 1000:g} nm is left "
            f"of the frame ({transform.shape[0]} x {transform.shape[1]} pixels of {transform.pixel_pm:g} pm)"
        )
    electrons, masked = film.electrons_of(one.read_frame(0))
    level = film.level_of(electrons, masked.usable)
    return Frame(electrons.astype(np.float64), masked.usable, transform, level), list(film.lines)


def check_defocus(imaging: Imaging, defocus_nm: float | None) -> None:
    """The defocus that is shown is one of the imaging block's.

    Raises
    ------
    ConfigError
        It is not.
    """
    if defocus_nm is not None and not np.isclose(imaging.defocus_values_nm, defocus_nm).any():
        listed = ", ".join(f"{value:g}" for value in imaging.defocus_values_nm)
        raise ConfigError(f"defocus_nm: got {defocus_nm:g}; the imaging block has {listed}")


def measure_micrograph(frame: Frame, crystal: Crystal, what: str) -> Measured:
    """Lattice and contrast of a micrograph's frame; no other fringes may be stronger. ``what`` : its name in messages.

    Raises
    ------
    MicrographError
        The lattice is not found, or is not the strongest.
    """
    lattice = _lattice(frame, crystal, what)
    try:
        check_strongest(frame, lattice, crystal)
    except MicrographError as failure:
        raise MicrographError(f"{what}: {failure}") from failure
    return Measured(frame, lattice, measure_contrast(frame, lattice, crystal))


def _lattice(frame: Frame, crystal: Crystal, what: str) -> Lattice:
    found = search_lattice(frame, crystal)
    if found.lattice is None:
        raise MicrographError(f"{what}: {found.reason}")
    return found.lattice


def compare(
    mine: Measured, simulated: SimulatedWaves, imaging: Imaging, structure: int, defocus_nm: float | None, what: str
) -> Compared:
    """Compare a micrograph's frame with every structure of a shard at every defocus of the imaging block.

    Parameters
    ----------
    mine : of ``measure_micrograph``.
    structure : index in the plan of the one that is shown.
    defocus_nm : the one that is shown; None is the one whose average cells are nearest.
    what : name of the waves in messages.

    Raises
    ------
    MicrographError
        The lattice of the structure that is shown never rises above the noise.
    """
    crystal, camera = simulated.crystal, camera_of(mine)
    table, views = _measure_views(mine, camera, simulated, imaging, structure, what)
    if defocus_nm is None:
        seen = table[(table["structure"] == structure) & table["difference"].notna()]["defocus_nm"]
        near = table[table["defocus_nm"].isin(seen)].groupby("defocus_nm")["difference"].mean()
        if near.empty:
            raise MicrographError(f"{what}: the lattice of structure {structure} never rises above this dose's noise")
        defocus_nm = float(near.idxmin())
    view = min(views, key=lambda one: abs(one.defocus_nm - defocus_nm))
    frame = frame_of(view, camera)
    lattice = _lattice(frame, crystal, f"{what}, structure {structure} at {defocus_nm:g} nm")
    sides = {"micrograph": mine, "simulation": Measured(frame, lattice, measure_contrast(frame, lattice, crystal))}
    facts: dict[str, Any] = {name: _facts(one, crystal) for name, one in sides.items()}
    facts["simulation"] |= {"structure": structure, "defocus_nm": view.defocus_nm}
    facts |= {
        "crystal": crystal.to_dict(),
        "structures": int(table["structure"].nunique()),
        "defocus_nm": list(imaging.defocus_values_nm),
        "ranges": ranges(table, facts["micrograph"], view.defocus_nm, crystal),
    }
    return Compared(facts, table, sides)


def _facts(one: Measured, crystal: Crystal) -> dict[str, Any]:
    frame = one.frame
    electrons = frame.level / frame.gain
    return {
        "pixel_pm": frame.pixel_pm,
        "electrons_per_pixel": electrons,
        "electrons_per_square_angstrom": electrons_per_square_angstrom(dose_lambda_of(electrons, frame.pixel_pm)),
        "shape": list(frame.counts.shape),
        "vacuum": describe_vacuum(frame),
        "lattice": describe_lattice(frame, one.lattice, crystal),
        "contrast": one.contrast.values | {"noise": one.contrast.noise},
    }


def camera_of(mine: Measured) -> Camera:
    """The camera of a micrograph, for simulated views."""
    frame = mine.frame
    rows, columns = frame.counts.shape
    c, s = (abs(part) for part in frame.transform.turn)
    vacuum = 1 - mine.lattice.area.sum() / frame.usable.sum()
    shape = (columns, rows) if s > c else (rows, columns)
    return Camera(frame.pixel_pm, frame.level / frame.gain, shape, float(vacuum))


def frame_of(view: View, camera: Camera) -> Frame:
    counts = view.counts.astype(np.float64)
    transform = FrameTransform(counts.shape, camera.pixel_pm, camera.pixel_pm, view.rotation_deg)
    return Frame(counts, np.ones(counts.shape, dtype=bool), transform, camera.electrons)


def _measure_views(
    mine: Measured, camera: Camera, simulated: SimulatedWaves, imaging: Imaging, structure: int, what: str
) -> tuple[pd.DataFrame, list[View]]:
    """The table of all structures and defoci, and the views of the structure that is shown."""
    rows: list[dict[str, Any]] = []
    kept: list[View] = []
    crystal, defoci = simulated.crystal, imaging.defocus_values_nm
    empty = dict.fromkeys([*quantities(crystal), "difference", *(_column(r.name) for r in crystal.reflections)], np.nan)
    number = len(simulated.structures) * len(defoci)
    views = simulated_views(simulated, imaging, camera, defoci)
    for view in tqdm(views, total=number, desc=f"views of {what}", unit="image"):
        if view.structure == structure:
            kept.append(view)
        row: dict[str, Any] = {"structure": view.structure, "defocus_nm": view.defocus_nm} | empty
        frame = frame_of(view, camera)
        lattice = search_lattice(frame, crystal).lattice
        if lattice is not None:  # it rises above the noise
            contrast = measure_contrast(frame, lattice, crystal)
            row |= contrast.values
            row["difference"] = float(np.sqrt(np.mean((contrast.cell - mine.contrast.cell) ** 2)))
            for name, peak in lattice.peaks.items():
                row[_column(name)] = peak.d_pm if peak.seen else np.nan
        rows.append(row)
    return pd.DataFrame(rows), kept


def _column(reflection: str) -> str:
    return f"d_{reflection}_pm"


def ranges(
    table: pd.DataFrame, micrograph: Mapping[str, Any], shown_nm: float, crystal: Crystal
) -> dict[str, dict[str, Any]]:
    """Least and greatest simulated value of each quantity, over all defoci and at the one that is shown.

    ``within``: the micrograph's value lies in the range of all; ``within_at_nm``: the defoci at which it lies in the
    range of the structures.
    """
    found: dict[str, dict[str, Any]] = {}
    wanted = {name: (table[name], micrograph["contrast"][name]) for name in quantities(crystal)}
    for name in (r.name for r in crystal.reflections):
        deviation = table[_column(name)] / crystal.spacing_pm(name) - 1
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
