"""The files that belong to the configuration's blocks of ``generalization``, for the workflow's rules."""

from __future__ import annotations

from segdepth.config import Config
from segdepth.steps.layout import distinct


def generalization_evaluations(config: Config, name: str) -> list[str]:
    """Every evaluation that a matrix shows."""
    cells = config.generalization[name].cells
    return distinct(f"results/evaluation/{cell.network}/{cell.dataset}" for cell in cells)


def generalization_models(config: Config, name: str) -> list[str]:
    """Its networks, whose training times it shows."""
    return distinct(f"results/models/{cell.network}" for cell in config.generalization[name].cells)
