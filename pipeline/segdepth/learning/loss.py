"""The training loss: weighted cross-entropy of pixels (SegDepth, eq. 6) and, on request, of whole columns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from segdepth.config import CLASSES


def weighted_cross_entropy(
    logits: Tensor, depth: Tensor, weight: Tensor, targets: Tensor | None = None, importance: Tensor | None = None
) -> Tensor:
    """- Σ i w log F[s] / Σ w: eq. 6 divided by the sum of weights, so that it does not scale with the batch.

    Parameters
    ----------
    logits : (batch, class, y, x).
    depth, weight : (batch, y, x).
    targets : (class, class), the probabilities that are wanted for each true depth; without it, 1 for the depth.
    importance : (batch,), how much each sample counts; without it, 1.
    """
    if targets is None:
        each = functional.cross_entropy(logits.float(), depth.long(), reduction="none")
    else:
        each = -(targets[depth.long()].movedim(-1, 1) * logits.float().log_softmax(1)).sum(1)
    counted = weight if importance is None else weight * importance[:, None, None]
    return (each * counted).sum() / weight.sum()


def ordinal_targets(width_atoms: float) -> Tensor:
    """Probabilities (true depth, depth) that fall off with the difference of counts, exp(-|n - m|/width), so that to
    be one atom off is better than two; background, which is no count, stays certain."""
    counts = torch.arange(CLASSES, dtype=torch.float32)
    wanted = torch.exp(-(counts[:, None] - counts[None, :]).abs() / width_atoms)
    wanted[0, 1:] = wanted[1:, 0] = 0
    return wanted / wanted.sum(1, keepdim=True)


def column_cross_entropy(logits: Tensor, depth: Tensor, columns: Tensor, importance: Tensor | None = None) -> Tensor:
    """Mean over columns of - log P[n], P the mean of the probabilities over the pixels of a column's centre: the one
    vector a column that evaluations and ``columns.csv`` judge by. 0 without columns.

    Parameters
    ----------
    logits : (batch, class, y, x).
    depth, columns : (batch, y, x); columns are numbered within each sample, 0 is none.
    importance : (batch,), how much the columns of each sample count; without it, 1.
    """
    inside = columns > 0
    if not inside.any():
        return logits.sum() * 0.0
    sample = torch.arange(len(columns), device=columns.device)[:, None, None].expand_as(columns)
    keys = (sample[inside].long() << 32) + columns[inside]
    found, column, size = torch.unique(keys, return_inverse=True, return_counts=True)
    right = logits.float().softmax(1).gather(1, depth.long()[:, None])[:, 0][inside]
    pooled = torch.zeros(len(size), device=right.device).index_add_(0, column, right) / size
    each = -pooled.clamp_min(1e-6).log()
    return (each if importance is None else each * importance[found >> 32]).mean()
