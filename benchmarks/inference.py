"""Frames a second, counts in memory to depth map: our networks and the paper's on the same 1024² frames.

.venv/bin/python benchmarks/inference.py [--threads 2] [--full]        (--full: also the paper's c = 64, a minute more)
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from segdepth.config import CLASSES, Labels
from segdepth.errors import ConfigError
from segdepth.networks.architectures import make_network
from segdepth.networks.bundled import bundled_network
from segdepth.networks.files import NetworkCard, load_network
from segdepth.networks.serving import ServedNetwork, depth_of_counts

SIDE, LAMBDA, BATCH, ROUNDS = 1024, 2.5, 4, 7
CAMERA_FRAMES_A_SECOND = 7.7
"""Of the paper's camera."""


def card_of(variant: str, channels: int) -> NetworkCard:
    pixel = 5411 / SIDE if variant == "full" else 5411 / (SIDE // 4)
    return NetworkCard(variant, channels, CLASSES, pixel, 5411 / 256, 5411.0, LAMBDA, Labels().model_dump(mode="json"))


def cases(full: bool) -> dict[str, tuple[torch.nn.Module, NetworkCard, int]]:
    """Networks with their cards, and frames at a time."""
    found = {}
    try:
        network, card = load_network(bundled_network())
        found[f"shipped ({card.variant}, c = {card.base_channels})"] = (network, card, BATCH)
    except ConfigError:
        pass
    wanted = [("binned", 16), ("binned", 32), ("space_to_depth", 32), ("space_to_depth", 48), ("full", 16)] + [
        ("full", 64)
    ] * full
    for variant, channels in wanted:
        name = f"{variant}, c = {channels}" + (" (the paper's)" if variant == "full" else "")
        batch = 1 if variant == "full" else BATCH
        found[name] = (make_network(variant, channels).eval(), card_of(variant, channels), batch)
    return found


def seconds_a_frame(served: ServedNetwork, card: NetworkCard, counts: np.ndarray) -> float:
    started = time.perf_counter()
    depth_of_counts(served, card, counts, card.field_pm / SIDE, LAMBDA)
    return (time.perf_counter() - started) / len(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--full", action="store_true", help="also the paper's network with 64 channels")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    counts = np.random.default_rng(0).poisson(LAMBDA, (BATCH, SIDE, SIDE)).astype(np.uint8)
    runs: dict[str, Callable[[], float]] = {}
    for name, (network, card, batch) in cases(given.full).items():
        for precision in ("float32", "bfloat16"):
            served = ServedNetwork(network, precision)
            runs[f"{name} | {precision}"] = lambda s=served, c=card, n=batch: seconds_a_frame(s, c, counts[:n])
    taken: dict[str, list[float]] = {name: [run()] for name, run in runs.items()}  # once to warm up
    for _ in range(ROUNDS):  # in turn, so that a slow minute hits all of them
        for name, run in runs.items():
            taken[name].append(run())
    print(
        f"{SIDE}² counts (uint8) to depth and confidence, {given.threads} threads, torch {torch.__version__}, "
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}; medians of {ROUNDS}\n"
    )
    print(f"| network | precision | ms a frame | frames a second | times the camera ({CAMERA_FRAMES_A_SECOND}) |")
    print("|---|---|---|---|---|")
    for name, values in taken.items():
        middle = statistics.median(values[1:])
        rate = 1 / middle
        print(f"| {name} | {1000 * middle:.1f} | {rate:.1f} | {rate / CAMERA_FRAMES_A_SECOND:.1f} |")


if __name__ == "__main__":
    main()
