"""The section ``paper``: the networks and data sets of the paper's tables and figures that compare several networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Name, Number

Dose = Annotated[Number, Field(gt=0, le=10_000)]

PAPER_ITEMS = ("table1_widths", "table2", "fig6", "fig7", "fig8", "fig9a", "fig9b", "bound", "fig10", "fig11", "fig12")
"""What ``results/tables/paper.csv`` sets beside the paper's numbers; each is a table of its own, too."""


class Paper(Block):
    """Networks and data sets of the paper's Tables I and II and Figs. 6 to 9 and 12 (``snakemake paper``)."""

    dataset: Name = Field(description="dataset of Tables I and II and of Fig. 7 (the paper has lambda = 2.5)")
    confusion_dataset: Name | None = Field(
        None, description="dataset of Fig. 6 (the paper has lambda = 1); without it dataset"
    )
    other_datasets: dict[Name, Name] = Field(
        {},
        description="by network of Tables I and II: dataset that it is measured on instead, the same recordings with "
        "another pixel",
    )
    widths: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="networks of Table I: several base_channels, and others to be set beside them"
    )
    segmentation: Name = Field(
        description="network of Table II that counts in the noisy image; also that of Figs. 6, 7, 8, without shown"
    )
    shown: Name | None = Field(None, description="network of Figs. 6, 7 and 8; without it segmentation")
    denoised: Name = Field(description="network of Table II that counts in images of a denoiser trained before")
    joint: Name = Field(description="network of Table II that learns to denoise and to count at once")
    every_dose: Name | None = Field(
        None, description="network trained for every dose, a further curve of Figs. 8 and 9"
    )
    dose_datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="datasets of Fig. 9: the same structures at several doses"
    )
    dose_widths: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="networks of Fig. 9a: several base_channels trained at one dose"
    )
    dose_trained: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="networks of Fig. 9b: one width trained at several doses"
    )
    bound: Name | None = Field(
        None,
        description="dataset whose ideal observer of single columns stands beside Fig. 9: like `dataset`, but for the "
        "dose and the number of test structures",
    )
    film: Name | None = Field(
        None, description="film of Fig. 12, seen by the network of every dose, or without one by that of `segmentation`"
    )
    gradient_structure: Annotated[Count, Field(ge=0)] = Field(
        0, description="structure of Fig. 8, counted from 0 among the test structures"
    )
    gradient_lambda: Annotated[tuple[Dose, ...], Field(min_length=1)] = Field(
        (0.1, 0.5, 2.5, 25.0), description="doses of Fig. 8"
    )
    gradient_atoms: Annotated[Count, Field(ge=1)] = Field(
        6, description="count of the column in Fig. 8, or the nearest"
    )

    @model_validator(mode="after")
    def _once(self) -> Paper:
        for key in ("widths", "dose_datasets", "dose_widths", "dose_trained", "gradient_lambda"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: names one twice: {', '.join(map(str, values))}")
        return self

    @property
    def gradient_models(self) -> tuple[str, ...]:
        return (self.shown or self.segmentation, *([self.every_dose] if self.every_dose else []))

    def dataset_of(self, model: str) -> str:
        """What a network of Tables I and II or of Figs. 7 and 8 is measured on."""
        return self.other_datasets.get(model, self.dataset)

    @property
    def compared(self) -> tuple[str, ...]:
        """Networks of Tables I and II and of Figs. 7 and 8, each once."""
        tables = (*self.widths, self.segmentation, self.denoised, self.joint)
        return tuple(dict.fromkeys((*tables, *self.gradient_models)))

    @property
    def film_model(self) -> str:
        """Network of Fig. 12."""
        return self.every_dose or self.segmentation

    def measured(self, item: str) -> list[tuple[str, str]]:
        """Network and data set of each evaluation that an item shows, each once."""
        extra = (self.every_dose,) if self.every_dose else ()
        at_doses = {"fig9a": self.dose_widths, "fig9b": self.dose_trained}
        if item in at_doses:
            models = dict.fromkeys((*at_doses[item], *extra))
            return [(model, dataset) for model in models for dataset in self.dose_datasets]
        if item == "bound":
            return [(self.dose_widths[0], dataset) for dataset in self.dose_datasets] if self.bound else []
        if item == "fig6":
            return [(self.shown or self.segmentation, self.confusion_dataset or self.dataset)]
        models = {
            "table1_widths": self.widths,
            "table2": (self.segmentation, self.denoised, self.joint),
            "fig7": (self.shown or self.segmentation,),
        }
        return [(model, self.dataset_of(model)) for model in models.get(item, ())]
