"""Kinds of facets of a particle, and the directions that their normals can have."""

from __future__ import annotations

from segdepth.crystals import Crystal
from segdepth.crystals.planes import edge_on_planes


def normals_of(kind: str, crystal: Crystal) -> list[float] | None:
    """Directions of the normals that a kind of facet can have, degrees; None for any."""
    if kind == "rough":
        return None
    return [90.0] if kind == "edge" else [planes.azimuth_deg for planes in edge_on_planes(crystal, kind)]
