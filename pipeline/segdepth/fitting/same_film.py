"""Whether a film and a lens fit belong together, as far as crystal, dose, voltage and pixel tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from segdepth.config.crystal_difference import crystals_differ
from segdepth.errors import ConfigError
from segdepth.fitting.result import LensFit

OTHER_DOSE = 1.5
"""Film and fit whose doses differ by a larger factor do not belong together."""

OTHER_ENERGY = 0.01
"""Nor do those whose voltages differ by a larger share."""

OTHER_PIXEL = 0.02
"""Nor those whose pixels do."""


def check_same_film(
    lens: object, fit: LensFit, film: object, dose: float, energy_kev: float | None, pixel_pm: float | None
) -> None:
    """Refuse the fit of another film. One of another film of the same session, at the same dose, is not noticed.

    Parameters
    ----------
    lens, film : what messages call fit and film. dose : the film's, electrons per Å² and frame; NaN where it is not
        known. energy_kev : what the film's file says, or None. pixel_pm : the film's, by its lattice or as given, or
        None.

    Raises
    ------
    ConfigError
        Doses, voltages or pixels differ.
    """
    if energy_kev is not None and not abs(energy_kev / fit.energy_kev - 1) <= OTHER_ENERGY:
        raise ConfigError(
            f"{lens}: the fit is for {fit.energy_kev:g} kV, {film} says {energy_kev:g}; fit the film anew"
        )
    if not math.isnan(dose) and not 1 / OTHER_DOSE < dose / fit.dose_e_per_a2 < OTHER_DOSE:
        raise ConfigError(
            f"{lens}: the fit's dose is {fit.dose_e_per_a2:.4g} electrons per Å² and frame, that of {film} {dose:.4g}; "
            "is it this film's fit?"
        )
    if pixel_pm is not None and not abs(pixel_pm / fit.pixel_pm - 1) <= OTHER_PIXEL:
        raise ConfigError(
            f"{lens}: the fit's pixel is {fit.pixel_pm:.4g} pm, that of {film} {pixel_pm:.4g}; is it this film's fit?"
        )


def check_same_crystal(lens: object, fit: LensFit, crystal: Mapping[str, Any], other: str) -> None:
    """Refuse the fit of another crystal.

    Parameters
    ----------
    crystal : of ``other``, ``Crystal.to_dict()``. lens, other : what messages call the fit and what it is to go with.

    Raises
    ------
    ConfigError
        Formula or axes differ, or a period by more than strain does.
    """
    if difference := crystals_differ(fit.crystal, crystal):
        raise ConfigError(f"{lens}: does not fit {other}: {difference}")
