"""Test frames: of a crystal that the network knows, at any angle, with the truth; and frames that show none.

.venv/bin/python benchmarks/trust/frames.py FOLDER [--kinds crystal noise ...] [--limit N]

Writes FOLDER/<name>.npz (array `counts`), FOLDER/<name>.columns.csv where there is a crystal that the network knows,
and FOLDER/truths.json, a list of what is true for each: see `Truth`. Frames that are there already are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import foreign
import numpy as np
import pandas as pd
from specimens import VACUUM, build, draw_wedge
from tqdm import tqdm

import segdepth
from segdepth.config import PAPER_PIXEL_PM
from segdepth.crystals import Crystal
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card

SEED = 15
ANGLES = range(0, 360, 7)
ROUNDS = 2


@dataclass(frozen=True)
class Truth:
    """What is true for a frame.

    kind : ``crystal`` for one the network knows, else what it shows. pixel_pm, rotation_deg, flip : as
    ``segdepth predict`` takes them. tag_pm : the pixel that the metadata state. dose_lambda : electrons per 5.284 pm
    pixel in vacuum. defocus_nm, tilt_mrad, bulk, vacuum : of the simulation, None where there is none. copy_of : name
    of the frame that this is a mirrored or turned copy of.
    """

    name: str
    kind: str
    pixel_pm: float
    tag_pm: float
    dose_lambda: float
    rotation_deg: float | None = None
    flip: bool = False
    defocus_nm: float | None = None
    tilt_mrad: tuple[float, float] | None = None
    bulk: float | None = None
    vacuum: str | None = None
    copy_of: str | None = None
    copied: str | None = None


Made = tuple[np.ndarray, pd.DataFrame | None]


def plan(crystal: Crystal) -> Iterator[tuple[Truth, Callable[[], Made]]]:
    """Every frame's truth, and the function that makes it: counts, and columns in the frame's coordinates."""
    number = 0
    for round_ in range(ROUNDS):
        for i, angle in enumerate(ANGLES):
            rng = np.random.default_rng([SEED, round_, i])
            vacuum = VACUUM[(i + 5 * round_) % len(VACUUM)]
            wedge = draw_wedge(rng, float(angle), vacuum, (3, 10))
            tilted = rng.random() < 0.4
            tilt, azimuth = (float(rng.uniform(0, 8.7)) if tilted else 0.0), rng.uniform(0, 2 * np.pi)
            pixel = float(np.exp(rng.uniform(np.log(3), np.log(12))))
            truth = Truth(
                name=f"crystal_{round_}_{angle:03d}",
                kind="crystal",
                pixel_pm=pixel,
                tag_pm=pixel * float(rng.uniform(0.96, 1.04)),
                dose_lambda=float(np.exp(rng.uniform(np.log(0.3), np.log(25)))),
                rotation_deg=float(angle),
                defocus_nm=float(rng.uniform(1, 9)),
                tilt_mrad=(tilt * float(np.cos(azimuth)), tilt * float(np.sin(azimuth))),
                bulk=wedge.bulk,
                vacuum=vacuum,
            )

            def make(truth=truth, wedge=wedge, seed=(SEED, round_, i, 1)) -> Made:
                atoms, columns = build(wedge, crystal)
                image = simulated(atoms, truth)
                return shot_noise(image, truth, np.random.default_rng(seed)), columns

            yield truth, make
            if number % 4 == 0:
                for copied in ("mirrored", "turned by 180"):
                    yield (
                        copy_of(truth, copied),
                        lambda make=make, copied=copied, truth=truth: copy(make(), copied, truth),
                    )
            number += 1
    for kind, count, make_one in foreign.KINDS:
        for i in range(count):
            rng = np.random.default_rng([SEED, *kind.encode(), i])
            drawn, make_counts = make_one(rng, i)
            truth = Truth(
                name=f"{kind.replace(chr(32), chr(95))}_{i:03d}", kind=kind, tag_pm=drawn["pixel_pm"], **drawn
            )
            yield truth, lambda make_counts=make_counts: (make_counts(), None)


def simulated(atoms, truth: Truth) -> np.ndarray:
    """The noise-free image (y, x), vacuum = 1."""
    images = segdepth.simulate(
        atoms,
        beam={"tilt_mrad": truth.tilt_mrad or (0.0, 0.0)},
        imaging={"image_spread_pm": 20.0},
        defocus_nm=truth.defocus_nm,
        pixel_pm=truth.pixel_pm,
        device="cpu",
    )
    return images.values[0]


def shot_noise(image: np.ndarray, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    """Counts (y, x) in the smallest unsigned type that holds them."""
    counts = rng.poisson(np.maximum(image, 0) * truth.dose_lambda * (truth.pixel_pm / PAPER_PIXEL_PM) ** 2)
    return counts.astype(np.min_scalar_type(int(counts.max())))


def copy_of(truth: Truth, copied: str) -> Truth:
    """The truth of a mirrored or turned copy; the projected crystal has both symmetries."""
    turn = (-truth.rotation_deg if copied == "mirrored" else truth.rotation_deg + 180) % 360
    name = f"{truth.name}_{copied.split()[0]}"
    return Truth(**(asdict(truth) | {"name": name, "rotation_deg": turn, "copy_of": truth.name, "copied": copied}))


def copy(made: Made, copied: str, truth: Truth) -> Made:
    counts, columns = made
    height, width = (side * truth.pixel_pm for side in counts.shape)
    if copied == "mirrored":
        return counts[:, ::-1], columns.assign(x_pm=width - columns["x_pm"])
    return counts[::-1, ::-1], columns.assign(x_pm=width - columns["x_pm"], y_pm=height - columns["y_pm"])


def write_frames(folder: Path, kinds: list[str] | None, limit: int | None) -> None:
    """Make what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = [(t, m) for t, m in plan(crystal_of(read_card(bundled_network()))) if not kinds or t.kind in kinds]
    for truth, make in tqdm(planned[:limit], desc="frames", unit="frame"):
        path = folder / f"{truth.name}.npz"
        if path.exists():
            continue
        counts, columns = make()
        if columns is not None:
            columns.round({"x_pm": 3, "y_pm": 3}).to_csv(folder / f"{truth.name}.columns.csv", index=False)
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, counts=counts)
        part.replace(path)
        write_truths(folder)
    write_truths(folder)


def write_truths(folder: Path) -> None:
    """``truths.json`` of the frames that are there."""
    every = plan(crystal_of(read_card(bundled_network())))
    truths = [asdict(truth) for truth, _ in every if (folder / f"{truth.name}.npz").exists()]
    part = folder / "truths.part"
    part.write_text(json.dumps(truths, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / "truths.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", nargs="*", help="only these: crystal, or those of foreign.py")
    parser.add_argument("--limit", type=int, help="only the first so many")
    given = parser.parse_args()
    write_frames(given.folder, given.kinds, given.limit)
