"""A film in, a fit of its lens out; and what the user is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdepth.config import LensFitOptions
from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.fitting.cells import Cells, average_cells
from segdepth.fitting.fit import EXPLAINED, Solution, fit_cells
from segdepth.fitting.result import LensFit
from segdepth.fitting.roughness import roughness_atoms
from segdepth.fitting.wave_table import LEAST_KEV, MOST_KEV, wave_table
from segdepth.micrograph.files.recording import Recording
from segdepth.micrograph.film import inspect_film

GRID_PIXEL_PM = 20.0
"""Stands for a network's pixel: frames of up to one and a half times as much are taken."""

NOT_EXPLAINED_PREFIX = "NOT EXPLAINED"

SHOWN = {
    "defocus_nm": ("C1", "nm"),
    "c3_um": ("C3", "µm"),
    "focal_spread_nm": ("focal spread", "nm"),
    "image_spread_pm": ("vibration", "pm"),
    "contrast_factor": ("contrast factor", ""),
    "background": ("background", ""),
    "exit_share": ("exit face's share of the thinning", ""),
    "a1_nm": ("A1", "nm"),
    "b2_nm": ("B2", "nm"),
    "a2_nm": ("A2", "nm"),
    "tilt_x_deg": ("lean along x", "°"),
    "tilt_y_deg": ("lean along y", "°"),
}

CALLED = {
    "c1": "C1",
    "c3": "C3",
    "focal_spread": "focal spread",
    "image_spread": "vibration",
    "contrast": "contrast factor",
    "exit_share": "exit face's share",
    "tilt_x": "lean along x",
    "tilt_y": "lean along y",
}


@dataclass(frozen=True)
class FilmFit:
    """A fit, and the average unit cells that it was made on. solution : with data and model by bin."""

    fit: LensFit
    cells: Cells
    solution: Solution

    @property
    def pictures(self) -> dict[str, Any]:
        """What the figure is drawn from, as plain data: ``orders``, and ``data`` and ``model`` by bin."""
        return {
            "orders": self.cells.orders.tolist(),
            "data": self.solution.data.round(6).tolist(),
            "model": self.solution.model.round(6).tolist(),
        }


def energy_of(recording: Recording, options: LensFitOptions) -> float:
    """The voltage, from the options or the file.

    Raises
    ------
    MicrographError
        Neither has it, or it is outside of what the tables of waves can be made for.
    """
    energy = options.energy_kev or recording.energy_kev
    if energy is None:
        raise MicrographError(
            f"{recording.source}: no voltage is known, and thickness and lens hang on it; give it with --energy-kev"
        )
    if not LEAST_KEV <= energy <= MOST_KEV:
        raise MicrographError(
            f"{recording.source}: its voltage is {energy:g} kV; waves can be made for {LEAST_KEV:g} to {MOST_KEV:g}"
        )
    return float(energy)


