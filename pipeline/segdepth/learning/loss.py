"""The training loss: weighted cross-entropy of pixels (SegDepth, eq. 6), and a score that knows the order of depths."""

from __future__ import annotations

import torch
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
    return _mean(each, weight, importance)


def weighted_ranked_probability(
    logits: Tensor, depth: Tensor, weight: Tensor, importance: Tensor | None = None
) -> Tensor:
    """The mean of ``ranked_probability_score`` over pixels, weighted as ``weighted_cross_entropy``."""
    return _mean(ranked_probability_score(logits, depth), weight, importance)


def ranked_probability_score(logits: Tensor, depth: Tensor) -> Tensor:
    """Σ_k (F_k - 1[k ≥ n])² of each pixel, F_k the probability of at most k atoms and n the depth; float32.

    The ranked probability score (Epstein, J. Appl. Meteorol. 8 (1969) 985), the discrete form of the CRPS: a proper
    score, in atoms, that is |m - n| where m atoms are certain. ``logits`` (batch, class, y, x); ``depth`` and the score
    (batch, y, x).
    """
    with torch.autocast(logits.device.type, enabled=False):  # sums of probabilities in float32
        at_most = logits.float().softmax(1)[:, :-1].cumsum(1)  # of the last class it is 1
        counts = torch.arange(logits.shape[1] - 1, device=logits.device, dtype=depth.dtype)
        reached = counts[:, None, None] >= depth[:, None]
        return (at_most - reached.to(at_most.dtype)).square().sum(1)


def _mean(each: Tensor, weight: Tensor, importance: Tensor | None) -> Tensor:
    counted = weight if importance is None else weight * importance[:, None, None]
    return (each * counted).sum() / weight.sum()
