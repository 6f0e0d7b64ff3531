"""Replication padding that stays in bfloat16.

PyTorch's own is on the CPU autocast's float32 list: every convolution then converts back and forth, which was a
third of a training step (``benchmarks/training.py``); on a GPU its backward pass was a tenth of one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _ReplicatePad(torch.autograd.Function):
    """One replicated pixel on each side of (batch, channel, y, x), channels_last."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return functional.pad(x, (1, 1, 1, 1), mode="replicate")
        batch, channels, height, width = x.shape
        shape, layout = (batch, channels, height + 2, width + 2), torch.channels_last
        padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
        padded[..., 1:-1, 1:-1] = x
        padded[..., 1:-1, 0], padded[..., 1:-1, -1] = x[..., 0], x[..., -1]
        padded[..., 0, :], padded[..., -1, :] = padded[..., 1, :], padded[..., -2, :]
        return padded

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        inner = gradient[..., 1:-1, 1:-1].clone(memory_format=torch.channels_last)
        for end in (0, -1):
            inner[..., end, :] += gradient[..., end, 1:-1]
            inner[..., :, end] += gradient[..., 1:-1, end]
            for other in (0, -1):
                inner[..., end, other] += gradient[..., end, other]
        return inner


class ReplicateConv2d(nn.Conv2d):
    """3 x 3 convolution with bias and replication padding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if torch.is_autocast_enabled(device):
            padded = _ReplicatePad.apply(x.to(torch.get_autocast_dtype(device)))
        else:
            padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, self.weight, self.bias)
