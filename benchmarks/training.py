"""What a training sample costs: the step alone and with its data, our padding against PyTorch's, and the share of the
machine's measured peak.

.venv/bin/python benchmarks/training.py [--threads 2] [--device auto]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segdepth.config import PAPER_PIXEL_PM, Imaging, Training
from segdepth.devices import torch_device
from segdepth.learning.loss import weighted_cross_entropy
from segdepth.learning.optimizer import make_optimizer
from segdepth.learning.samples import Source, TrainingSamples
from segdepth.networks.padding import ReplicateConv2d
from segdepth.networks.space_to_depth import SpaceToDepthUNet
from segdepth.networks.unet import UNet
from segdepth.simulation.electron import stored_orders, wavelength_pm

CLASSES = 11
PIXELS, ROUNDS = {"cpu": 8 * 128**2, "cuda": 64 * 192**2}, 7
"""Pixels of a batch, about, as the presets have them; rounds of which the median is taken."""

WORKSTATION = Imaging(a1_nm=(0, 1), focal_spread_nm=(3.2, 4.8), image_spread_pm=(16, 24.5))
"""The lens of the workstation preset, of which each image draws its own."""


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


def clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def batch_of(side: int, device: torch.device) -> int:
    return round(PIXELS[device.type] / side**2)


def step_seconds(
    network: UNet | SpaceToDepthUNet, optimizer: torch.optim.Optimizer, side: int, precision: torch.dtype | None
) -> float:
    """Seconds a sample."""
    device = next(network.parameters()).device
    batch = batch_of(side, device)
    noisy = torch.rand(batch, 1, side, side, device=device).contiguous(memory_format=torch.channels_last)
    depth = torch.zeros(batch, side, side, dtype=torch.uint8, device=device)
    weight = torch.ones(batch, side, side, device=device)
    started = clock(device)
    with torch.autocast(device.type, precision or torch.bfloat16, enabled=precision is not None):
        logits = network(noisy)
    weighted_cross_entropy(logits, depth, weight).backward()
    optimizer.step()
    optimizer.zero_grad()
    return (clock(device) - started) / batch


class MadeUpStructures:
    """A cache of waves and labels of the default size, without files."""

    def __init__(self, imaging: Imaging, device: torch.device, count: int = 64) -> None:
        field_pm, margin_pm = 1024 * PAPER_PIXEL_PM, 128 * PAPER_PIXEL_PM
        self.orders = stored_orders(field_pm + 2 * margin_pm, 300, imaging.aperture_mrad)
        self.wave_attrs = {
            "cell_pm": field_pm + 2 * margin_pm,
            "margin_pm": margin_pm,
            "field_pm": field_pm,
            "wavelength_pm": wavelength_pm(300),
            "stored_angle_mrad": imaging.aperture_mrad,
        }
        side = round(field_pm / imaging.pixel_pm)
        self.label_pixel_pm, self._count = imaging.pixel_pm, count
        self._wave = 0.002 * torch.randn(1, 2 * self.orders + 1, 2 * self.orders + 1, dtype=torch.complex64)
        self._wave[:, 0, 0] = 1
        self._wave, depth = self._wave.to(device), torch.zeros(side, side, dtype=torch.uint8, device=device)
        weight = torch.ones(side, side, device=device)
        self._maps = {"depth": depth, "weight": weight, "regions": depth}

    def __len__(self) -> int:
        return self._count

    def wave(self, _: int) -> torch.Tensor:
        return self._wave

    def maps(self, _: int) -> dict[str, torch.Tensor]:
        return self._maps


def data_seconds(device: torch.device, imaging: Imaging, crop: int, repeats: int) -> float:
    """Seconds a sample: optics, crop and noise; each image serves ``repeats`` samples."""
    size = batch_of(crop, device)
    training = Training(crop_pixels=crop, batch_size=size, noise_repeats=repeats, epoch_samples=max(64, size) * repeats)
    source = Source(MadeUpStructures(imaging, device), imaging, 2.5, "made-up")
    samples = TrainingSamples([source], training, device)
    started = clock(device)
    number = sum(len(batch.noisy) for batch in samples)
    return (clock(device) - started) / number


def peak_flops(device: torch.device, precision: torch.dtype) -> float:
    """Of a product of large matrices."""
    side = 4096
    a, b = (torch.rand(side, side, device=device).to(precision) for _ in range(2))
    a @ b
    started = clock(device)
    for _ in range(3):
        a @ b
    return 3 * 2 * side**3 / (clock(device) - started)


def step_flops(network: UNet | SpaceToDepthUNet, side: int) -> float:
    """Of a training step, a sample."""
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 1, side, side, device=next(network.parameters()).device)).sum().backward()
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch_device(given.device)
    networks = (
        UNet(16, "binned", CLASSES),
        SpaceToDepthUNet(48, CLASSES),
        with_convolution(UNet(16, "binned", CLASSES), TorchReplicateConv2d),
    )
    paper, ours, theirs = (n.to(device, memory_format=torch.channels_last) for n in networks)
    half = torch.bfloat16
    muon, adam = Training(), Training(optimizer="adam")
    steps = {  # name: network, optimizer, side, precision
        "binned, c = 16, 256²": (paper, make_optimizer(paper, muon), 256, half),
        "binned, c = 16, 256², PyTorch's padding": (theirs, make_optimizer(theirs, muon), 256, half),
        "binned, c = 16, 256², float32": (paper, make_optimizer(paper, muon), 256, None),
        "space to depth, c = 48, 256²": (ours, make_optimizer(ours, muon), 256, half),
        "space to depth, c = 48, 192²": (ours, make_optimizer(ours, muon), 192, half),
        "space to depth, c = 48, 192², Adam": (ours, make_optimizer(ours, adam), 192, half),
    }
    cases = {name: partial(step_seconds, *case) for name, case in steps.items()}
    cases |= {
        f"{side}², one lens, drawn for {repeats}": partial(data_seconds, device, Imaging(), side, repeats)
        for side, repeats in ((256, 1), (256, 8))
    }
    cases |= {
        f"192², varied lens, drawn for {repeats}": partial(data_seconds, device, WORKSTATION, 192, repeats)
        for repeats in (1, 16)
    }
    taken: dict[str, list[float]] = {name: [case()] for name, case in cases.items()}  # once to warm up
    for _ in range(ROUNDS):  # in turn, so that a slow minute hits all of them
        for name, case in cases.items():
            taken[name].append(case())
    middle = {name: statistics.median(values[1:]) for name, values in taken.items()}
    peaks = {half: peak_flops(device, half), None: peak_flops(device, torch.float32)}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"batches of {PIXELS[device.type] / 1000:.0f} thousand pixels, {given.threads} threads, {name}")
    print(f"torch {torch.__version__}, ", end="")
    print(f"{torch.backends.cpu.get_cpu_capability()}; medians of {ROUNDS}; peak of a matrix product: ")
    print(f"{peaks[half] / 1e9:.0f} GFLOP/s (bfloat16), {peaks[None] / 1e9:.0f} (float32)\n")
    print("| step | ms a sample | share of the peak |\n|---|---|---|")
    for name, (network, _, side, precision) in steps.items():
        share = step_flops(network, side) / middle[name] / peaks[precision]
        print(f"| {name} | {1000 * middle[name]:.1f} | {share:.2f} |")
    print("\n| data | ms a sample |\n|---|---|")
    for name in list(cases)[len(steps) :]:
        print(f"| {name} | {1000 * middle[name]:.1f} |")
    print("\n| samples a second | without data | with | change |\n|---|---|---|---|")
    for name, data in (
        ("binned, c = 16, 256²", "256², one lens, drawn for 1"),
        ("binned, c = 16, 256²", "256², one lens, drawn for 8"),
        ("space to depth, c = 48, 256²", "256², one lens, drawn for 8"),
        ("space to depth, c = 48, 192²", "192², varied lens, drawn for 1"),
        ("space to depth, c = 48, 192²", "192², varied lens, drawn for 16"),
    ):
        alone, both = 1 / middle[name], 1 / (middle[name] + middle[data])
        print(f"| {name}; {data} | {alone:.0f} | {both:.0f} | {both / alone - 1:+.0%} |")


if __name__ == "__main__":
    main()
