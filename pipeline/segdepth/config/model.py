"""The sections ``models`` and ``export``: networks, how they are trained, and which one is bundled."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, field_validator

from segdepth.config.block import Block
from segdepth.config.fields import NETWORK_STRIDE, Count, Name, Number, range_of


class Architecture(Block):
    """The network."""

    variant: Literal["binned", "full", "space_to_depth"] = Field(
        "binned",
        description="binned: the paper's network without its tail, 21 pm in and out; full: the paper's, 5.3 pm in, "
        "21 pm out; space_to_depth: our own, 21 pm in and out, 2 x 2 pixels become channels",
    )
    base_channels: Annotated[Count, Field(ge=2, le=256, multiple_of=2)] = Field(
        16, description="channels of the first level"
    )


class Training(Block):
    """How a network is trained."""

    seed: Annotated[Count, Field(ge=0, lt=2**32)] = Field(
        0, description="of the initial weights and of all that the training draws"
    )
    continuous_defocus: bool = Field(
        True,
        description="draw the defocus uniformly from its range; false: from the stored values only, as in the paper",
    )
    noise_repeats: Annotated[Count, Field(ge=1, le=64)] = Field(
        2, description="how often a simulated image is used, each time with new noise"
    )
    dose_lambda: range_of(gt=0, le=10_000) | None = Field(
        None, description="each sample's dose is drawn from this range, log-uniform; without it, its data set's"
    )
    dose_importance: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0,
        description="samples count in the loss by their dose to this power (1 in the mean): at few electrons most "
        "of the loss is chance; 0: all alike",
    )
    flip: bool = Field(True, description="flip samples along x, at random")
    crop_pixels: Annotated[Count, Field(ge=64, le=4096, multiple_of=NETWORK_STRIDE)] = Field(
        256, description="side of a training sample in input pixels"
    )
    batch_size: Annotated[Count, Field(ge=1, le=4096)] = Field(8, description="samples a step, on each device")
    epoch_samples: Annotated[Count, Field(ge=1)] = Field(512, description="samples that one epoch draws")
    epochs: Annotated[Count, Field(ge=1, le=100_000)] = Field(10, description="at most so many")
    patience_epochs: Annotated[Count, Field(ge=1)] | None = Field(
        None,
        description="ends early when the validation loss has not fallen for so many epochs: the learning rate then "
        "goes to its low end within a fifth of the epochs done, and training stops; without it, all epochs are trained",
    )
    optimizer: Literal["muon", "adam"] = Field(
        "muon", description="muon: steps of convolutions are made orthogonal, other parameters are stepped by Adam"
    )
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = Field(3e-3, description="the highest, after a rise")
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="decoupled (AdamW, Muon)")
    gradient_clip: Annotated[Number, Field(ge=0, le=1000)] = Field(
        0.0, description="longest gradient, in its norm; 0 leaves it as it is"
    )
    devices: Annotated[Count, Field(ge=1, le=64)] = Field(
        1, description="GPUs, or processes on a CPU, that train together; each takes a batch of batch_size"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")

    @property
    def epoch_steps(self) -> int:
        """Batches that each device takes in an epoch."""
        return max(1, self.epoch_samples // (self.batch_size * self.devices))


class Model(Block):
    """One network and the datasets it is trained on."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="what it is trained on, each structure as often; the first one's dose is the network's own"
    )
    architecture: Architecture = Field(Architecture(), description="the network")
    init_weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="folder of a trained network of the same architecture, with whose weights the training begins: "
        "results/models/NAME, or one that comes from elsewhere; without it, weights are random at first",
    )
    flip_average: bool = Field(
        False,
        description="test-time augmentation: estimates are means over the frame and its mirror image along x, at twice "
        "the time",
    )
    training: Training = Field(Training(), description="how it is trained")

    @field_validator("init_weights")
    @classmethod
    def _one_spelling(cls, value: str | None) -> str | None:
        """Rules, checks and cards name the folder alike."""
        return None if value is None else os.path.normpath(value.strip() or ".")


class Export(Block):
    """Which network comes with the package, as the model ``bundled``; made when it is asked for."""

    model: Name = Field(description="the network that is exported")
    card_datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="the datasets whose evaluations its card reports"
    )
