"""The sections ``micrographs``, ``predictions`` and ``comparisons``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number, no_bool


class Micrograph(Block):
    """A simulated recording in electron counts, with a camera's own pixel."""

    dataset: Name = Field(description="name of the dataset whose structures, beam, lens and dose are used")
    structure: Annotated[Count, Field(ge=0)] = Field(
        0, description="which of the dataset's test structures, counted from 0 (not the index in the plan)"
    )
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = Field(5.0, description="C1, positive is overfocus")
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = Field(
        6.76375, description="side of the camera's pixel on the specimen"
    )


MRC_SUFFIXES = tuple(kind + z for kind in (".mrc", ".mrcs", ".map", ".rec", ".st") for z in ("", ".gz", ".bz2"))

MICROGRAPH_SUFFIXES = (
    *(".dm3", ".dm4", ".ser", ".emi", ".emd", ".tif", ".tiff", ".hspy", ".zspy", ".mib", ".tvips", ".npy", ".npz"),
    *MRC_SUFFIXES,
)
"""Ends of the names of files that are read, in lower case."""


class Reading(Block):
    """How a micrograph is read. What is left out is taken from the file or measured."""

    image: str | None = Field(
        None, description="name or number (from 0) of one of several images in the file; by default the largest"
    )
    pixel_pm: Annotated[Number, Field(ge=1, le=1000)] | None = Field(
        None, description="side of a pixel on the specimen in pm; by default from the file; the lattice corrects it"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] | None = Field(
        None,
        description="counter-clockwise rotation in degrees (row 0 at the bottom) that brings the crystal's x axis to x "
        "and the vacuum to +y; by default from the lattice",
    )
    flip: bool = Field(False, description="mirror the frame along x before it is rotated")
    invalid: Annotated[float, BeforeValidator(no_bool)] | None = Field(
        None,
        description="value of pixels to mask, such as a label box; values that are not finite are always masked",
    )
    gain: Annotated[Number, Field(ge=1e-9, le=1e9)] | None = Field(
        None, description="grey values per electron; by default found from the noise"
    )
    offset: Annotated[Number, Field(ge=-1e9, le=1e9)] | None = Field(
        None, description="grey value of no electron; by default found from the noise"
    )
    dose_e_per_a2: Annotated[Number, Field(ge=1e-3, le=1e7)] | None = Field(
        None, description="electrons per square angstrom and frame in vacuum; by default from the vacuum in the frame"
    )

    @property
    def parameters(self) -> dict[str, Any]:
        """The options for a manifest; NaN is text, since JSON has none."""
        found = self.model_dump(mode="json")
        return found | {"invalid": None if self.invalid is None else str(self.invalid)}


class PredictionOptions(Reading):
    """How a micrograph is read and predicted."""

    calibrate: bool = Field(
        True, description="find the lattice and take pixel size and rotation from it; false: take them as given"
    )
    false_discovery: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.01, description="expected share of false columns among those listed; 1 lists all"
    )
    file_grid: bool = Field(False, description="also store depth and confidence on the file's own pixels")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto, float32 or bfloat16; auto: bfloat16 if the hardware supports it"
    )
    flip_average: bool = Field(
        True,
        description="average over the frame and its mirror image, if the network was trained for it; false: half "
        "the time, slightly less accurate",
    )

    @model_validator(mode="after")
    def _given(self) -> Self:
        if not self.calibrate and (self.pixel_pm is None or self.rotation_deg is None):
            raise ValueError("calibrate: false needs pixel_pm and rotation_deg")
        return self


class ComparisonOptions(Reading):
    """How a micrograph is read and compared with the simulation."""

    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] | None = Field(
        None,
        description="defocus that is shown, one of the imaging block's; by default the one whose average unit cells "
        "are most similar",
    )
    frame: Annotated[Count, Field(ge=0)] = Field(0, description="frame of a film, counted from 0")


class Source(Block):
    """Where a micrograph comes from: ``input`` is a file, ``micrograph`` a simulated recording."""

    input: str | None = Field(None, description="path of a micrograph")
    micrograph: Name | None = Field(None, description="name of a micrographs block, instead of input")

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.input is None) == (self.micrograph is None):
            raise ValueError("give exactly one of input (a file) and micrograph (a name)")
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
            given |= {"image": "counts", "pixel_pm": given["pixel_pm"] or recorded_pixel_pm}
        return kind(**given)


class Prediction(PredictionOptions, Source):
    """A micrograph for ``segdepth predict``."""

    model: Name = Field(description="name of a models block, bundled or bundled_particles")
    lens_fit: Name | None = Field(
        None, description="name of a lens_fits block of the same micrograph, whose thickness the counts are joined with"
    )

    def options(self, recorded_pixel_pm: float | None = None) -> PredictionOptions:
        """The command's options; ``recorded_pixel_pm`` is the pixel of the simulated recording."""
        return self._options(PredictionOptions, recorded_pixel_pm)


class Comparison(ComparisonOptions, Source):
    """A micrograph for ``segdepth compare-micrograph``: it is compared with the simulation at its pixel and dose."""

    dataset: Name = Field(
        description="name of the dataset whose specimen, beam and imaging are compared with the micrograph"
    )
    structure: Annotated[Count, Field(ge=0)] = Field(
        0, description="which of the dataset's test structures is shown, counted from 0 (not the index in the plan)"
    )

    def options(self, recorded_pixel_pm: float | None = None) -> ComparisonOptions:
        """The command's options; ``recorded_pixel_pm`` is the pixel of the simulated recording."""
        return self._options(ComparisonOptions, recorded_pixel_pm)
