"""The section ``films``: simulated films whose surface columns gain and lose atoms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number, range_of

Dose = Annotated[Number, Field(gt=0, le=10_000)]


class Film(Block):
    """A film of one structure in electron counts, at one dose or several, whose every occupancy is known.

    Each changing column holds its own number of atoms, one less or one more. It stays for a while that is distributed
    exponentially, and moves by one atom at its exit end: a Markov chain of three states.
    """

    dataset: Name = Field(description="name of the dataset whose structures, beam and lens are used")
    structure: Annotated[Count, Field(ge=0)] = Field(
        0, description="which of the dataset's test structures, counted from 0 (not the index in the plan)"
    )
    frames: Annotated[Count, Field(ge=2, le=10_000)] = Field(150, description="number of frames")
    frame_s: Annotated[Number, Field(ge=1e-5, le=100)] = Field(0.13, description="time from frame to frame")
    dose_lambda: Annotated[tuple[Dose, ...], Field(min_length=1)] = Field(
        (1.8,), description="doses of a frame; each makes a recording of its own, of the same atoms"
    )
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = Field(5.0, description="C1, positive is overfocus")
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = Field(
        10.568359375, description="side of the camera's pixel on the specimen"
    )
    changing_columns: Annotated[Count, Field(ge=1, le=500)] = Field(
        12, description="columns of each element that change, or as many as there are at the surface"
    )
    reach_nm: Annotated[Number, Field(ge=0.1, le=20)] = Field(
        0.8, description="columns no further than this from the vacuum are at the surface"
    )
    dwell_s: range_of(ge=1e-5, le=1e5) = Field(
        (0.2, 5.0), description="mean time that a column keeps its atoms, drawn for each column, log-uniform"
    )
    drift_pm_per_s: Annotated[Number, Field(ge=0, le=1000)] = Field(
        15.0, description="speed of the drift, in a direction that is drawn"
    )

    @field_validator("dose_lambda")
    @classmethod
    def _different(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if len({f"{dose:g}" for dose in doses}) < len(doses):
            raise ValueError(f"names a dose twice: {', '.join(f'{dose:g}' for dose in doses)}")
        return doses

    @property
    def duration_s(self) -> float:
        """From the start of the first frame to the end of the last one."""
        return self.frames * self.frame_s

    def stack(self, dose_lambda: float) -> str:
        """Name of the recording at a dose."""
        return f"lambda-{dose_lambda:g}.tif"
