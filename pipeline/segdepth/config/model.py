"""The sections ``models`` and ``export``: networks, how they are trained, and which one is bundled."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import NETWORK_STRIDE, Count, Name, Number, range_of

TASKS = ("depth", "denoise", "denoise_and_depth")
"""What a network is trained for."""

TRAINED = Path("results/models")
"""Where the workflow puts the networks that it trains, each under its name."""


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
        0, description="seed of the initial weights and of all random draws of the training"
    )
    continuous_defocus: bool = Field(
        True,
        description="draw the defocus uniformly from its range; false: from the stored values only, as in the paper",
    )
    noise_repeats: Annotated[Count, Field(ge=1, le=64)] = Field(
        2, description="how often a simulated image is used, each time with new noise"
    )
    dose_lambda: range_of(gt=0, le=10_000) | None = Field(
        None, description="range from which each sample's dose is drawn, log-uniform; by default the dataset's dose"
    )
    dose_importance: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0,
        description="weight of a sample in the loss: its dose to this power, 1 in the mean, since at few "
        "electrons most of the loss is noise; 0: all alike",
    )
    ordinal_weight: Annotated[Number, Field(ge=0, le=100)] = Field(
        0.0,
        description="weight of the ranked probability score beside the cross-entropy in the loss: a depth that is far "
        "off then costs more than one that is nearly right",
    )
    flip: bool = Field(True, description="flip samples along x at random")
    flip_y: bool = Field(False, description="flip samples along y at random as well, so that the vacuum may be below")
    crop_pixels: Annotated[Count, Field(ge=64, le=4096, multiple_of=NETWORK_STRIDE)] = Field(
        256, description="side of a training sample in input pixels"
    )
    batch_size: Annotated[Count, Field(ge=1, le=4096)] = Field(8, description="samples in a step, on each device")
    epoch_samples: Annotated[Count, Field(ge=1)] = Field(512, description="samples in an epoch")
    epochs: Annotated[Count, Field(ge=1, le=100_000)] = Field(10, description="largest number of epochs")
    patience_epochs: Annotated[Count, Field(ge=1)] | None = Field(
        None,
        description="stop early when the validation loss has not fallen for this many epochs: the learning rate "
        "then falls to its low end within a fifth of the epochs done; without it, all epochs are "
        "trained",
    )
    optimizer: Literal["muon", "adam"] = Field(
        "muon", description="muon: orthogonalised steps for the inner convolutions, Adam for the other parameters"
    )
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = Field(3e-3, description="peak of the one-cycle schedule")
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="decoupled (AdamW, Muon)")
    gradient_clip: Annotated[Number, Field(ge=0, le=1000)] = Field(
        0.0, description="largest gradient norm; 0: no clipping"
    )
    devices: Annotated[Count, Field(ge=1, le=64)] = Field(
        1, description="number of GPUs, or of processes on a CPU; each takes a batch of batch_size"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")

    @property
    def epoch_steps(self) -> int:
        """Batches that each device takes in an epoch."""
        return max(1, self.epoch_samples // (self.batch_size * self.devices))


class Model(Block):
    """One network and the datasets it is trained on."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="names of the datasets to train on, all structures equally often; the first one's dose is "
        "the network's nominal dose"
    )
    task: Literal[TASKS] = Field(
        "depth",
        description="depth: atoms behind each pixel; denoise: the image without shot noise, by its mean squared error; "
        "denoise_and_depth: two networks of this architecture at once, the second counts in what the first gives",
    )
    denoiser: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="folder of a network of the task denoise that denoises every image before this network gets it: "
        "results/models/NAME; the denoiser is not trained further",
    )
    architecture: Architecture = Field(Architecture(), description="the network")
    init_weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="folder of a trained network of the same architecture whose weights the training begins "
        "with: results/models/NAME, or any other; depth classes that it lacks begin as unlikely kinds of its last one; "
        "without it, weights are random",
    )
    flip_average: bool = Field(
        False,
        description="test-time augmentation: average the estimates over the frame and its mirror image along x, "
        "at twice the time",
    )
    remark: Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")] = Field(
        "", description="a line that the network's card and every prediction with it carry"
    )
    training: Training = Field(Training(), description="how it is trained")

    @field_validator("init_weights", "denoiser")
    @classmethod
    def _one_spelling(cls, value: str | None) -> str | None:
        """The path in one spelling, for rules, checks and cards."""
        return None if value is None else os.path.normpath(value.strip() or ".")

    @model_validator(mode="after")
    def _of_one_task(self) -> Model:
        if self.task == "depth" and self.denoiser is None:
            return self
        what = f"task: got {self.task!r}" if self.denoiser is None else "denoiser"
        if self.denoiser is not None and self.task != "depth":
            raise ValueError(f"denoiser: got {self.denoiser!r} with task {self.task!r}; only task depth takes one")
        if self.init_weights is not None:
            raise ValueError(f"init_weights: got {self.init_weights!r}; with {what} weights are random, leave it out")
        if self.architecture.variant == "full":
            raise ValueError(
                f"architecture.variant: got 'full', whose output is coarser than its input; with {what} give binned or "
                "space_to_depth"
            )
        return self

    @property
    def starts_from(self) -> tuple[str, ...]:
        """Folders of trained networks that its training reads."""
        return tuple(folder for folder in (self.init_weights, self.denoiser) if folder is not None)


def planned(folder: Path, models: Mapping[str, Model]) -> Model | None:
    """The block of the network that the workflow trains into this folder."""
    return models.get(folder.name) if folder.parent == TRAINED else None


def beginnings(model: Model, models: Mapping[str, Model]) -> Iterator[tuple[Path, Model | None]]:
    """Folder and block of the network that a training begins with, or that denoises its images, of the one that this
    one began with, and so on, each once; a network that the workflow does not train has no block and ends it.

    Parameters
    ----------
    models : the configuration's.
    """
    met: set[Path] = set()
    before: Model | None = model
    while before is not None and before.starts_from:
        folder = Path(before.starts_from[0])
        if folder in met:
            return
        met.add(folder)
        before = planned(folder, models)
        yield folder, before


class Export(Block):
    """The network to put into the package (``make export``)."""

    model: Name = Field(description="name of the network to export")
    card_datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="names of the datasets whose evaluations the model card reports"
    )
