"""The files that belong to the configuration's films, sets and limits, for the workflow's rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from segdepth.config import Block, Config
from segdepth.errors import ConfigError
from segdepth.steps.layout import Layout


class FilmLayout:
    """The files of one configuration's films, sets and limits."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self.config, self.layout = config, layout

    def structure(self, film: str) -> int:
        """Index in the plan of the structure that a film shows."""
        block = self.config.films[film]
        return self.layout.test_structure(block.dataset, block.structure)

    def atoms(self, film: str) -> str:
        """Shard that holds it."""
        block = self.config.films[film]
        return self.layout.shard_of(self.layout.atoms_shards(block.dataset), block.dataset, block.structure)

    def most_atoms(self, film: str) -> int:
        """Largest count with a class of its own."""
        return self.config.labels[self.config.datasets[self.config.films[film].dataset].labels].most_atoms

    def film_options(self, film: str) -> str:
        """The blocks of a film as the command's options, but for what its own one and its atoms are."""
        dataset = self.config.datasets[self.config.films[film].dataset]
        blocks = self.layout.blocks_of(self.config.films[film].dataset)
        given = {
            "film": self.config.films[film],
            "imaging": blocks["imaging"],
            "specimen": blocks["specimen"],
            "beam": self.config.beams[dataset.beam],
        }
        return shell_options(self.layout, given)

    def sets_shards(self, name: str, shards_of: Callable[[str], list[str]]) -> list[str]:
        """Shards of all data sets of a block of sets, one data set after another."""
        return [path for dataset in self.config.prediction_sets[name].datasets for path in shards_of(dataset)]

    def sets_options(self, name: str) -> str:
        """A block of sets and its data sets as the command's options."""
        block = self.config.prediction_sets[name]
        parts = [shell_options(self.layout, {"prediction-sets": block})]
        for dataset in block.datasets:
            blocks = self.layout.blocks_of(dataset)
            parts.append(shell_options(self.layout, {kind: blocks[kind] for kind in ("dataset", "specimen")}))
        return " ".join(parts)

    def map_options(self, name: str) -> str:
        """A map of limits and its data set as the command's options."""
        block = self.config.limit_maps[name]
        blocks = self.layout.blocks_of(block.dataset)
        labels = blocks.pop("labels")
        beam = self.config.beams[self.config.datasets[block.dataset].beam]
        given = shell_options(self.layout, {"limit-map": block, **blocks, "beam": beam})
        return f"{given} --most-atoms {labels.most_atoms}"

    def limit_evaluations(self, model: str, dataset: str) -> list[str]:
        """Evaluations of a network on data sets that differ from this one in nothing but the dose."""
        config = self.config
        wanted = config.datasets[dataset].model_dump(exclude={"dose_lambda"})
        names = [
            name
            for name in config.evaluations.get(model, ())
            if config.datasets[name].model_dump(exclude={"dose_lambda"}) == wanted
        ]
        if dataset not in names:
            raise ConfigError(
                f"results/tables/limits_{model}_{dataset}.csv: evaluations.{model} must list {dataset!r} for a network "
                "to stand beside the limit"
            )
        return [f"results/evaluation/{model}/{name}" for name in names]


def shell_options(layout: Layout, blocks: dict[str, Block]) -> str:
    """``--kind JSON`` for each block, as one text for a shell."""
    return " ".join(f"--{kind} {shlex.quote(layout.as_json(block))}" for kind, block in blocks.items())
