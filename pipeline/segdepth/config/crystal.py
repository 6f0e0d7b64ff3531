"""The section ``crystals``: structures and their orientation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Element, Number

Index = Annotated[Count, Field(ge=-24, le=24)]
"""Of a lattice direction: as large as ``segdepth.crystals.projection`` finds perpendicular ones."""

Axis = tuple[Index, Index, Index]


class CrystalBlock(Block):
    """One crystal: a structure, the axis along the beam, and the axis along the image's x."""

    structure: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        description="name of a known structure (docs), or a file that ASE reads (a CIF, say), relative "
        "to the project's folder"
    )
    zone_axis: Axis = Field(description="lattice direction [u, v, w] along the beam")
    x_axis: Axis = Field(description="lattice direction along the image's x, perpendicular to the zone axis")
    lattice_pm: Annotated[Number, Field(ge=100, le=10_000)] | None = Field(
        None, description="lattice constant a, to which the structure is scaled; by default the structure's own"
    )
    debye_waller_pm: dict[Element, Annotated[Number, Field(ge=0, le=50)]] | None = Field(
        None,
        description="rms vibration u of each element along each axis, B = 8 pi^2 u^2; by default the structure's own",
    )

    @model_validator(mode="after")
    def _axes(self) -> CrystalBlock:
        for name in ("zone_axis", "x_axis"):
            if not any(getattr(self, name)):
                raise ValueError(f"{name}: got [0, 0, 0]; a direction is needed")
        if set(self.structure) & set("{}\n\r"):
            raise ValueError(f"structure: got {self.structure!r}; a path must not hold braces or line breaks")
        return self
