"""The files of `snakemake paper`, for the workflow's rules; see ``segdepth.steps.layout``."""

from __future__ import annotations

from segdepth.config import PAPER_ITEMS, RESERVED, Paper
from segdepth.errors import ConfigError
from segdepth.steps.layout import Layout, distinct

GRADIENT_STRUCTURES = 8
"""Test structures whose gradients are measured: the one that Fig. 8 shows, and those that follow it."""

PICTURES = ("fig8_gradients", "fig9_doses")


def denoisings_of(paper: Paper) -> list[tuple[str, str]]:
    """Network and data set of each denoiser that Table II measures."""
    return [(model, paper.dataset_of(model)) for model in (paper.denoised, paper.joint)]


def gradients_of(model: str, dataset: str) -> str:
    return f"results/gradients/{model}/{dataset}"


class PaperFiles:
    """The files of one configuration's ``paper`` block."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def block(self) -> Paper:
        """The block; raises ConfigError where the configuration has none."""
        if self.layout.config.paper is None:
            raise ConfigError("paper: config.yaml has no such block; workflow/presets/paper_quick.yaml has one")
        return self.layout.config.paper

    def items(self, table: str) -> tuple[str, ...]:
        """The items of a table: one, or all of them in ``paper``."""
        return PAPER_ITEMS if table == "paper" else (table,)

    def evaluations(self, table: str) -> list[str]:
        pairs = [pair for item in self.items(table) for pair in self.block.measured(item)]
        return distinct(f"results/evaluation/{model}/{dataset}" for model, dataset in pairs)

    def denoisings(self, table: str) -> list[str]:
        if "table2" not in self.items(table):
            return []
        return [f"results/denoising/{model}/{dataset}.csv" for model, dataset in denoisings_of(self.block)]

    def gradients(self, table: str = "fig8") -> list[str]:
        if "fig8" not in self.items(table):
            return []
        return [gradients_of(model, self.block.dataset_of(model)) for model in self.block.gradient_models]

    def models(self, table: str) -> list[str]:
        """Trained networks whose cards and training times a table shows."""
        names = [model for item in self.items(table) for model, _ in self.block.measured(item)]
        names += self.block.gradient_models if "fig8" in self.items(table) else ()
        trained = [name for name in names if name not in RESERVED]
        earlier = [path for name in trained for path in self.layout.init_weights_of(name)]
        return distinct([*map(self.layout.network_of, names), *earlier])

    def tabulated(self, table: str) -> list[str]:
        """Everything that a table reads."""
        return [*self.evaluations(table), *self.denoisings(table), *self.gradients(table), *self.models(table)]

    def structures(self, dataset: str) -> list[int]:
        """Indices in the plan of the structures of the gradients, that of the maps first."""
        return distinct(self.layout.test_structure(dataset, number) for number in self._numbers)

    def shards(self, dataset: str, shards: list[str]) -> list[str]:
        """Of a data set's shards those which hold them."""
        return distinct(self.layout.shard_of(shards, dataset, number) for number in self._numbers)

    @property
    def _numbers(self) -> range:
        first = self.block.gradient_structure
        return range(first, first + GRADIENT_STRUCTURES)

    def targets(self) -> list[str]:
        """What ``snakemake paper`` makes beside the default targets."""
        tables = [f"results/tables/{name}.csv" for name in ("paper", *PAPER_ITEMS)]
        figures = [f"results/figures/{name}.png" for name in PICTURES]
        figures += [f"results/figures/fig11_boundary_{name}.png" for name in self.layout.config.predictions]
        if self.block.film is not None:
            figures.append(f"results/figures/fig12_film_{self.block.film_model}_{self.block.film}.png")
        return [*self.layout.targets(), *tables, *figures]
