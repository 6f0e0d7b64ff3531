"""Batch norms' statistics against means that are taken by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segdepth.learning.norm_statistics import average_norm_statistics
from segdepth.learning.samples import Batch


def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    images = [(number + 1) * torch.randn(2, 1, 5, 7, generator=generator) + number for number in range(4)]
    return [Batch(image, *[torch.zeros(2, 5, 7)] * 4, torch.ones(2)) for image in images]


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU()).eval()


@pytest.mark.parametrize("count, used", [(2, 2), (100, 4)])
def test_statistics_are_the_means_over_so_many_batches(count, used):
    some, given = network(), batches()
    weight = some[0].weight.clone()
    average_norm_statistics(some, given, count, False)
    with torch.no_grad():
        before_norm = torch.stack([some[0](batch.noisy).movedim(1, 0).flatten(1) for batch in given[:used]])
    assert torch.allclose(some[1].running_mean, before_norm.mean(2).mean(0), atol=1e-5)
    assert torch.allclose(some[1].running_var, before_norm.var(2).mean(0), atol=1e-4)
    assert torch.equal(some[0].weight, weight) and some[0].weight.grad is None
    assert not some.training and some[1].momentum == 0.1


def test_none_leaves_them():
    some = network()
    average_norm_statistics(some, batches(), 0, False)
    assert torch.equal(some[1].running_mean, torch.zeros(3)) and int(some[1].num_batches_tracked) == 0
