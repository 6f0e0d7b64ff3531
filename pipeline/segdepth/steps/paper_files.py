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


def film_of(paper: Paper) -> str:
    """What was measured of the film of Fig. 12."""
    return f"results/films/{paper.film_model}/{paper.film}"


def bound_of(paper: Paper) -> str:
    """The ideal observer beside Fig. 9."""
    return f"results/ideal_observer/{paper.bound}"


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

    def bounds(self, table: str) -> list[str]:
        """The ideal observer beside Fig. 9."""
        there = "bound" in self.items(table) and self.block.bound is not None
        return [bound_of(self.block)] if there else []

    def predictions(self, table: str = "fig11") -> list[str]:
        """Names of the predictions that a table shows."""
        return list(self.layout.config.predictions) if {"fig10", "fig11"} & {*self.items(table)} else []

    def recorded(self, table: str = "fig10") -> list[str]:
        """Shards of depth maps that hold the truth of the predictions of simulated micrographs."""
        if "fig10" not in self.items(table):
            return []
        blocks = [self.layout.config.micrographs[name] for name in self._micrographs()]
        shards = self.layout.depth_shards
        return distinct(self.layout.shard_of(shards(one.dataset), one.dataset, one.structure) for one in blocks)

    def _micrographs(self) -> list[str]:
        named = [block.micrograph for block in self.layout.config.predictions.values()]
        return [name for name in named if name is not None]

    def recordings(self, table: str) -> list[str]:
        """What Figs. 10, 11 and 12 show in numbers."""
        items, names = self.items(table), self.predictions(table)
        found = [f"results/boundaries/{name}" for name in names if "fig11" in items]
        if "fig10" in items:
            found += [f"results/predictions/{name}" for name in names]
            found += [
                *(f"data/micrographs/{name}.npz" for name in distinct(self._micrographs())),
                *self.recorded(table),
            ]
        if "fig12" in items and self.block.film is not None:
            found.append(film_of(self.block))
        return found

    def models(self, table: str) -> list[str]:
        """Trained networks whose cards and training times a table shows."""
        names = [model for item in self.items(table) for model, _ in self.block.measured(item)]
        names += self.block.gradient_models if "fig8" in self.items(table) else ()
        names += [self.layout.config.predictions[name].model for name in self.predictions(table)]
        names += [self.block.film_model] if "fig12" in self.items(table) and self.block.film is not None else ()
        trained = [name for name in names if name not in RESERVED]
        earlier = [path for name in trained for path in self.layout.init_weights_of(name)]
        return distinct([*map(self.layout.network_of, names), *earlier])

    def tabulated(self, table: str) -> list[str]:
        """Everything that a table reads."""
        measured = [*self.evaluations(table), *self.denoisings(table), *self.gradients(table), *self.recordings(table)]
        return [*measured, *self.bounds(table), *self.models(table)]

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
