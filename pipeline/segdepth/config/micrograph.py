"""The sections ``micrographs``, ``predictions`` and ``comparisons``: recordings, and what is done with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number, no_bool


class Micrograph(Block):
    """One simulated recording in electron counts, with a camera pixel of its own, for the prediction to read."""

    dataset: Name = Field(description="whose structures, beam, lens and dose are recorded")
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = Field(5.0, description="C1, positive is overfocus")
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = Field(6.76375, description="the camera's pixel on the specimen")


MICROGRAPH_SUFFIXES = (".npy", ".npz", ".tif", ".tiff")


class Reading(Block):
    """How a micrograph is to be read."""

    key: str | None = Field(None, description="array name inside an .npz file")
    pixel_pm: Annotated[Number, Field(ge=1, le=100)] | None = Field(None, description="side of its pixel")
    invalid: Annotated[float, BeforeValidator(no_bool)] | None = Field(
        None, description="value of masked pixels; .nan masks all that is not finite"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] = Field(
        0.0,
        description="turn counter-clockwise (row 0 at the bottom), so that the crystal's x axis runs along x and the "
        "vacuum is at +y",
    )
    flip: bool = Field(False, description="mirror the frame along x before it is turned")
    vacuum_counts: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="counts per pixel in vacuum; needed where the frame shows too little vacuum to find them"
    )

    @property
    def parameters(self) -> dict[str, Any]:
        """The options as a manifest records them; NaN, which JSON has not, as text."""
        found = self.model_dump(mode="json")
        return found | {"invalid": None if self.invalid is None else str(self.invalid)}


class PredictionOptions(Reading):
    """How a micrograph is to be read and predicted."""

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto is bfloat16 where the machine multiplies it fast"
    )
    flip_average: bool = Field(
        True,
        description="a network that was trained for it looks at each frame and at its mirror image; false: half the "
        "time",
    )


class ComparisonOptions(Reading):
    """How a micrograph is to be read and held against the simulation."""

    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] | None = Field(
        None, description="which of the imaging block's values is shown; without it, the one that is nearest"
    )
    frame: Annotated[Count, Field(ge=0)] = Field(0, description="which frame of a movie, from 0")


class Source(Block):
    """Where a micrograph comes from: ``input`` is a file, ``micrograph`` a simulated recording."""

    input: str | None = Field(None, description="a file of yours")
    micrograph: Name | None = Field(None, description="in its place: a block of micrographs")

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.input is None) == (self.micrograph is None):
            raise ValueError("give either input (a file) or micrograph (a name), not both and not neither")
        if self.input is not None and getattr(self, "pixel_pm", None) is None:
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

    def _options(self, kind: type[Reading], recorded_pixel_pm: float | None) -> Any:
        """The fields of ``kind``, with what is known of a simulated recording filled in."""
        given = {name: getattr(self, name) for name in kind.model_fields}
        if self.micrograph is not None:
            given |= {"key": "counts", "pixel_pm": given["pixel_pm"] or recorded_pixel_pm}
        return kind(**given)


class Prediction(PredictionOptions, Source):
    """One micrograph for ``segdepth predict``."""

    model: Name = Field(description="a models block, or bundled")

    def options(self, recorded_pixel_pm: float | None = None) -> PredictionOptions:
        """What the command needs besides its files. ``recorded_pixel_pm`` : pixel of the simulated recording."""
        return self._options(PredictionOptions, recorded_pixel_pm)


class Comparison(ComparisonOptions, Source):
    """One micrograph for ``segdepth compare-micrograph``, beside the simulation at its pixel and dose."""

    dataset: Name = Field(description="its specimen, beam and imaging blocks are what the micrograph is held against")
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures is shown")

    def options(self, recorded_pixel_pm: float | None = None) -> ComparisonOptions:
        """What the command needs besides its files. ``recorded_pixel_pm`` : pixel of the simulated recording."""
        return self._options(ComparisonOptions, recorded_pixel_pm)
