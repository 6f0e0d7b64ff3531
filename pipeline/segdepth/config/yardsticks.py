"""The section ``yardsticks``: recordings of known truth that networks are measured on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number, range_of
from segdepth.config.tables import ALL


class Yardstick(Block):
    """One recording of each test structure of a data set, with its own turn, vacuum side, pixel, dose and lens."""

    dataset: Name = Field(description="name of the dataset whose test structures are recorded, through its lens")
    pixel_pm: range_of(ge=1, le=25) = Field((4.0, 10.0), description="side of the camera's pixel, log-uniform")
    dose_lambda: range_of(gt=0, le=10_000) = Field((0.17, 25.0), description="dose of a frame, log-uniform")
    aims: dict[str, Annotated[Number, Field(ge=0)] | dict[str, Annotated[Number, Field(ge=0)]]] = Field(
        {},
        description="by metric of the yardstick's table, the least value that is aimed for (of errors, rates of false "
        "columns and refusals: the largest), or a value for each of all, <element>, ...",
    )
    recordings: Annotated[Count, Field(ge=1, le=100)] = Field(1, description="recordings of each structure")
    observed_columns: Annotated[Count, Field(ge=0, le=100)] = Field(
        0,
        description="columns of each element in each structure on which the ideal observer is estimated that stands "
        "in the yardstick's table; 0: none",
    )

    def aim(self, metric: str, element: str) -> float | None:
        """What is aimed for; None where nothing is."""
        found = self.aims.get(metric)
        if isinstance(found, dict):
            return found.get(element)
        return found if element == ALL else None
