"""The network's probability vector of every column of test images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from segdepth.evaluation.metrics import pool_columns
from segdepth.evaluation.noisy_images import Sample
from segdepth.networks.card import NetworkCard


@dataclass(frozen=True)
class ColumnProbabilities:
    """Columns of images. probabilities : (column, class). true : class of the true count. element : symbol.
    structure : index in the plan. All (column, …)."""

    probabilities: np.ndarray
    true: np.ndarray
    element: np.ndarray
    structure: np.ndarray


@torch.inference_mode()
def column_probabilities(
    network: nn.Module, card: NetworkCard, samples: Iterable[Sample], elements: tuple[str, ...]
) -> ColumnProbabilities:
    """Columns whose core lies in the field, image by image.

    Parameters
    ----------
    network : in evaluation mode. elements : as the samples' truth numbers them.
    """
    where = next((p.device for p in network.parameters()), torch.device("cpu"))
    found: list[tuple[np.ndarray, ...]] = []
    for sample in samples:
        given = torch.from_numpy(np.ascontiguousarray(sample.noisy))[None, None].to(where)
        maps = network(given.contiguous(memory_format=torch.channels_last)).softmax(dim=1)[0].cpu().numpy()
        truth = sample.truth
        pooled = pool_columns(maps, truth.owner, truth.core, len(truth.columns))
        seen = truth.columns["whole"].to_numpy() & np.isfinite(pooled).all(axis=1)
        table = truth.columns[seen]
        true = np.minimum(table["atoms"].to_numpy(int), card.classes - 1)
        element = np.array(elements, dtype=object)[table["element"].to_numpy()]
        found.append((pooled[seen], true, element, np.full(len(table), sample.structure)))
    return ColumnProbabilities(*(np.concatenate(each) for each in zip(*found)))
