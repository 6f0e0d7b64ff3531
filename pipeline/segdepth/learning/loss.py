"""The training loss: weighted cross-entropy of pixels (SegDepth, eq. 6)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, depth: Tensor, weight: Tensor, importance: Tensor | None = None) -> Tensor:
    """- Σ i w log F[s] / Σ w: eq. 6 divided by the sum of weights, so that it does not scale with the batch.

    Parameters
    ----------
    logits : (batch, class, y, x).
    depth, weight : (batch, y, x).
    importance : (batch,), how much each sample counts; without it, 1.
    """
    each = functional.cross_entropy(logits.float(), depth.long(), reduction="none")
    counted = weight if importance is None else weight * importance[:, None, None]
    return (each * counted).sum() / weight.sum()
