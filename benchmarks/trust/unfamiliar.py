"""Does a network's familiarity tell frames that it has not learnt from those that it has? Simulated, one thing changed.

.venv/bin/python benchmarks/trust/unfamiliar.py [--familiarity FILE] [--specimens 6]

Frames lie on the network's grid with the geometry that they are said to have, so that no lattice search is in the way.
Each kind: some specimens, four defoci each, doses and fields drawn as for the reference. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from foreign import other_crystal
from specimens import Wedge, build, draw_wedge
from tqdm import tqdm

import segdepth
from segdepth.crystals import Crystal
from segdepth.micrograph.familiarity import read_familiarity
from segdepth.micrograph.familiarity.reference import frame_features
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import bundled_familiarity
from segdepth.networks.serving import ServedNetwork

SEED = 1515
KINDS: dict[str, dict[str, Any]] = {
    "as learnt": {},
    "vacuum on another side": {"vacuum": ("left", "top", "corner", "none")},
    "14 atoms": {"bulk": 14.0, "surface": (4, 8)},
    "20 atoms": {"bulk": 20.0, "surface": (6, 12)},
    "tilted by 1.5 to 2°": {"tilt_mrad": (26.2, 34.9)},
    "C1 = 14 nm": {"defocus_nm": (13.5, 14, 14.5, 15)},
    "C1 = -3 nm": {"defocus_nm": (-4, -3.5, -3, -2.5)},
    "image spread 50 pm": {"image_spread_pm": 50.0},
    "rotation off by 5°": {"rotation_deg": 5.0},
    "turned by 90°": {"rotation_deg": 90.0},
    "pixel off by 10 %": {"pixel": 1.1},
    "another crystal (SrTiO3)": {"crystal": "srtio3_001"},
    "noise": {"noise": True},
}
"""What is changed, by kind."""


def image_of(change: dict[str, Any], wedge: Wedge, crystal: Crystal, pixel_pm: float, rng: np.random.Generator):
    """Noise-free images (defocus, y, x), vacuum = 1."""
    if change.get("noise"):
        return np.ones((4, 256, 288))
    tilt, azimuth = rng.uniform(*change.get("tilt_mrad", (0, 9))), rng.uniform(0, 2 * np.pi)
    wedge = replace(wedge, rotation_deg=change.get("rotation_deg", 0.0))
    if "bulk" in change:
        wedge = replace(wedge, bulk=change["bulk"], surface=float(rng.uniform(*change["surface"])))
    atoms, _ = build(wedge, other_crystal(change["crystal"]) if "crystal" in change else crystal)
    images = segdepth.simulate(
        atoms,
        beam={"tilt_mrad": (tilt * np.cos(azimuth), tilt * np.sin(azimuth))},
        imaging={"image_spread_pm": change.get("image_spread_pm", float(rng.uniform(16, 24.5)))},
        defocus_nm=change.get("defocus_nm", sorted(rng.uniform(1, 9, 4).tolist())),
        pixel_pm=pixel_pm * change.get("pixel", 1.0),
        device="cpu",
    )
    return images.values


def frames(specimens: int, crystal: Crystal, pixel_pm: float) -> Iterator[tuple[str, np.ndarray, np.random.Generator]]:
    """(kind, noise-free image, generator of the rest)."""
    for kind, change in KINDS.items():
        for number in range(specimens):
            rng = np.random.default_rng([SEED, *kind.encode(), number])
            sides = change.get("vacuum", ("bottom",))
            wedge = draw_wedge(rng, 0.0, sides[number % len(sides)], (3, 10))
            for image in image_of(change, wedge, crystal, pixel_pm, rng):
                yield kind, image, rng


def table(path: Path, specimens: int) -> str:
    trained, card = segdepth.load_network(device="cpu")
    network, crystal, known = ServedNetwork(trained), crystal_of(card), read_familiarity(path, card)
    rows = []
    every = frames(specimens, crystal, card.input_pixel_pm)
    for kind, image, rng in tqdm(every, total=4 * specimens * len(KINDS), desc="familiarity", unit="frame"):
        found = known.judge(frame_features(network, card, crystal, image, rng))
        rows.append((kind, found.level, found.distance, found.reasons))
    every = pd.DataFrame(rows, columns=["kind", "level", "distance", "reasons"])
    lines = [
        "| frames | number | in | edge | outside | median distance | a reason |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for kind, mine in every.groupby("kind", sort=False):
        counts = " | ".join(str(int((mine["level"] == level).sum())) for level in ("in", "edge", "outside"))
        said = next((r[0] for r in mine["reasons"] if r), "")
        lines.append(f"| {kind} | {len(mine)} | {counts} | {mine['distance'].median():.2f} | {said} |")
    rates = ", ".join(f"{name} {value:.3g}" for name, value in known.rates.items())
    return "\n".join([*lines, "", f"Of the file: {rates}."])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--familiarity", type=Path, default=bundled_familiarity(), help="what the network has learnt")
    parser.add_argument("--specimens", type=int, default=6)
    given = parser.parse_args()
    print(table(given.familiarity, given.specimens))
