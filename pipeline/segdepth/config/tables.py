"""The section ``tables``: networks and ideal observers side by side."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from segdepth.config.beam import Beam
from segdepth.config.block import Block
from segdepth.config.dataset import Dataset
from segdepth.config.fields import RESERVED, Name, Number
from segdepth.config.model import Model
from segdepth.config.specimen import Specimen

ELEMENT_PATTERN = r"[A-Z][a-z]?"
ALL = "all"
"""Stands for all elements together."""

METRIC_NAMES = (
    "pixelwise_accuracy",
    "centre_accuracy",
    "detection_rate",
    "hallucinated_rate",
    "columns_exact",
    "columns_within_one",
    "columns_mean_error",
    "columns_mean_absolute_error",
    "columns_relative_error_thick",
    "columns_covered",
)
"""Metrics that are given for all elements together and for each."""

CALIBRATION_NAMES = ("expected_calibration_error", "expected_calibration_error_pixels_of_columns")
VACUUM_NAMES = ("false_columns_per_100_nm2",)
ALL_ONLY = (*VACUUM_NAMES, *CALIBRATION_NAMES)
"""Metrics that are given for all elements together only."""

CHANGES = {"columns_exact_change": "columns_exact", "centre_accuracy_change": "centre_accuracy"}
"""Changes relative to another row, and their metrics."""

OBSERVER_METRICS = ("columns_exact", "columns_within_one")
"""What a row with an ideal observer can have."""

NO_SHARES = ("columns_mean_absolute_error", "columns_relative_error_thick", *VACUUM_NAMES)
"""Metrics that may exceed 1."""

SMALL_IS_GOOD = ("hallucinated_rate", *NO_SHARES, *CALIBRATION_NAMES)
AIMED = (*(name for name in METRIC_NAMES if name != "columns_mean_error"), *ALL_ONLY, *CHANGES)
"""Metrics that can have an aim; a mean error cannot, since neither sign is better."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"got {text!r}; it must be one line of printable text")
    return text


Line = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_one_line)]
Aim = Annotated[Number, Field(ge=-1, le=1000)]


class TableRow(Block):
    """One row of a table: networks on a data set, or an ideal observer of its columns."""

    label: Line = Field(description="name of the row")
    models: tuple[Name, ...] = Field(
        (), description="name of a network, or of the same network trained with several seeds"
    )
    dataset: Name | None = Field(None, description="dataset that the networks are measured on")
    ideal_observer: Name | None = Field(
        None, description="instead of models and dataset: the dataset whose ideal observer is shown"
    )
    shows: Literal["image", "prior", "image_and_prior"] | None = Field(
        None,
        description="what the ideal observer knows: image (everything but the count of one column), prior (the "
        "planned smooth wedge, no image) or image_and_prior",
    )
    against: str | None = Field(None, description="label of the row that changes are relative to")
    aims: dict[str, Aim | dict[str, Aim]] = Field(
        {},
        description="by metric, the least value that is aimed for (for hallucinated_rate and errors, the "
        "largest), or a value for each of all, <element>, ...",
    )

    @model_validator(mode="after")
    def _kind(self) -> TableRow:
        if self.ideal_observer is not None:
            given = [name for name in ("models", "dataset", "against", "aims") if getattr(self, name)]
            if given or self.shows is None:
                wrong = f"no {given[0]}" if given else "lacks shows"
                raise ValueError(f"a row with ideal_observer has label and shows, {wrong}")
        elif not self.models or self.dataset is None or self.shows is not None:
            raise ValueError("give either models and dataset, or ideal_observer and shows")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: names one twice: {', '.join(self.models)}")
        for metric, element, value in self.each_aim():
            if metric not in AIMED:
                raise ValueError(f"aims: got {metric!r}; allowed: {', '.join(AIMED)}")
            if element != ALL and not re.fullmatch(ELEMENT_PATTERN, element):
                raise ValueError(f"aims.{metric}: got {element!r}; allowed: {ALL}, or an element's symbol")
            if metric in ALL_ONLY and element != ALL:
                raise ValueError(f"aims.{metric}: got {element!r}; it is known for all elements together only")
            if metric in CHANGES and self.against is None:
                raise ValueError(f"aims.{metric}: needs against, the label of the row that it is a change to")
            key = f"aims.{metric}" + ("" if element == ALL else f".{element}")
            if metric not in CHANGES and value < 0:
                raise ValueError(f"{key}: got {value:g}; allowed are 0 to 1")
            if metric not in NO_SHARES and value > 1:
                raise ValueError(f"{key}: got {value:g}; allowed are {-1 if metric in CHANGES else 0} to 1")
        return self

    def each_aim(self) -> Iterator[tuple[str, str, float]]:
        """Metric, element (or ``all``) and value of every aim."""
        for metric, given in self.aims.items():
            for element, value in given.items() if isinstance(given, dict) else [(ALL, given)]:
                yield metric, element, value

    def aim(self, metric: str, element: str = ALL) -> float | None:
        """The value that is aimed for, if any."""
        return next((value for *key, value in self.each_aim() if key == [metric, element]), None)

    def misses(self, metric: str, element: str, value: float | None) -> bool:
        """Whether a value misses its aim; a missing value does."""
        aim = self.aim(metric, element)
        if value is None or aim is None:
            return aim is not None
        return value > aim if metric in SMALL_IS_GOOD else value < aim


