"""The section ``figures``: what the paper's figures are drawn from."""

from __future__ import annotations

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import Name


class Figures(Block):
    """What the paper's figures are drawn from."""

    model: Name = Field(description="the network that is shown")
    dataset: Name = Field(description="the data set of the other figures")
    confusion_dataset: Name = Field(description="the dataset of figure 6 (the paper uses lambda = 1)")
    montage_dataset: Name | None = Field(
        None, description="the dataset whose first shard the montage shows; without it there is none"
    )
