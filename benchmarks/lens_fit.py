"""How well `segdepth fit-lens` finds lens, tilt and thickness: simulated frames whose truth is known.

.venv/bin/python benchmarks/lens_fit.py FOLDER [--frames 40] [--seed 16] [--rough] [--carbon] [--energy-kev 300]

Writes FOLDER/frame-NNN.npz and FOLDER/table.csv, and prints errors where the fit says "explained", the share of frames
that it does, and how many of them are wrong. Frames that are there already are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

import segdepth
from segdepth.config import PAPER_PIXEL_PM, LensFitOptions, Specimen
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import SegDepthError
from segdepth.fitting.film_fit import fit_film
from segdepth.micrograph.files.recording import recording_of
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge
from segdepth.steps.fit_lens import table_code

DOSE_LAMBDA = 1.1
PIXEL_PM = 6.3
SEED = 16

RANGES = {
    "defocus_nm": (-2, 20),
    "c3_um": (-25, -5),
    "c5_mm": (3, 7),
    "a1_nm": (0, 5),
    "b2_nm": (0, 150),
    "a2_nm": (0, 250),
    "focal_spread_nm": (3, 7),
    "image_spread_pm": (10, 35),
}
"""What a lens may be, drawn evenly; azimuths are drawn too."""

WRONG = {"c1_error_nm": 1.5, "tilt_error_mrad": 9.0, "thickness_rms": 2.1}
"""An error beyond one of these, three times the bar, is wrong."""


def specimen(rough: bool, carbon: bool) -> Specimen:
    """Wedges of 6 to 30 periods; tilt is the beam's, an upright crystal is simulated fast."""
    defects = {"count_shift_atoms": 2, "added_probability": 0.03} if rough else {"missing_probability": 0.0}
    if carbon:
        defects |= {"carbon_probability": 1.0}
    return Specimen(
        crystal="crystal",
        surfaces=("flat", "stepped", "sawtooth"),
        field_pm=768 * PAPER_PIXEL_PM,
        bulk_atoms=(6, 30),
        surface_atoms=(1, 6),
        thickest_atoms=40,
        decay_nm=(0.5, 4.0),
        vacuum_fraction=(0.12, 0.3),
        **defects,
    )


def make_frame(crystal: Crystal, index: int, given: argparse.Namespace, path: Path) -> None:
    """Counts (y, x) uint16, the truth as JSON, and the columns: x, y in pm, atoms, height of the exit end in pm."""
    block, seed = specimen(given.rough, given.carbon), given.seed
    rng = np.random.default_rng([seed, index])
    row = plan_row(block, crystal, "fit", index, seed) | {"bulk_atoms": int(rng.integers(6, 31))}
    row["surface_atoms"] = min(row["surface_atoms"], row["bulk_atoms"])
    atoms = build_wedge(row, block, crystal, "fit", seed)
    lens = {name: float(rng.uniform(*limits)) for name, limits in RANGES.items()}
    lens |= {name: max(lens[name], 0.2) for name in ("a1_nm", "b2_nm", "a2_nm")}  # less is taken for another unit
    azimuths = {f"{name}_azimuth_deg": float(rng.uniform(0, 360)) for name in ("a1", "b2", "a2")}
    tilt, azimuth = 43.6 * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
    tilt_mrad = (tilt * math.cos(azimuth), tilt * math.sin(azimuth))
    contrast, background = float(rng.uniform(0.7, 1.0)), float(rng.uniform(0, 0.3))
    imaging = {name: value for name, value in lens.items() if name != "defocus_nm"}
    imaging |= {name: (value, value) for name, value in azimuths.items()}
    image = segdepth.simulate(
        atoms,
        beam={"tilt_mrad": tilt_mrad, "energy_kev": given.energy_kev}
        | ({"diffuse_snapshots": given.diffuse} if given.diffuse else {}),
        imaging=imaging,
        defocus_nm=lens["defocus_nm"],
        pixel_pm=PIXEL_PM,
        device="cpu",
    ).values[0]
    image = contrast * image + (1 - contrast) * _blurred(image, 400 / PIXEL_PM)
    image = (image + background) / (1 + background)
    counts = rng.poisson(np.maximum(image, 0) * DOSE_LAMBDA * (PIXEL_PM / PAPER_PIXEL_PM) ** 2)
    truth = lens | azimuths | {"tilt_mrad": tilt_mrad, "contrast_factor": contrast, "background": background} | row
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez_compressed(
            stream,
            counts=counts.astype(np.uint16),
            truth=json.dumps(truth, default=float),
            columns=_columns(atoms, crystal, tilt_mrad),
        )
    part.replace(path)


def _blurred(image: np.ndarray, pixels: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, pixels, mode="nearest")


