"""Checks of specimen blocks that need their crystal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import get_args

from segdepth.config import Config, Specimen
from segdepth.config.specimen import Facet
from segdepth.crystals import Crystal, load_crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import ConfigError
from segdepth.specimen.faces import MOST_ROUGHNESS
from segdepth.specimen.facets import normals_of

LABEL_REACH_PM = 360.0
"""A column's label reaches no further: the largest radius that a labels block may have, and its largest pixel."""


def check_specimens(config: Config) -> None:
    """Every specimen block must suit its crystal.

    Raises
    ------
    ConfigError
        A crystal cannot be loaded or names an element that does not exist, or a block does not suit it.
    """
    for name, block in config.crystals.items():
        check_symbols(f"crystals.{name}.debye_waller_pm", block.debye_waller_pm or {})
    for name, specimen in config.specimens.items():
        crystal = load_crystal(config.crystals[specimen.crystal], specimen.crystal)
        check_specimen(f"specimens.{name}", specimen, crystal)


def check_symbols(key: str, symbols: Iterable[str]) -> None:
    """Chemical symbols must be those of elements; ``key`` is what a message calls them.

    Raises
    ------
    ConfigError
        One is not.
    """
    for symbol in symbols:
        if not ATOMIC_NUMBER.get(symbol):
            raise ConfigError(f"{key}: got {symbol!r}; there is no such element")


def check_specimen(key: str, specimen: Specimen, crystal: Crystal) -> None:
    """One block; ``key`` is what a message calls it.

    Raises
    ------
    ConfigError
        It names elements or facets that the crystal does not have, wants more facets than have directions, or its
        margin is too narrow for its tilt.
    """
    for kind in specimen.terminations:
        if kind != "cut" and kind not in crystal.elements:
            raise ConfigError(
                f"{key}.terminations: got {kind!r}; {crystal.title} has columns of {', '.join(crystal.elements)}: "
                f"allowed are cut, {', '.join(crystal.elements)}"
            )
    element = specimen.vacancy_element
    if element is not None and element not in crystal.all_elements:
        raise ConfigError(
            f"{key}.vacancy_element: got {element!r}; {crystal.title} has {', '.join(crystal.all_elements)}"
        )
    _check_facets(key, specimen, crystal)
    _check_margin(key, specimen, crystal)


def thickest_column(specimen: Specimen, crystal: Crystal) -> int:
    """Counted atoms of the thickest column that a block can have."""
    most = max(column.per_period for column in crystal.columns)
    bulk = math.ceil(specimen.bulk_atoms[1] * most)
    if specimen.neighbour_probability > 0:
        bulk = max(bulk, math.ceil(specimen.neighbour_atoms[1] * most))
    more = specimen.count_shift_atoms + (specimen.added_probability > 0)
    if specimen.face_roughness_atoms[1] > 0:
        more += math.ceil(2 * MOST_ROUGHNESS * most)
    return max(bulk, min(specimen.thickest_atoms, bulk + more))


def _check_facets(key: str, specimen: Specimen, crystal: Crystal) -> None:
    """The crystal must have the facets' planes, and in as many directions as there may be facets."""
    directions: set[float] = set()
    for kind in specimen.facets:
        normals = normals_of(kind, crystal)
        if normals == []:
            raise ConfigError(
                f"{key}.facets: got {kind!r}; {crystal.title} has no such planes along the beam: allowed are "
                f"{', '.join(other for other in get_args(Facet) if normals_of(other, crystal) != [])}"
            )
        if kind != "edge" or specimen.facets == ("edge",):
            directions |= {0.0, 90.0, 180.0, 270.0} if normals is None else set(normals)
    if specimen.facet_count[1] > max(len(directions), 1):
        raise ConfigError(
            f"{key}.facet_count: got {list(specimen.facet_count)}; facets of the kinds {', '.join(specimen.facets)} "
            f"have {len(directions)} directions in {crystal.title}"
        )


def _check_margin(key: str, specimen: Specimen, crystal: Crystal) -> None:
    """A tilted column that the cell's edge cuts must not reach into the field's labels, nor a column's image move from
    outside the cell to where labels are. A bend moves atoms by less than what ``LABEL_REACH_PM`` has to spare."""
    tilt = specimen.tilt_deg[1]
    if tilt == 0:
        return
    spacing = crystal.periods_pm[2] / max(column.per_period for column in crystal.columns)
    atoms = thickest_column(specimen, crystal)
    if specimen.tilt_by == "atoms":
        reach = (atoms - 1) * spacing * math.sin(math.radians(tilt))
        does = "smears over"
    else:
        carbon = 1000 * specimen.carbon_nm[1] if specimen.carbon_probability > 0 else 0.0
        reach = ((atoms - 1) * spacing + carbon) / 2 * math.tan(math.radians(tilt))
        does = "moves by up to"
    if specimen.margin_pm < reach + LABEL_REACH_PM:
        raise ConfigError(
            f"{key}.margin_pm: got {specimen.margin_pm:g}; a column of {atoms} atoms tilted by {tilt:g}° (tilt_deg) "
            f"{does} {reach:.0f} pm, at least {reach + LABEL_REACH_PM:.0f} is needed"
        )
