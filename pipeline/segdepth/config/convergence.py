"""The section ``convergence``: what the study of the simulation's accuracy looks at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name


class Convergence(Block):
    """What the convergence study looks at: the data set's beam and imaging, on some of its structures."""

    dataset: Name = Field(description="whose beam, imaging and specimen are studied")
    shard: Annotated[Count, Field(ge=0)] = Field(0, description="the atoms file that holds the structures")
    structures: tuple[Annotated[Count, Field(ge=0)], ...] = Field(
        (), description="indices in the plan; none means the thickest and the middle one of the shard"
    )
    phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        16, description="snapshots that the Debye-Waller factor is held against; 0 leaves that out"
    )
