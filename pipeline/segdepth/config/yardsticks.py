"""The section ``yardsticks``: recordings of known truth that networks are measured on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Element, Name, Number, range_of
from segdepth.config.tables import ALL

OF_RECORDINGS = (
    "frames_refused",
    "frames_outside",
    "columns_found",
    "columns_false",
    "false_columns_per_100_nm2",
    "expected_calibration_error_columns",
)
"""Metrics of a yardstick that are known for all elements together only."""

OF_ELEMENTS = (
    "columns_exact",
    "columns_within_one",
    "columns_mean_error",
    "columns_mean_absolute_error",
    "columns_relative_error_thick",
    "columns_covered",
    "columns_set_width",
)

Aim = Annotated[Number, Field(ge=0)] | range_of(ge=0)


class Yardstick(Block):
    """One recording of each test structure of a data set, with its own turn, vacuum side, pixel, dose and lens."""

    dataset: Name = Field(description="name of the dataset whose test structures are recorded, through its lens")
    pixel_pm: range_of(ge=1, le=25) = Field((4.0, 10.0), description="side of the camera's pixel, log-uniform")
    dose_lambda: range_of(gt=0, le=10_000) = Field((0.17, 25.0), description="dose of a frame, log-uniform")
    aims: dict[str, Aim | dict[Element | Literal["all"], Aim]] = Field(
        {},
        description="by metric of the yardstick's table, the least value that is aimed for (of errors, rates of false "
        "columns and refusals: the largest), or [least, largest], or one of these for each of all, <element>, ...",
    )
    recordings: Annotated[Count, Field(ge=1, le=100)] = Field(1, description="recordings of each structure")
    models: tuple[Name, ...] = Field((), description="networks that it is for; none: any")
    fit_lens: bool = Field(
        False,
        description="the lens of each recording is fitted first, at its voltage, and the counts are joined with the "
        "thickness that the fit finds",
    )
    observed_columns: Annotated[Count, Field(ge=0, le=100)] = Field(
        0,
        description="columns of each element in each structure on which the ideal observer is estimated that stands "
        "in the yardstick's table; 0: none",
    )

    @field_validator("aims")
    @classmethod
    def _known(cls, aims: dict[str, Any]) -> dict[str, Any]:
        for metric, given in aims.items():
            if metric not in (*OF_RECORDINGS, *OF_ELEMENTS):
                raise ValueError(f"got {metric!r}; allowed: {', '.join((*OF_RECORDINGS, *OF_ELEMENTS))}")
            if isinstance(given, dict) and metric in OF_RECORDINGS and set(given) != {ALL}:
                raise ValueError(f"{metric}: got {', '.join(given)}; it is known for all elements together only")
        return aims

    def aim(self, metric: str, element: str) -> float | tuple[float, float] | None:
        """What is aimed for: a value, or the least and the largest; None where nothing is."""
        found = self.aims.get(metric)
        if isinstance(found, dict):
            return found.get(element)
        return found if element == ALL else None
