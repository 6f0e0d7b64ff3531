"""Frames of the kind that a network has learnt, made from simulated images, and their features."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from segdepth.config import NETWORK_STRIDE, PAPER_PIXEL_PM
from segdepth.crystals import Crystal
from segdepth.micrograph.familiarity.features import features
from segdepth.networks.card import NetworkCard


def draw_frame(intensity: np.ndarray, card: NetworkCard, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Counts (row, column) and the vacuum level of a part of an image, at one of the network's doses.

    Parameters
    ----------
    intensity : (y, x), vacuum = 1, on the network's pixel. Half to all of either side is kept, in multiples of the
        network's stride, and the frame is mirrored along x or not: frames are of any size, and the crystal is the same
        either way.
    """
    rows, columns = (_part(side, rng) for side in intensity.shape)
    part = intensity[rows, columns]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    dose = math.exp(rng.uniform(*np.log(card.doses)))
    electrons = dose * (card.input_pixel_pm / PAPER_PIXEL_PM) ** 2
    return rng.poisson(np.maximum(part, 0) * electrons).astype(np.float32), electrons


def _part(side: int, rng: np.random.Generator) -> slice:
    most = side // NETWORK_STRIDE
    size = NETWORK_STRIDE * int(rng.integers(max(1, most // 2), most + 1))
    first = int(rng.integers(0, side - size + 1))
    return slice(first, first + size)


@torch.inference_mode()
def frame_features(
    network: nn.Module, card: NetworkCard, crystal: Crystal, intensity: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """Features of a frame drawn from a noise-free image (y, x); empty if it shows no crystal.

    network : in evaluation mode, as it predicts; computes on the device of its parameters.
    """
    counts, electrons = draw_frame(intensity, card, rng)
    where = next((p.device for p in network.parameters()), torch.device("cpu"))
    image = torch.from_numpy(counts / np.float32(electrons))[None, None].to(where, memory_format=torch.channels_last)
    probabilities = network(image).softmax(dim=1)[0].cpu().numpy()
    return features(counts, electrons, probabilities, np.ones(counts.shape, bool), crystal, card)
