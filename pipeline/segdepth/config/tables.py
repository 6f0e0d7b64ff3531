"""The section ``tables``: networks and ideal observers side by side."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Name, Number

METRIC_NAMES = (
    "pixelwise_accuracy",
    "centre_accuracy",
    "detection_rate",
    "hallucinated_rate",
    "columns_exact",
    "columns_within_one",
    "columns_mean_error",
    "columns_mean_absolute_error",
)
CALIBRATION_NAMES = ("expected_calibration_error", "expected_calibration_error_columns")
CHANGES = {"columns_exact_change": "columns_exact", "centre_accuracy_change": "centre_accuracy"}
"""Differences of a table's row to another, and the metric of which."""

LIMIT_METRICS = ("columns_exact", "columns_within_one")
"""What a table's row with ``limit`` can have."""

SMALL_IS_GOOD = ("hallucinated_rate", "columns_mean_absolute_error", "expected_calibration_error")
AIMED = (
    *(name + suffix for name in METRIC_NAMES if name != "columns_mean_error" for suffix in ("", "_Ce", "_O")),
    *CALIBRATION_NAMES,
    *CHANGES,
)
"""What a table can set an aim for; a mean error has none, since its sign tells neither good nor bad."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"got {text!r}; it must be one line of printable text")
    return text


Line = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_one_line)]


class TableRow(Block):
    """One row of a table: networks on a data set, or what can be told of a data set's columns at best."""

    label: Line = Field(description="what the row is called")
    models: tuple[Name, ...] = Field((), description="one network, or the same one trained with several seeds")
    dataset: Name | None = Field(None, description="what they are measured on")
    limit: Name | None = Field(None, description="in place of models and dataset: the data set whose limit is shown")
    shows: Literal["wedge", "limit", "both"] | None = Field(
        None,
        description="of a limit: wedge (counts guessed from a smooth wedge, without an image), limit (the best that "
        "the image allows for one column, all else known) or both (the image, and the wedge around which counts lie)",
    )
    against: str | None = Field(None, description="label of the row that the changes are against")
    aims: dict[str, Annotated[Number, Field(ge=-1, le=1)]] = Field(
        {}, description="metric: least value; of hallucinated_rate and of errors, the largest"
    )

    @model_validator(mode="after")
    def _kind(self) -> TableRow:
        if self.limit is not None:
            given = [name for name in ("models", "dataset", "against", "aims") if getattr(self, name)]
            if given or self.shows is None:
                wrong = f"no {given[0]}" if given else "lacks shows"
                raise ValueError(f"a row with limit has label and shows, {wrong}")
        elif not self.models or self.dataset is None or self.shows is not None:
            raise ValueError("give either models and dataset, or limit and shows")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: names one twice: {', '.join(self.models)}")
        for name, value in self.aims.items():
            if name not in AIMED:
                plain = ", ".join(each for each in AIMED if not each.endswith(("_Ce", "_O")))
                raise ValueError(f"aims: got {name!r}; allowed: {plain}; metrics also with _Ce or _O behind them")
            if name in CHANGES and self.against is None:
                raise ValueError(f"aims.{name}: needs against, the label of the row that it is a change to")
            if name not in CHANGES and value < 0:
                raise ValueError(f"aims.{name}: got {value:g}; allowed are 0 to 1")
        return self

    def misses(self, name: str, value: float | None) -> bool:
        """Whether a value falls short of its aim; what has no value does."""
        if value is None:
            return True
        return value > self.aims[name] if name.startswith(SMALL_IS_GOOD) else value < self.aims[name]


class Table(Block):
    """Networks side by side."""

    title: Line | None = Field(None, description="heading of the written table")
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels(self) -> Table:
        labels = [row.label for row in self.rows]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"rows: two have the label {label!r}; each needs its own")
        for row in self.rows:
            if row.against is not None and (row.against not in labels or row.against == row.label):
                raise ValueError(f"rows: {row.label!r} is against {row.against!r}, which is no other row's label")
        return self
