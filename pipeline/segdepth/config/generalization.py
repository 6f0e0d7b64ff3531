"""The section ``generalization``: every network of a row of conditions measured under all of them."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Name


class HomeNetwork(Block):
    """One network of the matrix."""

    home: Name = Field(description="name of the dataset that it was trained on; every network is measured on all homes")
    tuned: dict[Name, Name] = Field(
        {},
        description="by dataset, among the other homes: name of the network that was trained on it for a short time, "
        "beginning with this network's weights (init_weights: results/models/NAME)",
    )


class Cell(NamedTuple):
    """One measurement of the matrix."""

    network: str
    dataset: str
    began_with: str | None = None
    """Of a tuned network: the one whose weights it began with."""
    against: str | None = None
    """The network on the same data set that its change is relative to: the one that is at home there, or of a tuned
    network the one that it began with."""


class Generalization(Block):
    """Networks measured under each other's conditions, and after a short training there."""

    networks: Annotated[dict[Name, HomeNetwork], Field(min_length=2)] = Field(
        description="by the name of a trained network, its home and what became of it elsewhere"
    )

    @model_validator(mode="after")
    def _own_homes(self) -> Generalization:
        homes = self.datasets
        for home in homes:
            if homes.count(home) > 1:
                raise ValueError(f"networks: two have the home {home!r}; each needs its own")
        used: dict[str, str] = dict.fromkeys(self.networks, "one of the networks")
        for name, network in self.networks.items():
            for dataset, tuned in network.tuned.items():
                here = f"networks.{name}.tuned"
                others = [home for home in homes if home != network.home]
                if dataset not in others:
                    raise ValueError(f"{here}: got the dataset {dataset!r}; allowed: {', '.join(others)}")
                if tuned in used:
                    raise ValueError(f"{here}.{dataset}: got {tuned!r}, which is {used[tuned]} already")
                used[tuned] = f"{name!r} tuned to {dataset!r}"
        return self

    @property
    def datasets(self) -> list[str]:
        """The homes, in the order of the networks."""
        return [network.home for network in self.networks.values()]

    @property
    def cells(self) -> list[Cell]:
        """Every network on every home, row by row, then the tuned ones."""
        native = {network.home: name for name, network in self.networks.items()}
        plain = [
            Cell(name, home, against=None if home == network.home else native[home])
            for name, network in self.networks.items()
            for home in native
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
    check_home(here, cell.network, cell.dataset, datasets)


def check_home(here: str, network: str, dataset: str, datasets: tuple[str, ...]) -> None:
    """A network must be trained on a data set.

    Raises
    ------
    ValueError
        One line that begins with ``here``.
    """
    if dataset not in datasets:
        raise ValueError(f"{here}: {network!r} is trained on {', '.join(datasets)}, not on {dataset!r}")