def _columns(atoms, crystal: Crystal, tilt_mrad: tuple[float, float]) -> np.ndarray:
    """(column, 4): x, y of the image, atoms, height of the last atom below the bulk's exit face, pm (negative where
    the crystal ends before it); columns of the heaviest element."""
    heavy = atoms.numbers == ATOMIC_NUMBER[crystal.elements[0]]
    numbers, places = atoms.get_array("column")[heavy], 100 * atoms.positions[heavy]
    middle = 50 * (atoms.positions[:, 2].min() + atoms.positions[:, 2].max())
    table = pd.DataFrame(places, columns=["x", "y", "z"]).assign(column=numbers)
    found = table.groupby("column").agg(
        x=("x", "first"), y=("y", "first"), n=("z", "size"), z=("z", "mean"), last=("z", "max")
    )
    margin = atoms.info["margin_pm"]
    lean = [-math.tan(t / 1000) for t in tilt_mrad]
    x = found["x"] + lean[0] * (found["z"] - middle) - margin
    y = found["y"] + lean[1] * (found["z"] - middle) - margin
    end = found["last"] + crystal.periods_pm[2] / 2 - atoms.info["exit_face_pm"]
    return np.stack([x, y, found["n"], end], axis=1)


def fit_frame(path: Path, crystal: Crystal, energy_kev: float) -> dict[str, float]:
    """Errors of the fit of one frame; thickness in atoms, over the strips beyond the one at the edge."""
    with np.load(path) as kept:
        counts, truth, columns = kept["counts"], json.loads(str(kept["truth"])), kept["columns"]
    options = LensFitOptions(pixel_pm=PIXEL_PM, energy_kev=energy_kev)
    start = time.perf_counter()
    try:
        found = fit_film(recording_of(counts), crystal, options, table_code=table_code())
    except SegDepthError as failure:
        print(path.name, failure)
        return {"refused": 1.0}
    seconds = time.perf_counter() - start
    fit = found.fit
    distance = found.cells.distance_pm
    i, j = (np.floor(columns[:, n] / PIXEL_PM).astype(int) for n in (1, 0))
    inside = (i >= 0) & (i < counts.shape[0]) & (j >= 0) & (j < counts.shape[1])
    columns = columns[inside]
    depth = distance[i[inside], j[inside]]
    seen = np.isfinite(depth)
    depth, atoms, end = depth[seen], columns[seen, 2], columns[seen, 3]

    def near(values: np.ndarray, at: float) -> float:
        order = np.argsort(np.abs(depth - at))
        return float(values[order[: max(8, int((np.abs(depth - at) < 230).sum()))]].mean())

    wrong = np.array([each.thickness_atoms - near(atoms, each.distance_pm) for each in fit.bins])
    tilt = np.subtract(fit.tilt_mrad, truth["tilt_mrad"])
    return {
        "explained": float(fit.explained),
        "chi2_dof": fit.chi2 / fit.dof,
        "rivals": float(len(fit.rivals)),
        "c1_error_nm": fit.values["defocus_nm"] - (truth["defocus_nm"] - near(end, fit.bins[-1].distance_pm) / 1000),
        "c1_said_nm": fit.errors["defocus_nm"],
        "tilt_error_mrad": float(np.hypot(*tilt)),
        "tilt_said_mrad": 1000 * math.radians(math.hypot(fit.errors["tilt_x_deg"], fit.errors["tilt_y_deg"])),
        "thickness_rms": float(np.sqrt((wrong[1:] ** 2).mean())),
        "thickness_mean": float(wrong[1:].mean()),
        "thickness_said": float(np.mean([each.thickness_error for each in fit.bins[1:]])),
        "edge_error": float(wrong[0]),
        "thickest": near(atoms, fit.bins[-1].distance_pm),
        "thinnest": near(atoms, fit.bins[0].distance_pm),
        "c1_nm": truth["defocus_nm"],
        "tilt_mrad": float(np.hypot(*truth["tilt_mrad"])),
        "seconds": seconds,
    }


def summary(table: pd.DataFrame) -> str:
    """The bar's numbers."""
    said = table[table["explained"] == 1]
    rms = {name: float(np.sqrt((said[name] ** 2).mean())) for name in WRONG}
    wrong = np.any([said[name].abs() > limit for name, limit in WRONG.items()], axis=0).sum()
    return (
        f"{len(table)} frames, explained {len(said) / len(table):.2f}, explained but wrong {wrong / len(table):.3f}; "
        f"rms where explained: C1 {rms['c1_error_nm']:.2f} nm, tilt {rms['tilt_error_mrad']:.2f} mrad, thickness "
        f"{rms['thickness_rms']:.2f} atoms; {table['seconds'].median():.0f} s a frame"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rough", action="store_true", help="every column's count is off by up to two atoms")
    parser.add_argument("--carbon", action="store_true", help="0.5 to 3 nm of amorphous carbon over part of the field")
    parser.add_argument("--energy-kev", type=float, default=300.0)
    parser.add_argument("--diffuse", type=int, default=0, help="snapshots from which diffuse electrons come")
    parser.add_argument("--only-frames", action="store_true", help="make the frames and fit none")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    crystal = crystal_of(read_card(bundled_network()))
    rows = []
    for index in range(given.first, given.first + given.frames):
        path = given.folder / f"frame-{index:03d}.npz"
        if not path.exists():
            make_frame(crystal, index, given, path)
        if not given.only_frames:
            rows.append({"frame": index} | fit_frame(path, crystal, given.energy_kev))
            print(" ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
            pd.DataFrame(rows).to_csv(given.folder / "table.csv", index=False)
    if rows:
        print(summary(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
