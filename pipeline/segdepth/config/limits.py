"""The sections ``prediction_sets`` and ``limit_maps``: sets with a promised coverage, and where to record."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number


class PredictionSets(Block):
    """Sets of counts that hold the true one as often as promised: calibrated on one data set, measured on others."""

    calibration: Name = Field(
        description="name of the dataset on half of whose test structures sets are calibrated, every other one"
    )
    tests: tuple[Name, ...] = Field(
        (), description="names of datasets that they are measured on besides the other half of the calibration's"
    )
    coverage: Annotated[Number, Field(ge=0.5, lt=1)] = Field(
        0.9, description="share of columns whose set shall hold the true count"
    )
    images: Annotated[Count, Field(ge=1, le=100)] = Field(
        2, description="images of each structure, at defocus values spread over the dataset's"
    )

    @property
    def datasets(self) -> tuple[str, ...]:
        """All data sets, each once, the calibration's first."""
        return tuple(dict.fromkeys((self.calibration, *self.tests)))


def _grid(low: float, high: float) -> Any:
    """A tuple of numbers between two ends."""
    return Annotated[tuple[Annotated[Number, Field(ge=low, le=high)], ...], Field(min_length=1, max_length=200)]


class LimitMap(Block):
    """Ideal observers of single columns over defocus, spherical aberration, dose and vibration."""

    dataset: Name = Field(description="name of the dataset whose test structures, beam and other lens values are used")
    structures: Annotated[Count, Field(ge=1)] = Field(4, description="test structures, or as many as there are")
    columns: Annotated[Count, Field(ge=1)] = Field(3, description="columns of each element in each structure")
    defocus_nm: _grid(-1e4, 1e4) = Field(
        (-20, -15, -12, -9, -6, -4, -2, 0, 2, 4, 6, 8, 10, 12, 15, 20, 30),
        description="values of C1, positive is overfocus",
    )
    c3_um: _grid(-5000, 5000) = Field((-15, -12, -9, -6, -3, 0, 3), description="values of C3")
    dose_lambda: _grid(1e-6, 1e6) = Field((0.6, 1.8, 6, 20), description="doses")
    image_spread_pm: _grid(0, 100) = Field((10, 20, 35, 50), description="rms image spread: vibration, stage drift")

    @field_validator("defocus_nm", "c3_um", "dose_lambda", "image_spread_pm")
    @classmethod
    def _each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a value is named twice")
        return values
