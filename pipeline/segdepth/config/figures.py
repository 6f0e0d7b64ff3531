"""The section ``figures``: data of the paper's figures."""

from __future__ import annotations

from pydantic import Field

from segdepth.config.block import Block
from segdepth.config.fields import Name


class Figures(Block):
    """Data of the paper's figures."""

    model: Name = Field(description="name of the network")
    dataset: Name = Field(description="dataset of all figures but figure 6")
    confusion_dataset: Name = Field(description="the dataset of figure 6 (the paper uses lambda = 1)")
    montage_dataset: Name | None = Field(
        None, description="dataset whose first shard the montage shows; without it there is no montage"
    )
