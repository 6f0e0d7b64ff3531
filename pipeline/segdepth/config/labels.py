"""The section ``labels``: depth maps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import PAPER_PIXEL_PM, Count, Element, Number

Radii = dict[Element, Annotated[Number, Field(gt=0, le=300)]]
MOST_BELOW_MORE = 253
"""Depth maps are uint8, and 255 stands for pixels that are not valid."""

RADII = ("core_radius_pm", "outer_radius_pm", "atom_radius_pm", "centre_radius_pm")


class Labels(Block):
    """Depth maps."""

    most_atoms: Annotated[Count, Field(ge=1, le=254)] = Field(
        10, description="largest count that has a depth class of its own: classes are 0 ... most_atoms"
    )
    more: bool = Field(
        False,
        description="one class beyond them, for more than most_atoms; without it, thicker columns are an error",
    )
    pixel_pm: Annotated[Number, Field(ge=2, le=60)] = Field(4 * PAPER_PIXEL_PM, description="side of a label pixel")
    core_radius_pm: Radii = Field(
        description="by element: radius of the flat core around a column, where the depth is its full count"
    )
    outer_radius_pm: Radii = Field(description="by element: radius at which the depth has fallen to 0")
    atom_radius_pm: Radii | None = Field(
        None,
        description="by element: radius of the disc that an atom covers in the projected counts; by default the "
        "core radius",
    )
    centre_radius_pm: Radii | None = Field(
        None,
        description="by element: distance from a column's centre up to which centre accuracy is measured; by "
        "default the core radius",
    )
    weight_width_pm: Annotated[Number, Field(gt=0, le=500)] = Field(
        90.0, description="distance from a column at which the Gaussian part of the loss weight has fallen to 1/e"
    )
    weight_floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.2, description="loss weight of the background")

    @model_validator(mode="after")
    def _rings(self) -> Labels:
        if self.more and self.most_atoms > MOST_BELOW_MORE:
            raise ValueError(f"most_atoms: got {self.most_atoms} with more; at most {MOST_BELOW_MORE} leave it a class")
        for field in RADII:
            given = getattr(self, field)
            if given is not None and set(given) != set(self.core_radius_pm):
                raise ValueError(
                    f"{field}: got values for {', '.join(given) or 'no element'}; core_radius_pm has them for "
                    f"{', '.join(self.core_radius_pm) or 'no element'}"
                )
        for element, core in self.core_radius_pm.items():
            if self.outer_radius_pm[element] <= core:
                raise ValueError(
                    f"outer_radius_pm of {element} ({self.outer_radius_pm[element]:g}) must exceed "
                    f"core_radius_pm ({core:g})"
                )
        return self

    @property
    def classes(self) -> int:
        """How many there are: 0 ... ``most_atoms`` atoms and, with ``more``, one for more than that."""
        return self.most_atoms + 1 + self.more

    @property
    def atom_radii_pm(self) -> dict[str, float]:
        return self.atom_radius_pm or self.core_radius_pm

    @property
    def centre_radii_pm(self) -> dict[str, float]:
        return self.centre_radius_pm or self.core_radius_pm

    def difference(self, other: Labels) -> str | None:
        """The first difference from the depth maps of ``other``, in one line; None if there is none."""
        for field in ("most_atoms", "more", "core_radius_pm", "outer_radius_pm", "atom_radii_pm"):
            mine, its = getattr(self, field), getattr(other, field)
            if mine != its:
                return f"{field.replace('radii', 'radius')} is {mine}, not {its}"
        return None
