"""The section ``datasets``: one block of each kind, a dose, and shares of the structures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Name, Number
from segdepth.config.specimen import Specimen
from segdepth.splits import PARTS, split_of


class Splits(Block):
    """Shares of the structures; the rest is not used."""

    test: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.2, description="share of the structures that networks are measured on"
    )
    validation: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.15, description="share of the structures that a training is validated on"
    )
    train: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.65, description="share of the structures that networks are trained on"
    )

    @model_validator(mode="after")
    def _sum(self) -> Splits:
        total = self.test + self.validation + self.train
        if total > 1 + 1e-9:
            raise ValueError(f"test + validation + train is {total:g}; at most 1 is allowed")
        return self


class Dataset(Block):
    """One specimen, beam, imaging and labels block, joined with a dose and splits."""

    specimen: Name = Field(description="name of a specimens block")
    beam: Name = Field(description="name of a beams block")
    imaging: Name = Field(description="name of an imaging block")
    labels: Name = Field(description="name of a labels block")
    dose_lambda: Annotated[Number, Field(gt=0, le=10_000)] = Field(
        2.5, description="λ: electrons per 5.284 pm pixel in vacuum, the paper's unit (2.5 is 895 e/Å^2)"
    )
    splits: Splits = Field(Splits(), description="shares of the structures for test, validation and training")

    def structures_of(self, part: str, specimen: Specimen) -> list[int]:
        """Indices of the structures that are ``test``, ``validation`` or ``train`` in this data set."""
        if part not in PARTS:
            raise ValueError(f"no split is called {part!r}; there are {', '.join(PARTS)}")
        shares = self.splits
        return [
            index
            for index in range(specimen.structures)
            if split_of(index, shares.test, shares.validation, shares.train) == part
        ]

    def structures_seen(self, specimen: Specimen) -> list[int]:
        """Indices of the structures that a network trained on this data set has seen: training and validation."""
        return sorted(self.structures_of("train", specimen) + self.structures_of("validation", specimen))