def fit_film(
    recording: Recording,
    crystal: Crystal,
    options: LensFitOptions,
    *,
    table_code: str,
    tables: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> FilmFit:
    """Fit lens, tilt and thickness to a film; all of its frames are summed.

    Parameters
    ----------
    table_code, tables : hash of the code that makes tables of waves, and the folder in which these are kept; without it
        the user's cache.
    tell : called with each line for the user as soon as it is known.

    Raises
    ------
    SegDepthError
        No lattice, no vacuum, too few unit cells, no voltage, or one that is not in the tables.
    """
    energy = energy_of(recording, options)
    film = inspect_film(recording, crystal, GRID_PIXEL_PM, options, tell=tell)
    table = wave_table(crystal, energy, table_code, tables)
    cells = average_cells(film, crystal, table.orders)
    for line in cells.lines:
        tell(line)
    solution = fit_cells(
        cells,
        table,
        c5_mm=options.c5_mm,
        convergence_mrad=options.convergence_mrad,
        given=options.given,
    )
    values = solution.values | {"c5_mm": options.c5_mm, "convergence_mrad": options.convergence_mrad}
    errors = solution.errors | {"c5_mm": None, "convergence_mrad": None}
    roughness = roughness_atoms(film, cells, solution.cell_model, solution.parameters)
    told = describe(solution, options, energy, roughness, poisson=film.camera.poisson)
    for line in told:
        tell(line)
    fit = LensFit(
        crystal=crystal.to_dict(),
        energy_kev=energy,
        dose_e_per_a2=film.dose,
        frames=cells.frames,
        pixel_pm=film.transform.pixel_pm,
        values=values,
        errors=errors,
        held=tuple(name for name, error in errors.items() if error is None),
        bins=solution.bins,
        chi2=solution.chi2,
        dof=solution.dof,
        explained=solution.explained,
        rivals=solution.rivals,
        lines=(*film.lines, *cells.lines, *told),
        roughness_atoms=roughness,
    )
    return FilmFit(fit, cells, solution)


def describe(
    solution: Solution,
    options: LensFitOptions,
    energy_kev: float,
    roughness: float | None = None,
    *,
    poisson: bool = True,
) -> list[str]:
    """Lines for the user: what explains the data or does not, values, rivals, and what cannot be known.

    Parameters
    ----------
    poisson : whether the film's noise is that of single electrons (``Camera.poisson``).
    """
    ratio = solution.chi2 / solution.dof
    thickness = [each.thickness_atoms for each in solution.bins]
    lines = []
    if ratio > EXPLAINED:
        lines.append(
            f"{NOT_EXPLAINED_PREFIX}: χ² is {ratio:.2g} per degree of freedom, at most {EXPLAINED:g} is explained; "
            "nothing below is a fact"
        )
    elif solution.rivals:
        lines.append(
            f"{NOT_EXPLAINED_PREFIX} by one solution: {1 + len(solution.rivals)} explain the data alike "
            f"(χ² {ratio:.2g} per degree of freedom); what they differ in is not known"
        )
    else:
        lines.append(f"explained: χ² is {ratio:.2g} per degree of freedom")
    shown = []
    for name, (word, unit) in SHOWN.items():
        error = solution.errors[name]
        shown.append(f"{word} {solution.values[name]:.3g}{'' if error is None else f' ± {error:.2g}'} {unit}".rstrip())
    lines.append("; ".join(shown))
    lines.append(
        "thickness in periods along the beam: "
        + ", ".join(
            f"{n:.1f} ± {each.thickness_error:.1f} at {each.distance_pm / 1000:.2g} nm"
            for n, each in zip(thickness, solution.bins)
        )
    )
    if roughness is not None:
        seen = f"scatter by {roughness:.1f} periods" if roughness else "are not seen to scatter"
        lines.append(f"single columns {seen} about this thickness, as far as the electrons show")
    elif not poisson:
        lines.append(
            "the scatter of single columns about this thickness is not known: the noise is not that of single electrons"
        )
    for rival in solution.rivals:
        lean = "°, ".join(f"{rival.values[f'tilt_{axis}_deg']:.2f}" for axis in "xy")
        lines.append(
            f"another solution: C1 {rival.values['defocus_nm']:.3g} nm, C3 {rival.values['c3_um']:.3g} µm, lean "
            f"({lean}°), {rival.thickness_atoms[0]:.0f} to {rival.thickness_atoms[-1]:.0f} periods, χ² "
            f"{rival.chi2 / solution.dof:.2g} per degree of freedom"
        )
    for one, other, share in solution.correlated:
        lines.append(
            f"{CALLED.get(one, one)} and {CALLED.get(other, other)} are hardly told apart (correlation {share:.2f})"
        )
    lines.append(
        f"not found by this fit: the voltage ({energy_kev:g} kV is taken), C5 ({options.c5_mm:g} mm; C3 makes up for "
        f"it) and the convergence ({options.convergence_mrad:g} mrad)"
    )
    return lines
