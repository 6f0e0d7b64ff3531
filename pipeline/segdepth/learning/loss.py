"""Training losses: weighted cross-entropy of pixels (SegDepth, eq. 6), a score that knows the order of depths, and the
squared error of a denoised image."""

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


class _RankedProbability(torch.autograd.Function):
    """The score and its gradient p_j (g_j - Σ p g), g_j = 2 Σ_{k ≥ j} (F_k - 1[k ≥ n]), by matrix products: sums along
    32 classes one after the other take three times as long on a CPU."""

    @staticmethod
    def forward(ctx, logits: Tensor, depth: Tensor) -> Tensor:
        """``logits`` (pixel, class), ``depth`` (pixel,) int64; the score is float32 (pixel,)."""
        classes = logits.shape[1]
        reached = torch.ones(classes, classes - 1, device=logits.device).triu()  # [n, k]: k ≥ n
        probability = logits.softmax(1, dtype=torch.float32)
        distance = torch.addmm(reached[depth], probability, reached, beta=-1)  # F_{classes - 1} is 1 and left out
        ctx.save_for_backward(probability, distance, reached)
        ctx.kind = logits.dtype
        return distance.square().sum(1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        probability, distance, reached = ctx.saved_tensors
        slope = torch.mm(distance, reached.T)
        slope -= torch.linalg.vecdot(probability, slope)[:, None]
        slope *= (2 * gradient)[:, None]
        return slope.mul_(probability).to(ctx.kind), None


def ranked_probability_score(logits: Tensor, depth: Tensor) -> Tensor:
    """Σ_k (F_k - 1[k ≥ n])² of each pixel, F_k the probability of at most k atoms and n the depth; float32.

    The ranked probability score (Epstein, J. Appl. Meteorol. 8 (1969) 985), the discrete form of the CRPS: a proper
    score, in atoms, that is |m - n| where m atoms are certain. ``logits`` (batch, class, y, x); ``depth`` and the score
    (batch, y, x).
    """
    with torch.autocast(logits.device.type, enabled=False):  # sums of probabilities in float32
        by_pixel = logits.movedim(1, -1).reshape(-1, logits.shape[1])
        return _RankedProbability.apply(by_pixel, depth.reshape(-1).long()).reshape(depth.shape)


def mean_squared_error(image: Tensor, clean: Tensor, importance: Tensor | None = None) -> Tensor:
    """The mean over pixels and images of (image - clean)², both (batch, 1, y, x); ``importance`` (batch,) weighs the
    images."""
    each = (image.float() - clean).square().flatten(1).mean(1)
    return (each if importance is None else each * importance).mean()


def _mean(each: Tensor, weight: Tensor, importance: Tensor | None) -> Tensor:
    counted = weight if importance is None else weight * importance[:, None, None]
    return (each * counted).sum() / weight.sum()
