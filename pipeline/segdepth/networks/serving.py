"""A trained network in the form that predicts fastest: batch norms fused with convolutions, bfloat16 where it is fast.

What it gives differs from the trained network by rounding alone (bfloat16: mostly below 1 % of a probability);
evaluations use the network as it was trained, in float32.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segdepth.devices import in_bfloat16
from segdepth.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")


class InFloat32(nn.Module):
    """A layer that computes in float32 whatever surrounds it: logits rounded to bfloat16 would often be equal."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class BitwiseReLU(nn.Module):
    """max(x, 0) in place. A negative bfloat16 is a negative int16, and comparing those takes a quarter of the time."""

    def forward(self, x: Tensor) -> Tensor:
        (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).clamp_min_(0)
        return x


def prepare_bfloat16(network: nn.Module) -> None:
    """Round the weights of convolutions once instead of at every call, but for those in ``InFloat32``."""
    exact = {id(part) for module in network.modules() if isinstance(module, InFloat32) for part in module.modules()}
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and id(module) not in exact:
            module.to(torch.bfloat16)
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, BitwiseReLU())


class ServedNetwork(nn.Module):
    """Counts (vacuum = 1) to logits in float32, as the network it was made of.

    Parameters
    ----------
    network : in evaluation mode; is not changed.
    precision : ``auto`` is bfloat16 on GPUs and on CPUs that multiply it in hardware.

    Raises
    ------
    ConfigError
        There is no such precision.
    """

    def __init__(self, network: nn.Module, precision: str = "auto") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ConfigError(f"precision: got {precision!r}; allowed: {', '.join(PRECISIONS)}")
        self.network = fuse_norms(network).requires_grad_(False)
        self._kind = next((p.device.type for p in network.parameters()), "cpu")
        self.half = in_bfloat16(precision, torch.device(self._kind))
        if self.half:
            for module in list(self.network.modules()):
                if isinstance(getattr(module, "head", None), nn.Conv2d):
                    module.head = InFloat32(module.head)
            prepare_bfloat16(self.network)

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self._kind, torch.bfloat16, enabled=self.half):
            return self.network(x.contiguous(memory_format=torch.channels_last)).float()


def fuse_norms(network: nn.Module) -> nn.Module:
    """A copy whose batch norms, each behind a convolution in the same ``Sequential``, have become part of it."""
    network = deepcopy(network).eval()
    for block in network.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for place in range(len(block) - 1):
            if isinstance(block[place], nn.Conv2d) and isinstance(block[place + 1], nn.BatchNorm2d):
                block[place] = fuse_conv_bn_eval(block[place], block[place + 1])
                block[place + 1] = nn.Identity()
    return network.to(memory_format=torch.channels_last)
