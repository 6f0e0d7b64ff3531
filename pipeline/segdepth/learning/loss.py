"""The training loss: weighted cross-entropy (SegDepth, eq. 6)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, depth: Tensor, weight: Tensor) -> Tensor:
    """- Σ w log F[s] / Σ w: eq. 6 divided by the sum of weights, so that it does not scale with the batch.

    Parameters
    ----------
    logits : (batch, class, y, x).
    depth, weight : (batch, y, x).
    """
    each = functional.cross_entropy(logits.float(), depth.long(), reduction="none")
    return (each * weight).sum() / weight.sum()
