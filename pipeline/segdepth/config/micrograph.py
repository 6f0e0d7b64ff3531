"""The sections ``micrographs``, ``predictions`` and ``comparisons``: recordings, and what is done with them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number, no_bool


class Micrograph(Block):
    """One simulated recording in electron counts, with a camera pixel of its own, for the prediction to read."""

    dataset: Name
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = 5.0
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = 6.76375


MICROGRAPH_SUFFIXES = (".npy", ".npz", ".tif", ".tiff")


class MicrographInput(Block):
    """A micrograph and how it is to be read: ``input`` is a file, ``micrograph`` a simulated recording."""

    input: str | None = None
    micrograph: Name | None = None
    key: str | None = Field(None, description="array name inside an .npz file")
    pixel_pm: Annotated[Number, Field(ge=1, le=100)] | None = None
    invalid: Annotated[float, BeforeValidator(no_bool)] | None = Field(
        None, description="value of masked pixels; .nan masks all that is not finite"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] = 0.0
    flip: bool = Field(False, description="mirror the frame before it is turned")
    dose: Annotated[Number, Field(gt=0)] | None = Field(None, description="vacuum level, counts per pixel")

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.input is None) == (self.micrograph is None):
            raise ValueError("give either input (a file) or micrograph (a name), not both and not neither")
        if self.input is not None and self.pixel_pm is None:
            raise ValueError("pixel_pm is needed: the side of the input's pixel in pm")
        if self.input is not None and not self.input.lower().endswith(MICROGRAPH_SUFFIXES):
            raise ValueError(
                f"input: got {self.input!r}; allowed are files that end in {', '.join(MICROGRAPH_SUFFIXES)}"
            )
        if self.input is not None and set(self.input) & set("{}"):
            raise ValueError(
                f"input: got {self.input!r}; a path must not hold {{ or }}, which the workflow reads as names"
            )
        return self


class Prediction(MicrographInput):
    """One micrograph for ``segdepth predict``; ``input`` is a file, ``micrograph`` a simulated recording."""

    model: Name


class Comparison(MicrographInput):
    """One micrograph for ``segdepth compare-micrograph``, beside the simulation at its pixel and dose."""

    dataset: Name = Field(description="its specimen, beam and imaging blocks are what the micrograph is held against")
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures is shown")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] | None = Field(
        None, description="which of the imaging block's values is shown; without it, the one that is nearest"
    )
    frame: Annotated[Count, Field(ge=0)] = Field(0, description="which frame of a movie")
