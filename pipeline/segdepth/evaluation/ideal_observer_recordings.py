"""How a recording changes when one column of a structure has one atom less or more at the exit end.

Three exit waves are made for a column, of a square that is cut out of the structure about it: what one atom changes is
seen within half a nanometre. They are coherent, with absorption; the thermal diffuse electrons are left out. Each
recording of the structure forms its images of them with its own lens and pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms

from segdepth.config import ALL, Beam, Imaging, Specimen
from segdepth.crystals import Crystal
from segdepth.errors import ConfigError
from segdepth.evaluation.ideal_observer import VALUES, binary_error, d_prime, exact_share, image_intervals
from segdepth.evaluation.ideal_observer_columns import with_exit_atom, without_exit_atom
from segdepth.evaluation.recordings import DrawnRecording
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.beam import tilted_with_crystal
from segdepth.simulation.cell import sides_pm
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import exit_wave, propagate_free_space, wave_orders

RECORDED = ("structure", "recording", "element", "x_pm", "y_pm", "atoms", *VALUES)
"""Values of a column in a recording; its place is that in the field of view."""

EXACT = "ideal_observer_exact"

SIDE_PM = 2000.0
"""Of the square about a column; with 3200 the share of exact counts is the same to 0.001."""

PIXEL_PM = 10.5
"""Of the multislice grid, or the beam's where that is coarser: without snapshots a fine grid is not needed."""


def coherent(beam: Beam) -> Beam:
    """The beam without snapshots of displaced atoms."""
    update = {"frozen_phonons": 0, "diffuse_snapshots": 0, "pixel_pm": max(beam.pixel_pm, PIXEL_PM)}
    return beam.model_copy(update=update)


def check_planes(specimen: Specimen) -> None:
    """Planes of atoms must stand upright and alone: with others between them one atom less would change the slicing,
    and that the image more than the atom does.

    Raises
    ------
    ConfigError
        The block tilts atoms, or has carbon.
    """
    if specimen.tilt_deg[1] > 0 and specimen.tilt_by == "atoms":
        raise ConfigError(
            f"specimen: tilt_by: got atoms with a tilt of up to {specimen.tilt_deg[1]:g} degrees; an ideal observer of "
            "recordings is estimated for upright atoms only (propagation)"
        )
    if specimen.carbon_probability:
        raise ConfigError(
            f"specimen: carbon_probability: got {specimen.carbon_probability:g}; an ideal observer of recordings is "
            "estimated without carbon only (0)"
        )


def column_waves(
    atoms: Atoms, column: int, beam: Beam, crystal: Crystal, side_pm: float = SIDE_PM
) -> tuple[np.ndarray, dict[str, Any]]:
    """Exit waves (3, ky, kx) of the square about a column: as it is, with one atom less, with one more; and what
    ``form_at_pixel`` needs to know of them.

    Parameters
    ----------
    beam : the structure's, coherent (``beam.resolve_beam`` of ``coherent``).

    A tilted beam leaves in place what is halfway between the first and the last atom. This is the same height for all
    three: that of the column as it is.
    """
    plain = cut_out(atoms, column, side_pm)
    three = plain, without_exit_atom(plain, column, crystal), with_exit_atom(plain, column, crystal)
    cell, tilted = sides_pm(plain), tilted_with_crystal(beam, plain)
    orders = wave_orders(cell, beam)
    middle = middle_pm(plain)
    waves = [
        exit_wave(one, beam) * propagate_free_space(orders, cell, tilted, 0.0, middle_pm(one) - middle) for one in three
    ]
    attributes = {
        "cell_pm": cell,
        "margin_pm": 0.0,
        "wavelength_pm": wavelength_pm(beam.energy_kev),
        "stored_angle_mrad": beam.stored_angle_mrad,
    }
    return np.stack(waves).astype(np.complex64), attributes


def observed_column(
    waves: np.ndarray, attributes: dict[str, Any], imaging: Imaging, recording: DrawnRecording
) -> dict[str, float]:
    """``ideal_observer.VALUES`` of one column in one recording, from ``column_waves``."""
    plain, *changed = (
        form_at_pixel(imaging, attributes, wave, recording.lens, recording.pixel_pm)[0] for wave in waves
    )
    minus, plus = (float(d_prime(plain, one, recording.electrons)) for one in changed)
    return {
        "columns_exact": float(exact_share(minus, plus)),
        "binary_error": float(binary_error(minus)),
        "d_prime_minus": minus,
        "d_prime_plus": plus,
    }


def by_recording(table: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """A row a recording and element: ``facts`` (of ``DrawnRecording``, a row a recording), ``element``, ``columns``
    (how many) and the means of their ``VALUES``, from ``RECORDED``. A recording without columns has one empty row."""
    grouped = table.groupby(["structure", "recording", "element"], sort=False)
    means = grouped[list(VALUES)].mean()
    means.insert(0, "columns", grouped.size())
    return facts.merge(means.reset_index(), on=["structure", "recording"], how="left")


def observer_metrics(
    table: pd.DataFrame, structures: Sequence[int], elements: Sequence[str], rng: np.random.Generator
) -> pd.DataFrame:
    """``metric`` (``EXACT``), ``element`` (all and each), ``value``, ``low``, ``high``: means over columns, each counts
    as much as any other, with 95 % intervals by bootstrap over ``structures``, from ``RECORDED``."""
    intervals = image_intervals(table, structures, elements, rng)
    rows = []
    for element in (ALL, *elements):
        mine = table if element == ALL else table[table["element"] == element]
        low, high = intervals[element] or (None, None)
        rows.append((EXACT, element, mine["columns_exact"].mean(), low, high))
    found = pd.DataFrame(rows, columns=["metric", "element", "value", "low", "high"])
    return found.astype({name: float for name in ("value", "low", "high")})


def cut_out(atoms: Atoms, column: int, side_pm: float) -> Atoms:
    """The atoms within a square about a column, which stands in its middle; the whole cell where that is smaller."""
    cell = np.diag(atoms.cell)
    sides = np.minimum(side_pm / 100, cell[:2])
    centre = atoms.positions[atoms.get_array("column") == column, :2].mean(axis=0)
    away = atoms.positions[:, :2] - centre
    away -= cell[:2] * np.floor(away / cell[:2] + 0.5)
    near = ((away >= -sides / 2) & (away < sides / 2)).all(axis=1)
    cut = atoms[near]
    cut.positions[:, :2] = away[near] + sides / 2
    cut.set_cell([*sides, cell[2]])
    cut.info = {name: value for name, value in atoms.info.items() if name not in ("field_pm", "margin_pm")}
    return cut


def middle_pm(atoms: Atoms) -> float:
    """Height halfway between the first and the last atom."""
    height = 100 * atoms.positions[:, 2]
    return float(height.min() + height.max()) / 2
