"""The section ``generalization``: networks, each trained under one condition, measured under all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Name


class MatrixNetwork(Block):
    """One network of the matrix."""

    trained_on: Name = Field(description="name of its dataset; every network is measured on the datasets of all")
    tuned: dict[Name, Name] = Field(
        {},
        description="by dataset of another network: name of the network that was trained on it for a short time, "
        "starting from this network's weights (init_weights: results/models/NAME)",
    )


class Cell(NamedTuple):
    """One measurement of the matrix."""

    network: str
    dataset: str
    began_with: str | None = None
    """Of a tuned network: the one whose weights it began with."""
    against: str | None = None
    """The network on the same data set that its change is relative to: the one trained on it, or of a tuned network
    the one that it began with."""


class Generalization(Block):
    """Networks measured under each other's conditions, and after a short training there."""

    networks: Annotated[dict[Name, MatrixNetwork], Field(min_length=2)] = Field(
        description="by the name of a trained network: its dataset, and its short trainings on the datasets of others"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Generalization:
        for dataset in self.datasets:
            if self.datasets.count(dataset) > 1:
                raise ValueError(f"networks: two have trained_on {dataset!r}; each needs a dataset of its own")
        used: dict[str, str] = dict.fromkeys(self.networks, "one of the networks")
        for name, network in self.networks.items():
            for dataset, tuned in network.tuned.items():
                here = f"networks.{name}.tuned"
                others = [each for each in self.datasets if each != network.trained_on]
                if dataset not in others:
                    raise ValueError(f"{here}: got the dataset {dataset!r}; allowed: {', '.join(others)}")
                if tuned in used:
                    raise ValueError(f"{here}.{dataset}: got {tuned!r}, which is {used[tuned]} already")
                used[tuned] = f"{name!r} tuned to {dataset!r}"
        return self

    @property
    def datasets(self) -> list[str]:
        """Those that the networks were trained on, in the order of the networks."""
        return [network.trained_on for network in self.networks.values()]

    @property
    def cells(self) -> list[Cell]:
        """Every network on every data set, row by row, then the tuned ones."""
        trained = {network.trained_on: name for name, network in self.networks.items()}
        plain = [
            Cell(name, dataset, against=None if trained[dataset] == name else trained[dataset])
            for name, network in self.networks.items()
            for dataset in trained
        ]
        return plain + [
            Cell(tuned, dataset, began_with=name, against=name)
            for name, network in self.networks.items()
            for dataset, tuned in network.tuned.items()
        ]


def check_tuned(here: str, cell: Cell, init_weights: str | None, datasets: tuple[str, ...]) -> None:
    """A tuned network must begin with the weights that the matrix says, and be trained on the data set of its cell.

    Parameters
    ----------
    init_weights, datasets : of the tuned network's block.

    Raises
    ------
    ValueError
        One line that begins with ``here``.
    """
    wanted = f"results/models/{cell.began_with}"
    if init_weights != wanted:
        raise ValueError(f"{here}: {cell.network!r} has init_weights {init_weights}; {wanted} is needed")
    _check_trained_on(here, cell.network, cell.dataset, datasets)


def check_untuned(here: str, cell: Cell, trained_on: str, datasets: Mapping[str, tuple[str, ...]]) -> None:
    """A network must be trained on the data set that the matrix says, and have learnt no other network's, neither
    itself nor before, as one that its training begins with.

    Parameters
    ----------
    trained_on : what the matrix says.
    datasets : by network: of the cell's block, and of each that its training begins with.

    Raises
    ------
    ValueError
        One line that begins with ``here``.
    """
    _check_trained_on(here, cell.network, trained_on, datasets[cell.network])
    for network, learnt in datasets.items():
        if cell.dataset != trained_on and cell.dataset in learnt:
            how = f"is trained on {cell.dataset!r}, too, which is"
            if network != cell.network:
                how = f"begins with {network!r}, which is trained on {cell.dataset!r},"
            raise ValueError(
                f"{here}: {cell.network!r} {how} that of {cell.against!r}; "
                "a matrix needs networks that have learnt no data set of another one"
            )


def _check_trained_on(here: str, network: str, dataset: str, datasets: tuple[str, ...]) -> None:
    if dataset not in datasets:
        raise ValueError(f"{here}: {network!r} is trained on {', '.join(datasets)}, not on {dataset!r}")