class Table(Block):
    """Networks side by side."""

    title: Line | None = Field(None, description="heading of the table")
    rows: tuple[TableRow, ...] = Field(description="rows of the table, at least one")

    @model_validator(mode="after")
    def _labels(self) -> Table:
        if not self.rows:
            raise ValueError("rows: there are none; at least one is needed")
        labels = [row.label for row in self.rows]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"rows: two have the label {label!r}; each needs its own")
        for row in self.rows:
            if row.against is not None and (row.against not in labels or row.against == row.label):
                raise ValueError(f"rows: {row.label!r} is against {row.against!r}, which is no other row's label")
        return self


def check_row(here: str, row: TableRow, table: Table, models: Mapping[str, Model], elements: Collection[str]) -> None:
    """A row's networks may differ in their seed only, and its aims must be of metrics that the row has.

    Parameters
    ----------
    models : the configuration's.
    elements : counted in the row's data set.

    Raises
    ------
    ValueError
        One line that begins with ``here``.
    """
    blocks = {name: models[name].model_dump() for name in row.models if name in models}
    for name in row.models[1:]:
        if len(blocks) < len(row.models):
            bundled = next(each for each in row.models if each in RESERVED)
            raise ValueError(f"{here}.models: {bundled!r} has no other seeds; give it a row of its own")
        if _without_seed(blocks[name]) != _without_seed(blocks[row.models[0]]):
            raise ValueError(
                f"{here}.models: {row.models[0]!r} and {name!r} differ in more than training.seed; "
                "give each a row of its own"
            )
    observers = {other.label for other in table.rows if other.ideal_observer}
    for metric, element, _ in row.each_aim():
        if element != ALL and element not in elements:
            raise ValueError(f"{here}.aims.{metric}: got {element!r}; allowed: {', '.join((ALL, *elements))}")
        if row.against in observers and metric in CHANGES and CHANGES[metric] not in OBSERVER_METRICS:
            raise ValueError(
                f"{here}.aims.{metric}: {row.against!r}, which the row is against, shows an ideal observer, and that "
                f"has {' and '.join(OBSERVER_METRICS)} only"
            )


def _without_seed(model: dict) -> dict:
    return model | {"training": model["training"] | {"seed": None}}


def check_observed(key: str, name: str, dataset: Dataset, specimen: Specimen, beam: Beam) -> None:
    """An ideal observer must be possible for the data set ``name``.

    Raises
    ------
    ValueError
        One line that begins with ``key``.
    """
    for block, values in (
        (f"specimens.{dataset.specimen}.tilt_deg", specimen.tilt_deg),
        (f"beams.{dataset.beam}.tilt_mrad", beam.tilt_mrad),
        (f"beams.{dataset.beam}.random_tilt_mrad", beam.random_tilt_mrad),
        (f"beams.{dataset.beam}.frozen_phonons", (beam.frozen_phonons,)),
        (f"beams.{dataset.beam}.diffuse_snapshots", (beam.diffuse_snapshots,)),
    ):
        if any(values):
            raise ValueError(
                f"{key}: got {name!r}, whose {block} is "
                f"{', '.join(f'{value:g}' for value in values)}; an ideal observer is estimated without tilt and "
                "without snapshots only (0)"
            )


def check_ideal_observer(here: str, row: TableRow, dataset: Dataset, specimen: Specimen, beam: Beam) -> None:
    """The ideal observer of a row must be possible for the data set, and have what the row shows.

    Raises
    ------
    ValueError
        One line that begins with ``here``.
    """
    check_observed(f"{here}.ideal_observer", row.ideal_observer, dataset, specimen, beam)
    if row.shows == "image_and_prior" and specimen.count_shift_atoms == 0:
        raise ValueError(
            f"{here}.shows: got 'image_and_prior', which needs counts that are shifted about the wedge's; "
            f"specimens.{dataset.specimen}.count_shift_atoms is 0: show prior or image"
        )
