"""The thickness that a lens fit found, as a prediction takes it."""

from __future__ import annotations

import numpy as np

from segdepth.crystals import Crystal
from segdepth.errors import ConfigError
from segdepth.fitting.result import LensFit
from segdepth.fitting.same_film import check_same_crystal, check_same_film
from segdepth.micrograph.film import Film
from segdepth.micrograph.results.facts import NOT_EXPLAINED_STAMP
from segdepth.micrograph.thickness import Thickness

NOT_EXPLAINED_FACTOR = 2.0
"""Errors of a fit that does not explain its film are taken as so many times what it states. Its thicknesses are still
those of the best of all solutions: on recordings of known truth they are as near as those of explained fits."""

MOST_ROUGHNESS = 4.0
"""Largest standard deviation of columns, atoms, that is taken from a fit: faces of the specimens are rough by no more,
and a fit with a wrong lens may state any."""


def known_thickness(film: Film, crystal: Crystal, *, fit: LensFit, name: object) -> Thickness:
    """What a fit says of the thickness of its film. Where it has rivals, a bin's error is larger by the largest
    difference between a rival's thickness and the best one's.

    Parameters
    ----------
    crystal : of the network. name : what messages call the fit.

    Raises
    ------
    ConfigError
        The fit is that of another crystal, or of another film, as far as dose, voltage and pixel tell; it has no
        thickness; or a column has more than one atom in a period, which the fit's periods do not count.
    """
    recording = film.recording
    check_same_crystal(name, fit, crystal.to_dict(), "the network")
    check_same_film(name, fit, recording.source, film.dose, recording.energy_kev, film.transform.pixel_pm)
    if several := [f"{each.element} {each.per_period}" for each in crystal.columns if each.per_period != 1]:
        raise ConfigError(
            f"{name}: a fit's thickness is in periods, and columns of the crystal have more atoms in one "
            f"({', '.join(dict.fromkeys(several))}); allowed: 1; predict without the fit"
        )
    if not fit.bins or any(len(each.thickness_atoms) != len(fit.bins) for each in fit.rivals):
        numbers = ", ".join(str(len(each)) for each in (fit.bins, *(one.thickness_atoms for one in fit.rivals)))
        raise ConfigError(
            f"{name}: got bins {numbers} of the fit and its rivals; allowed: at least one, as many of each; fit anew"
        )
    factor, line = (
        1.0,
        f"the network's counts are joined with the thickness of the lens fit ({name}), which is explained",
    )
    if not fit.explained:
        factor = NOT_EXPLAINED_FACTOR
        line = (
            f"{NOT_EXPLAINED_STAMP} ({name}); the network's counts are joined with its thickness, whose errors are "
            f"taken {factor:g} times as large"
        )
    atoms = np.array([each.thickness_atoms for each in fit.bins])
    spread = np.abs([atoms, *(each.thickness_atoms for each in fit.rivals)] - atoms).max(axis=0)
    distance = np.array([each.distance_pm for each in fit.bins])
    order = np.argsort(distance)
    return Thickness(
        distance_pm=distance[order],
        atoms=atoms[order],
        error=(factor * np.array([each.thickness_error for each in fit.bins]) + spread)[order],
        line=line,
        roughness=min(fit.roughness_atoms or 0.0, MOST_ROUGHNESS),
    )
