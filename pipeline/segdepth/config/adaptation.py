"""The section ``adaptations``: networks that are tuned to one film."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.fields import Name, Number
from segdepth.config.micrograph import Prediction


class Adaptation(Prediction):
    """A micrograph or film, its lens fit, and the network that is tuned to them and then predicts it."""

    lens_fit: Annotated[str, Field(min_length=1, pattern=r"^[^{}\r\n]+$")] = Field(
        description="path of the film's lens fit, as segdepth fit-lens writes it"
    )
    crystal: Name | None = Field(
        None, description="name of a crystals block, where the crystal's structure does not come with the package"
    )
    minutes: Annotated[Number, Field(gt=0, le=1440)] = Field(
        20.0, description="how long structures, waves and training may take together; rates are measured"
    )
    force: bool = Field(
        False, description="adapt to a fit that does not explain the film; network and prediction then say so"
    )
