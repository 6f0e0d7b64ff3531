"""The section ``convergence``: the study of the simulation's accuracy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name


class Convergence(Block):
    """The convergence study: beam and imaging of a data set, on some of its structures."""

    dataset: Name = Field(description="name of the dataset whose beam, imaging and specimen are studied")
    shard: Annotated[Count, Field(ge=0)] = Field(0, description="number of the atoms file that holds the structures")
    structures: tuple[Annotated[Count, Field(ge=0)], ...] = Field(
        (), description="indices in the plan; empty: the thickest and the median one of the shard"
    )
    phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        16, description="number of frozen-phonon snapshots to compare with the Debye-Waller factor; 0: no comparison"
    )
