"""What a network learns from: data sets with their blocks and shards. Knows nothing of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from segdepth.config import Dataset, DatasetBlocks, Imaging, Labels, Specimen
from segdepth.errors import ConfigError
from segdepth.learning.samples import Source, StructureCache


@dataclass(frozen=True)
class TrainingSet:
    """A data set to learn from: its blocks, and its shards of waves and of depth maps in the same order."""

    dataset: Dataset
    specimen: Specimen
    imaging: Imaging
    labels: Labels
    waves: list[Path]
    depth: list[Path]

    @property
    def blocks(self) -> DatasetBlocks:
        return DatasetBlocks(self.dataset, self.specimen, self.imaging, self.labels)

    def indices(self, part: str) -> list[int]:
        return self.dataset.structures_of(part, self.specimen)

    @property
    def learnt(self) -> list[int]:
        """Indices of its training and validation structures."""
        return self.dataset.structures_seen(self.specimen)

    def source(self, device: torch.device | str = "cpu") -> Source:
        """Its training and validation structures, which the device learns from."""
        cache = StructureCache(self.waves, self.depth, self.learnt, device=device)
        return Source(cache, self.imaging, self.dataset.dose_lambda, self.dataset.specimen)

    def as_json(self) -> dict:
        return {name: block.model_dump(mode="json") for name, block in self.blocks._asdict().items()}


def join_training_sets(
    datasets: Sequence[Dataset],
    specimens: Sequence[Specimen],
    imagings: Sequence[Imaging],
    labels: Sequence[Labels],
    waves: Sequence[Path],
    depth: Sequence[Path],
) -> list[TrainingSet]:
    """Blocks in the data sets' order, and the shards of all data sets behind each other, parted again.

    Raises
    ------
    ConfigError
        There are not as many blocks of each kind, or not as many shards as the specimens have.
    """
    given = {"dataset": datasets, "specimen": specimens, "imaging": imagings, "labels": labels}
    if len({len(blocks) for blocks in given.values()}) > 1:
        told = ", ".join(f"{len(blocks)} --{name}" for name, blocks in given.items())
        raise ConfigError(f"got {told}; each is needed once for every data set")
    shards = sum(specimen.shards for specimen in specimens)
    for name, paths in (("waves", waves), ("depth", depth)):
        if len(paths) != shards:
            raise ConfigError(f"--{name}: got {len(paths)} shards; the specimens have {shards}")
    training_sets, first = [], 0
    for dataset, specimen, imaging, label in zip(datasets, specimens, imagings, labels):
        last = first + specimen.shards
        training_sets.append(
            TrainingSet(dataset, specimen, imaging, label, list(waves[first:last]), list(depth[first:last]))
        )
        first = last
    return training_sets
