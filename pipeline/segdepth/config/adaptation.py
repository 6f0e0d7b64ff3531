"""The section ``adaptations``: networks that are tuned to one film."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import BUNDLED, Name, Number


class Adaptation(Block):
    """A network that is tuned to the film of a lens fit, and then predicts it."""

    lens_fit: Name = Field(description="name of a lens_fits block, whose micrograph it is")
    model: Name = Field(
        BUNDLED, description="name of a models block, bundled or bundled_particles: the network that is tuned"
    )
    minutes: Annotated[Number, Field(ge=0.1, le=1440)] = Field(
        20.0, description="how long structures, waves and training may take together; rates are measured"
    )
    force: bool = Field(
        False, description="adapt to a fit that does not explain the film; network and prediction then say so"
    )
