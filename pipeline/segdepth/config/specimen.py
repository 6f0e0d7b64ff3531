"""The section ``specimens``: which atomic models are drawn and built."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import PAPER_PIXEL_PM, Count, Element, Name, Number, range_of, whole_range_of

Facet = Literal["edge", "{111}", "{100}", "{110}", "rough"]


class Specimen(Block):
    """Crystals seen along their zone axis, thinner towards the vacuum: wedges with the surface normal +y, or particles
    with facets on any side."""

    crystal: Name = Field(description="name of a crystals block")
    structures: Annotated[Count, Field(ge=1, le=100_000)] = Field(60, description="number of atomic models")
    shard_size: Annotated[Count, Field(ge=1, le=1000)] = Field(10, description="number of atomic models in one file")
    surfaces: Annotated[tuple[Literal["flat", "stepped", "sawtooth"], ...], Field(min_length=1)] = Field(
        ("flat", "stepped", "sawtooth"), description="kinds of surface, in equal numbers"
    )
    field_pm: Annotated[Number, Field(ge=1000, le=50_000)] = Field(
        1024 * PAPER_PIXEL_PM, description="side of the field of view"
    )
    margin_pm: Annotated[Number, Field(ge=300, le=5000)] = Field(
        128 * PAPER_PIXEL_PM, description="crystal simulated beyond each side of the field and cropped away"
    )
    bulk_atoms: whole_range_of(ge=1, le=100) = Field(
        (3, 10),
        description="thickness far from the surface in periods along the beam (atoms of a column with one atom "
        "in a period); whole numbers, spread evenly over the structures",
    )
    surface_atoms: range_of(ge=1, le=100) = Field(
        (1, 3), description="thickness at the surface, in periods along the beam"
    )
    thickest_atoms: Annotated[Count, Field(ge=1, le=200)] = Field(
        10, description="largest count that added atoms, shifted counts and rough faces may give a column"
    )
    decay_nm: range_of(ge=0.1, le=50) = Field((0.5, 4.0), description="1/e length of the approach to the bulk")
    balanced_counts: bool = Field(
        False,
        description="draw bulk, surface and decay jointly, so that all counts are about equally frequent: thin "
        "crystals begin with few atoms and thicken slowly, thick ones fast",
    )
    exit_fraction: range_of(ge=0, le=1) = Field(
        (0.0, 1.0), description="share of the thinning on the exit surface; the rest is on the entrance surface"
    )
    vacuum_fraction: range_of(ge=0.05, le=0.9) = Field((0.12, 0.4), description="share of the field above the crystal")
    terrace_nm: range_of(ge=0.3, le=10) = Field((0.6, 2.0), description="terrace width of the stepped surface")
    step_rows: Annotated[tuple[Annotated[Count, Field(ge=1, le=4)], ...], Field(min_length=1)] = Field(
        (1, 2),
        description="heights of the steps of the stepped surface in rows of atoms along y; a value that is "
        "listed twice is twice as likely",
    )
    sawtooth_period_nm: range_of(ge=0.5, le=10) = Field((1.0, 2.7), description="period of the sawtooth surface")
    missing_probability: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.03, description="probability that a column near the surface lacks its last atom"
    )
    missing_reach_nm: Annotated[Number, Field(ge=0, le=5)] = Field(
        0.6, description="distance from the surface within which columns lack or gain atoms"
    )
    added_probability: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.0, description="probability that a column near the surface, or up to a row above it, gains an atom"
    )
    count_shift_atoms: Annotated[Count, Field(ge=0, le=3)] = Field(
        0, description="each column's count is shifted by up to this many atoms, clipped to 1 ... thickest_atoms"
    )
    corner_radius_nm: range_of(ge=0, le=3) = Field((0.0, 0.0), description="rounding of the surface line's corners")
    exit_decay_nm: range_of(ge=0.1, le=50) | None = Field(
        None, description="1/e length on the exit face; without it decay_nm serves both faces"
    )
    terminations: Annotated[tuple[Literal["cut"] | Element, ...], Field(min_length=1)] = Field(
        ("cut",),
        description="what the surface ends with, drawn for each structure: cut (as the surface line cuts it), "
        "the heaviest element (other columns that lack one of the heaviest element's columns they "
        "are bonded to are removed), or another element (each column of the heaviest element has all "
        "columns of this element that it is bonded to)",
    )
    vacancy_fraction: range_of(ge=0, le=0.3) = Field(
        (0.0, 0.0), description="share of the vacancy element's sites that are empty, far from the surface"
    )
    vacancy_element: Element | None = Field(
        None, description="element of the vacancies; by default the lightest one that is counted"
    )
    vacancy_surface_enrichment: Annotated[Number, Field(ge=1, le=20)] = Field(
        1.0, description="ratio of the vacancy fraction at the surface to that far from it"
    )
    vacancy_reach_nm: Annotated[Number, Field(ge=0.1, le=5)] = Field(
        0.5, description="1/e length over which the enrichment at the surface fades"
    )
    rotation_deg: range_of(ge=-45, le=45) = Field(
        (0.0, 0.0), description="in-plane rotation of the crystal, counter-clockwise with y up"
    )
    strain_percent: range_of(ge=-2, le=2) = Field(
        (0.0, 0.0), description="in-plane strain along the upright crystal's x axis and y axis, drawn independently"
    )
    tilt_deg: range_of(ge=0, le=4) = Field((0.0, 0.0), description="tilt off the zone axis; adds to the beam's")
    tilt_azimuth_deg: range_of(ge=-360, le=360) = Field(
        (0.0, 360.0),
        description="direction towards which the zone axis is tilted along the beam, counter-clockwise from x; "
        "[30, 30] is fixed",
    )
    tilt_by: Literal["atoms", "propagation"] = Field(
        "atoms",
        description="atoms: they are built tilted, the potential then needs many slices; propagation: they stay "
        "upright, and the beam is tilted the other way, which is the same but for a turn of the crystal's faces",
    )
    facets: Annotated[tuple[Facet, ...], Field(min_length=1)] = Field(
        ("edge",),
        description="kinds of facet, drawn for each; edge: one surface with the normal +y, of the kinds in surfaces; "
        "{111}, {100}, {110}: these planes of the crystal, seen edge-on, on any side; rough: an uneven line, on any "
        "side. A kind that is listed twice is twice as likely",
    )
    facet_count: whole_range_of(ge=0, le=3) = Field(
        (1, 1),
        description="facets in the field: 0 none, thus no vacuum; 1 a side; 2 a corner or two sides; 3. A structure "
        "whose first facet is an edge has no other",
    )
    outline_roughness_nm: range_of(ge=0, le=2) = Field(
        (0.1, 0.4), description="rms height of a rough facet's line; its correlation length is drawn from terrace_nm"
    )
    face_roughness_atoms: range_of(ge=0, le=4) = Field(
        (0.0, 0.0),
        description="rms roughness, in periods along the beam, of the entrance face and of the exit face, each drawn "
        "by itself; no face is moved by more than 4",
    )
    face_correlation_nm: range_of(ge=0.2, le=20) = Field(
        (1.0, 3.0), description="correlation length of the faces' roughness"
    )
    bend_mrad: range_of(ge=0, le=20) = Field(
        (0.0, 0.0), description="how much the tilt changes across the field, in a random direction"
    )
    neighbour_probability: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0, description="probability that part of the field, cut off by a straight line, has another thickness"
    )
    neighbour_atoms: whole_range_of(ge=1, le=100) = Field(
        (3, 10), description="thickness of that part far from the surface, in periods along the beam"
    )
    carbon_probability: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0,
        description="probability that amorphous carbon covers part of the field, crystal and vacuum, on the entrance "
        "or the exit side",
    )
    carbon_nm: range_of(ge=0, le=5) = Field((0.5, 3.0), description="thickness of the carbon")

    @property
    def shards(self) -> int:
        return math.ceil(self.structures / self.shard_size)

    @property
    def cell_pm(self) -> float:
        return self.field_pm + 2 * self.margin_pm
