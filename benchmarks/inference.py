"""Seconds a frame, counts to depth map, on the ways that users take: the command line, `segdepth.predict`, a stream.

.venv/bin/python benchmarks/inference.py [--threads 2] [--frames 4] [--networks]

Frames are 1024² electron counts of a lattice beside vacuum on the paper's pixel. `--networks` adds networks of other
architectures, with weights that were never trained, to the one that comes with the package.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import segdepth
from segdepth.config import PAPER_PIXEL_PM, PredictionOptions
from segdepth.crystals import Crystal
from segdepth.micrograph.predict import crystal_of, serve
from segdepth.micrograph.stream import depth_of_counts
from segdepth.networks.architectures import make_network
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import NetworkCard
from segdepth.networks.files import save_network

SIDE, LAMBDA, ROUNDS = 1024, 2.5, 3
CAMERA_FRAMES_A_SECOND = 7.7
"""Of the paper's camera."""

OTHERS = (("binned", 16), ("binned", 32), ("space_to_depth", 32), ("full", 16))


def film(crystal: Crystal, frames: int) -> np.ndarray:
    """Counts (frame, y, x) uint8: waves of all reflections below, vacuum in the upper third of the rows."""
    y, x = (np.indices((SIDE, SIDE)) + 0.5) * PAPER_PIXEL_PM
    image = np.ones((SIDE, SIDE))
    for reflection in crystal.reflections:
        gx, gy = crystal.frequency(reflection.name)
        image += 0.1 * np.cos(2 * np.pi * (gx * x + gy * y))
    image[2 * SIDE // 3 :] = 1
    return np.random.default_rng(0).poisson(LAMBDA * image, (frames, SIDE, SIDE)).astype(np.uint8)


def networks(more: bool, folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and folders."""
    own = bundled_network()
    _, card = segdepth.load_network(own, device="cpu")
    yield f"bundled ({card.variant}, c = {card.base_channels})", own
    for variant, channels in OTHERS if more else ():
        place = folder / f"{variant}_{channels}"
        place.mkdir()
        save_network(make_network(variant, channels, card.classes), card_of(card, variant, channels), place)
        yield f"{variant}, c = {channels}", place


def card_of(card: NetworkCard, variant: str, channels: int) -> NetworkCard:
    pixel = PAPER_PIXEL_PM if variant == "full" else 4 * PAPER_PIXEL_PM
    return replace(card, variant=variant, base_channels=channels, input_pixel_pm=pixel, flip_average=False)


def command_line(counts: np.ndarray, network: Path, folder: Path, threads: int) -> float:
    """Seconds of one run of ``segdepth predict``, start of Python and writing of files included."""
    source, out = folder / "film.npy", folder / "out"
    np.save(source, counts)
    command = [sys.executable, "-m", "segdepth", "predict", "--model", str(network), "--no-picture", "--device", "cpu"]
    command += ["--pixel-pm", str(PAPER_PIXEL_PM), "--out", str(out), str(source)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    return time.perf_counter() - started


def ways(path: Path, counts: np.ndarray, folder: Path, threads: int) -> dict[str, Callable[[], float]]:
    """What to time, by name: each gives seconds a frame."""
    network, card = segdepth.load_network(path, device="cpu")
    served, number = serve(network, PredictionOptions()), len(counts)

    def in_memory() -> float:
        started = time.perf_counter()
        segdepth.predict(counts, PAPER_PIXEL_PM, network=(network, card))
        return (time.perf_counter() - started) / number

    def stream() -> float:
        started = time.perf_counter()
        depth_of_counts(served, card, counts, PAPER_PIXEL_PM, LAMBDA)
        return (time.perf_counter() - started) / number

    def further() -> float:
        whole, one = (command_line(part, path, folder, threads) for part in (counts, counts[:1]))
        return (whole - one) / (number - 1)

    return {
        f"command, {number} frames": lambda: command_line(counts, path, folder, threads) / number,
        "command, each further frame": further,
        "segdepth.predict": in_memory,
        "stream (depth_of_counts)": stream,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--frames", type=int, default=4, help="of the film, 2 at least")
    parser.add_argument("--networks", action="store_true", help="other architectures, too")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")  # of networks without training, which find no columns
    print(
        f"{SIDE}² counts (uint8) to depth, confidence and columns, {given.threads} threads, torch {torch.__version__}, "
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}; medians of {ROUNDS}\n"
    )
    print(f"| network | way | ms a frame | frames a second | times the camera ({CAMERA_FRAMES_A_SECOND}) |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, path in networks(given.networks, folder):
            _, card = segdepth.load_network(path, device="cpu")
            counts = film(crystal_of(card), max(2, given.frames))
            for way, run in ways(path, counts, folder, given.threads).items():
                run()  # once to warm up
                middle = statistics.median(run() for _ in range(ROUNDS))
                rate = 1 / middle
                print(
                    f"| {name} | {way} | {1000 * middle:.0f} | {rate:.2f} | {rate / CAMERA_FRAMES_A_SECOND:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
