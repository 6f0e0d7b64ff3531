"""What a network is trained on: data sets with their blocks and opened stores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import xarray as xr

from segdepth.config import DatasetBlocks
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import StoreError
from segdepth.learning.samples import Source
from segdepth.learning.structures import StructureCache


@dataclass(frozen=True)
class TrainingSet:
    """A data set to train on: its blocks, and its opened shards of waves and of depth maps in the same order."""

    blocks: DatasetBlocks
    waves: Sequence[xr.Dataset]
    depth: Sequence[xr.Dataset]

    def indices(self, part: str) -> list[int]:
        """Structures in the plan that are ``train``, ``validation`` or ``test``."""
        return self.blocks.dataset.structures_of(part, self.blocks.specimen)

    def source(self, device: torch.device | str = "cpu") -> Source:
        """Its training and validation structures."""
        dataset, specimen, imaging, _ = self.blocks
        cache = StructureCache(self.waves, self.depth, dataset.structures_seen(specimen), device=device)
        return Source(cache, imaging, dataset.dose_lambda, dataset.specimen)

    @property
    def crystal(self) -> dict[str, Any]:
        """``Crystal.to_dict()`` of its waves; empty if they have none."""
        return json.loads(self.waves[0].attrs.get("crystal") or "{}")


def crystal_of(training_sets: Sequence[TrainingSet]) -> dict[str, Any]:
    """The crystal that all data sets share, ``Crystal.to_dict()``; empty if none has any.

    Raises
    ------
    StoreError
        They are of different crystals.
    """
    known = [found for training_set in training_sets if (found := training_set.crystal)]
    for other in known[1:]:
        if other != known[0]:
            names = [Crystal.from_dict(crystal).title for crystal in (known[0], other)]
            raise StoreError(f"waves of {names[0]} and {names[1]} cannot be trained on together; give one crystal")
    return known[0] if known else {}


def counted_elements(training_sets: Sequence[TrainingSet]) -> tuple[str, ...]:
    """Symbols of the elements whose columns are counted, the heaviest first: the crystal's, or all that the labels
    block knows."""
    if crystal := crystal_of(training_sets):
        return Crystal.from_dict(crystal).elements
    radii = training_sets[0].blocks.labels.core_radius_pm
    return tuple(sorted(radii, key=ATOMIC_NUMBER.__getitem__, reverse=True))
