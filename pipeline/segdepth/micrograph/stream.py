"""Depth maps of a camera's stream: whole batches of counts on a pixel that divides the network's."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from segdepth.config import NETWORK_STRIDE
from segdepth.errors import MicrographError
from segdepth.networks.card import NetworkCard
from segdepth.networks.serving import ServedNetwork


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
    MicrographError
        The frames do not divide into the network's pixels.
    """
    factor = max(1, round(card.input_pixel_pm / pixel_pm))
    if abs(factor * pixel_pm - card.input_pixel_pm) > 1e-3 * card.input_pixel_pm:
        raise MicrographError(
            f"pixel_pm: got {pixel_pm:g}; a whole number of pixels must make one of {card.input_pixel_pm:g} pm"
        )
    stride = factor * NETWORK_STRIDE
    if counts.ndim != 3 or any(side % stride for side in counts.shape[-2:]):
        raise MicrographError(
            f"counts: got shape {counts.shape}; (frame, y, x) with sides a multiple of {stride} is needed"
        )
    where = next(served.parameters()).device
    frames = torch.as_tensor(counts, device=where).to(torch.float32)[:, None]
    image = nn.functional.avg_pool2d(frames, factor) / vacuum_level
    confidence, depth = served(image).softmax(1).max(1)
    return depth.to(torch.uint8).cpu().numpy(), confidence.cpu().numpy()
