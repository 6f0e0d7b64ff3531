"""The files that belong to the configuration's films, for the workflow's rules."""

from __future__ import annotations

import shlex

from segdepth.config import Block, Config
from segdepth.steps.layout import Layout


class FilmLayout:
    """The files of one configuration's films."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self.config, self.layout = config, layout

    def structure(self, film: str) -> int:
        """Index in the plan of the structure that a film shows."""
        block = self.config.films[film]
        return self.layout.test_structure(block.dataset, block.structure)

    def atoms(self, film: str) -> str:
        """Shard that holds it."""
        dataset = self.config.films[film].dataset
        specimen = self.config.specimens[self.config.datasets[dataset].specimen]
        return self.layout.atoms_shards(dataset)[self.structure(film) // specimen.shard_size]

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


def shell_options(layout: Layout, blocks: dict[str, Block]) -> str:
    """``--kind JSON`` for each block, as one text for a shell."""
    return " ".join(f"--{kind} {shlex.quote(layout.as_json(block))}" for kind, block in blocks.items())
