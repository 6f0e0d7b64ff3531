"""Batch norms' statistics of a trained network: means over many fresh batches, instead of the running ones that the
last steps of the training left."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from segdepth.learning.samples import Batch, TrainingSamples


def fresh_samples(samples: TrainingSamples) -> TrainingSamples:
    """The samples of an epoch after the last, each with a lens of its own."""
    training = samples.training
    fresh = TrainingSamples(
        samples.sources, training.model_copy(update={"optics_repeats": 1}), samples.device, samples.rank
    )
    fresh.epoch = training.epochs
    return fresh


def average_norm_statistics(network: nn.Module, batches: Iterable[Batch], count: int, bfloat16: bool) -> None:
    """Replace each batch norm's mean and variance by their means over ``count`` batches (all, if there are fewer);
    0 leaves them. In the training's precision; weights stay what they are."""
    if count == 0:
        return
    where = next(network.parameters()).device
    with torch.autocast(where.type, torch.bfloat16, enabled=bfloat16):
        update_bn(
            (batch.noisy.contiguous(memory_format=torch.channels_last) for batch in islice(batches, count)),
            network,
            where,
        )
