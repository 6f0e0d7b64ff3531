"""The thickness that a lens fit found, as a prediction takes it."""

from __future__ import annotations

import numpy as np

from segdepth.crystals import Crystal
from segdepth.fitting.result import LensFit
from segdepth.fitting.same_film import check_same_crystal, check_same_film
from segdepth.micrograph.film import Film
from segdepth.micrograph.thickness import Thickness

NOT_EXPLAINED_FACTOR = 2.0
"""Errors of a fit that does not explain its film are taken as so many times what it states. Its thicknesses are still
those of the best of all solutions: on recordings of known truth they are as near as those of explained fits."""


def known_thickness(film: Film, crystal: Crystal, *, fit: LensFit, name: object) -> Thickness:
    """What a fit says of the thickness of its film.

    Parameters
    ----------
    crystal : of the network. name : what messages call the fit.

    Raises
    ------
    ConfigError
        The fit is that of another crystal, or of another film, as far as dose and voltage tell.
    """
    recording = film.recording
    check_same_crystal(name, fit, crystal.to_dict(), "the network")
    check_same_film(name, fit, recording.source, film.dose, recording.energy_kev)
    factor, words = 1.0, "which is explained"
    if not fit.explained:
        factor = NOT_EXPLAINED_FACTOR
        words = f"which is NOT EXPLAINED: its errors are taken {factor:g} times as large"
    bins = sorted(fit.bins, key=lambda each: each.distance_pm)
    return Thickness(
        distance_pm=np.array([each.distance_pm for each in bins]),
        atoms=np.array([each.thickness_atoms for each in bins]),
        error=factor * np.array([each.thickness_error for each in bins]),
        line=f"the network's counts are joined with the thickness of the lens fit ({name}), {words}",
    )
