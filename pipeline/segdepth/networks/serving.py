"""A trained network in the form that predicts fastest: batch norms fused with convolutions, bfloat16 where it is fast.

What it gives differs from the trained network by rounding alone (bfloat16: mostly below 1 % of a probability);
evaluations use the network as it was trained, in float32.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segdepth.config import NETWORK_STRIDE
from segdepth.devices import in_bfloat16
from segdepth.errors import ConfigError
from segdepth.networks.card import NetworkCard

PRECISIONS = ("auto", "float32", "bfloat16")


class InFloat32(nn.Module):
    """A layer that computes in float32 whatever surrounds it: logits rounded to bfloat16 would often be equal."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


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
        self.network = fuse_norms(network)
        self._kind = next((p.device.type for p in network.parameters()), "cpu")
        self.half = in_bfloat16(precision, torch.device(self._kind))
        if self.half:
            for module in list(self.network.modules()):
                if isinstance(getattr(module, "head", None), nn.Conv2d):
                    module.head = InFloat32(module.head)

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


@torch.inference_mode()
def depth_of_counts(
    served: ServedNetwork, card: NetworkCard, counts: np.ndarray, pixel_pm: float, vacuum_level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Depth maps of frames whose pixels make up the network's by whole numbers: for a camera's stream.

    Parameters
    ----------
    counts : (frame, y, x), electrons.
    pixel_pm : side of their pixel; a whole number of them makes one of the network's.
    vacuum_level : counts a pixel in vacuum.

    Returns
    -------
    depth uint8 and confidence float32, (frame, y, x) on label pixels (SegDepth eqs. 4 and 5).

    Raises
    ------
    ConfigError
        The frames do not divide into the network's pixels.
    """
    factor = max(1, round(card.input_pixel_pm / pixel_pm))
    if abs(factor * pixel_pm - card.input_pixel_pm) > 1e-3 * card.input_pixel_pm:
        raise ConfigError(
            f"pixel_pm: got {pixel_pm:g}; a whole number of pixels must make one of {card.input_pixel_pm:g} pm"
        )
    stride = factor * NETWORK_STRIDE
    if counts.ndim != 3 or any(side % stride for side in counts.shape[-2:]):
        raise ConfigError(
            f"counts: got shape {counts.shape}; (frame, y, x) with sides a multiple of {stride} is needed"
        )
    where = next(served.parameters()).device
    frames = torch.as_tensor(counts, device=where).to(torch.float32)[:, None]
    image = nn.functional.avg_pool2d(frames, factor) / vacuum_level
    confidence, depth = served(image).softmax(1).max(1)
    return depth.to(torch.uint8).cpu().numpy(), confidence.cpu().numpy()
