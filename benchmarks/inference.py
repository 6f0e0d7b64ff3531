"""Frames a second on the path of ``segdepth predict``, counts to depth maps and columns: our networks and the paper's.

.venv/bin/python benchmarks/inference.py [--threads 2] [--full]        (--full: also the paper's c = 64, a minute more)

``network`` is the network alone on the re-binned frame; ``predict`` is everything between the counts and the maps and
columns: vacuum, re-binning, network, mapping back, columns. Networks but the bundled one have random weights, so that
columns are searched in the bundled network's row only.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import segdepth
from segdepth.config import Config, PredictionOptions, load_config
from segdepth.crystal import Crystal, load_crystal
from segdepth.errors import StoreError
from segdepth.micrograph.predict import Task, check_recording, map_back, predict_frame, predict_recording, serve
from segdepth.micrograph.preparation import Prepared, prepare_frame
from segdepth.micrograph.readers import recording_of
from segdepth.networks.architectures import make_network
from segdepth.networks.files import NetworkCard
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge

SIDE, LAMBDA, ROUNDS = 1024, 2.5, 7
CAMERA_FRAMES_A_SECOND = 7.7
"""Of the paper's camera."""

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Case:
    """A network on the frame. searched : whether columns are searched, too."""

    network: torch.nn.Module
    task: Task
    searched: bool

    def alone(self) -> float:
        """Seconds of the network."""
        image = self._prepared().image
        started = time.perf_counter()
        predict_frame(self.network, self.task.card, image)
        return time.perf_counter() - started

    def predicted(self) -> float:
        """Seconds from counts to maps, and to columns."""
        started = time.perf_counter()
        if self.searched:
            list(predict_recording(self.network, self.task))
        else:
            found = predict_frame(self.network, self.task.card, self._prepared().image)
            map_back(found, self.task.transform, self.task.card.label_pixel_pm)
        return time.perf_counter() - started

    def _prepared(self) -> Prepared:
        checked, transform = self.task.checked, self.task.transform
        level = checked.vacuum[0].level
        return prepare_frame(
            checked.frames[0], checked.usable[0], level, transform, electrons=checked.electrons, number=0
        )


def frame(config: Config, crystal: Crystal) -> np.ndarray:
    """Counts (y, x) of a structure of the first specimen block at 5 nm."""
    name, block = next(iter(config.specimens.items()))
    atoms = build_wedge(plan_row(block, crystal, name, 0, 0), block, crystal, name, 0)
    pixel = block.field_pm / SIDE
    image = segdepth.simulate(atoms, defocus_nm=5, pixel_pm=pixel, electrons_per_pixel=LAMBDA)
    return image.values[0].astype(np.uint8)


def cases(full: bool) -> dict[str, Case]:
    config = load_config(ROOT / "config.yaml")
    name, block = next(iter(config.crystals.items()))
    crystal = load_crystal(block, name)
    specimen, labels = next(iter(config.specimens.values())), next(iter(config.labels.values()))
    pixel = specimen.field_pm / SIDE
    recording, options = recording_of(frame(config, crystal)), PredictionOptions(pixel_pm=pixel)
    found = {}

    def add(label: str, network: torch.nn.Module, card: NetworkCard, searched: bool) -> None:
        for precision in ("float32", "bfloat16"):
            chosen = options.model_copy(update={"precision": precision})
            task = check_recording(recording, card, chosen)
            found[f"{label} | {precision}"] = Case(serve(network, chosen), task, searched)

    try:
        network, card = segdepth.load_network(device="cpu")
        add(f"bundled ({card.variant}, c = {card.base_channels})", network, card, True)
    except StoreError as failure:
        print(f"no bundled network: {failure}")
    wanted = [("binned", 16), ("binned", 32), ("space_to_depth", 32), ("space_to_depth", 48), ("full", 16)]
    for variant, channels in wanted + [("full", 64)] * full:
        card = NetworkCard(
            variant,
            channels,
            labels.classes,
            pixel if variant == "full" else labels.pixel_pm,
            labels.pixel_pm,
            specimen.field_pm,
            LAMBDA,
            labels.model_dump(mode="json"),
            crystal=crystal.to_dict(),
        )
        label = f"{variant}, c = {channels}" + (" (the paper's)" if variant == "full" else "")
        add(label, make_network(variant, channels, labels.classes).eval(), card, False)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--full", action="store_true", help="also the paper's network with 64 channels")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    runs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        name: (case.alone, case.predicted) for name, case in cases(given.full).items()
    }
    taken = {name: [[run() for run in both]] for name, both in runs.items()}  # once to warm up
    for _ in range(ROUNDS):  # in turn, so that a slow minute hits all of them
        for name, both in runs.items():
            taken[name].append([run() for run in both])
    print(
        f"{SIDE}² counts to depth, confidence and columns, {given.threads} threads, torch {torch.__version__}, "
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}; medians of {ROUNDS}\n"
    )
    rate = f"times the camera ({CAMERA_FRAMES_A_SECOND})"
    print(f"| network | precision | ms network | ms predict | frames a second | {rate} |\n|---|---|---|---|---|---|")
    for name, values in taken.items():
        alone, whole = (statistics.median(column) for column in zip(*values[1:]))
        print(
            f"| {name} | {1000 * alone:.1f} | {1000 * whole:.1f} | {1 / whole:.1f} | "
            f"{1 / whole / CAMERA_FRAMES_A_SECOND:.1f} |"
        )


if __name__ == "__main__":
    main()
