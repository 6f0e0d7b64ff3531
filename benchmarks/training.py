"""Milliseconds a training sample costs: our padding against PyTorch's, and forming the image beside the step.

.venv/bin/python benchmarks/training.py [--base-channels 16] [--threads 2]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np
import torch
from torch import nn

from segdepth.config import Imaging, Specimen
from segdepth.learning.loss import weighted_cross_entropy
from segdepth.learning.padding import ReplicateConv2d
from segdepth.learning.unet import UNet
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.lens import draw_lens_values, image_former, lens_columns

BATCH, SIDE, ROUNDS = 8, 256, 7


class TorchReplicateConv2d(nn.Conv2d):
    """PyTorch's replication padding, for comparison."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, padding_mode="replicate")


def with_convolution(network: UNet, kind: type[nn.Conv2d]) -> UNet:
    for block in network.modules():
        if isinstance(block, nn.Sequential):
            for place, layer in enumerate(block):
                if isinstance(layer, ReplicateConv2d):
                    block[place] = kind(layer.in_channels, layer.out_channels)
    return network.to(memory_format=torch.channels_last)


def step_seconds(network: UNet, precision: torch.dtype | None) -> float:
    noisy = torch.rand(BATCH, 1, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    depth, weight = torch.zeros(BATCH, SIDE, SIDE, dtype=torch.uint8), torch.ones(BATCH, SIDE, SIDE)
    optimizer = torch.optim.Adam(network.parameters())
    started = time.perf_counter()
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        logits = network(noisy)
    weighted_cross_entropy(logits, depth, weight).backward()
    optimizer.step()
    optimizer.zero_grad()
    return (time.perf_counter() - started) / BATCH


def forming_seconds() -> float:
    imaging, specimen = Imaging(), Specimen()
    orders = stored_orders(specimen.cell_pm, 300, imaging.aperture_mrad)
    attrs = {
        "cell_pm": specimen.cell_pm,
        "margin_pm": specimen.margin_pm,
        "wavelength_pm": wavelength_pm(300),
        "stored_angle_mrad": imaging.aperture_mrad,
    }
    former = image_former(imaging, attrs, orders, "cpu")
    waves = torch.randn(BATCH, 2 * orders + 1, 2 * orders + 1, dtype=torch.complex64)
    values = draw_lens_values(imaging, [5.0] * BATCH, np.random.default_rng(0))
    lens = Lens.from_columns(lens_columns(values))
    started = time.perf_counter()
    former.form(waves, lens)
    return (time.perf_counter() - started) / BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    ours = UNet(given.base_channels).to(memory_format=torch.channels_last)
    theirs = with_convolution(UNet(given.base_channels), TorchReplicateConv2d)
    cases = {
        "step, bfloat16, our padding": lambda: step_seconds(ours, torch.bfloat16),
        "step, bfloat16, PyTorch's padding": lambda: step_seconds(theirs, torch.bfloat16),
        "step, float32": lambda: step_seconds(ours, None),
        "forming the image": forming_seconds,
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):  # in turn, so that a slow minute hits all of them
        for name, case in cases.items():
            taken[name].append(case())
    base = statistics.median(taken["step, bfloat16, our padding"])
    print(
        f"c = {given.base_channels}, {SIDE}² pixels, batch {BATCH}, {given.threads} threads, torch {torch.__version__},"
    )
    print(f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}; medians of {ROUNDS}\n")
    print("| what | ms a sample | ratio |\n|---|---|---|")
    for name, values in taken.items():
        middle = statistics.median(values)
        print(f"| {name} | {1000 * middle:.1f} | {middle / base:.2f} |")


if __name__ == "__main__":
    main()
