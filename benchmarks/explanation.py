"""How near refined counts come to the ideal observer: rough crystals, the lens known exactly or to a fit's errors.

.venv/bin/python benchmarks/explanation.py OUT.csv [--frames 8] [--first 11] [--seed 78] [--electrons 40 20 80]
    [--specimen benchmark_rough] [--c1-error-nm 0.5] [--tilt-error-mrad 3] [--lens off]

Structures as of the specimen (another seed), network: the bundled one; defocus and electrons a pixel change from frame
to frame. Prints the share of columns counted exactly: network alone, refined, ideal observer of the image and of image
and wedge; how sure network and refinement are in the
mean; how many of the refined 90 % sets hold the true count. Last the share of the way from the network to the ideal
observer of image and wedge. All are means over frames with 95 % intervals (bootstrap over frames).
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial import cKDTree

import segdepth
from segdepth.config import Beam, Imaging, Specimen, read_yaml
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.devices import one_thread
from segdepth.evaluation.ideal_observer import exact_share_of
from segdepth.evaluation.ideal_observer_columns import draw_columns
from segdepth.evaluation.ideal_observer_images import Images, observed_columns
from segdepth.fitting.result import LensFit
from segdepth.micrograph.predict import crystal_of
from segdepth.networks.bundled import bundled_network
from segdepth.networks.card import read_card
from segdepth.seeds import structure_rng
from segdepth.simulation.beam import resolve_beam
from segdepth.specimen.columns import column_table
from segdepth.specimen.plan import plan_row
from segdepth.specimen.wedge import build_wedge

PRESET = Path(__file__).parents[1] / "workflow" / "presets" / "benchmarks.yaml"
NAME, SAME_PM = "rough_explained", 60.0
DOSE_OF_ELECTRON = 895 / 40
"""Electrons per Å² of one electron a pixel."""

SHOWN = ("network", "refined", "within_one", "ideal_image", "ideal_both", "sure_network", "sure", "covered", "seconds")
DRAWS = 2000
"""Of the bootstrap over frames."""
DEFOCI_NM = (3.0, 7.0, 5.0, 9.0, 1.0, 6.0, 4.0, 8.0, 2.0)


def fit_of(crystal, imaging: Imaging, dose: float, c1_nm: float, c1_error: float, tilt_error: float) -> LensFit:
    """The lens as a fit would give it, off by these errors."""
    degrees = math.degrees(tilt_error / 1000)
    names = ("c3_um", "c5_mm", "focal_spread_nm", "convergence_mrad", "image_spread_pm")
    values = {name: float(getattr(imaging, name)) for name in names}
    return LensFit(
        crystal=crystal.to_dict(), energy_kev=300.0, dose_e_per_a2=dose, frames=1, pixel_pm=imaging.pixel_pm,
        values={**values, "defocus_nm": c1_nm + c1_error, "tilt_x_deg": degrees, "tilt_y_deg": 0.0},
        errors={"defocus_nm": abs(c1_error), "tilt_x_deg": abs(degrees), "tilt_y_deg": abs(degrees)},
        held=names, bins=(), chi2=1.0, dof=1.0, explained=True, rivals=(), lines=(),
    )  # fmt: skip


def measure(index: int, c1_nm: float, electrons: float, args: argparse.Namespace) -> list[dict]:
    """Rows of one frame: by element and lens."""
    block = Specimen(**read_yaml(PRESET)["specimens"][args.specimen])
    crystal = crystal_of(read_card(bundled_network()))
    atoms = build_wedge(plan_row(block, crystal, NAME, index, args.seed), block, crystal, NAME, args.seed)
    imaging = Imaging(pixel_pm=read_card(bundled_network()).input_pixel_pm, defocus_nm=(c1_nm,))
    key = (args.seed, NAME, index)
    beam = resolve_beam(Beam(), crystal.all_elements, crystal.debye_waller_pm, structure_rng(*key, "beam"))
    images = Images(Beam(), imaging, block, "cpu")
    image = images.formed(atoms, beam, images.lens(structure_rng(*key, "lens")))[0]
    counts = structure_rng(*key, "noise").poisson(np.maximum(image, 0) * electrons)
    drawn = draw_columns(atoms, block, crystal, 10, args.columns, 600.0, structure_rng(*key, "geometry", 0))
    ideal = pd.DataFrame(observed_columns(atoms, drawn, images, crystal, electrons, key))
    predicted = segdepth.predict(
        counts, calibrate=False, pixel_pm=imaging.pixel_pm, rotation_deg=0.0, gain=1.0, offset=0.0
    )
    choices = 2 * block.count_shift_atoms + 1
    truth = column_table(atoms, block.margin_pm, block.field_pm)
    rows = []
    sure = predicted.columns.set_index("column")["confidence"]
    for lens in args.lens:
        errors = (0.0, 0.0) if lens == "exact" else (args.c1_error_nm, args.tilt_error_mrad)
        began = time.process_time()
        fit = fit_of(crystal, imaging, electrons * DOSE_OF_ELECTRON, c1_nm, *errors)
        found = segdepth.explain(predicted, fit).columns
        seconds = time.process_time() - began
        distance, nearest = cKDTree(truth[["x_pm", "y_pm"]]).query(found[["x_pm", "y_pm"]])
        number = truth["element"].to_numpy()[nearest]
        same = (distance < SAME_PM) & (number == found["element"].map(ATOMIC_NUMBER).to_numpy())
        true = np.where(same, truth["atoms"].to_numpy()[nearest], 0)
        inner = found["x_pm"].between(85, block.field_pm - 85) & found["y_pm"].between(85, block.field_pm - 85)
        for element in crystal.elements:
            mine = inner.to_numpy() & (found["element"] == element).to_numpy() & (true > 0) & (found["depth"] > 0)
            count = found["count"].to_numpy()[mine]
            held = found["count_low"].to_numpy()[mine], found["count_high"].to_numpy()[mine]
            image_share = float(ideal.loc[ideal["element"] == element, "columns_exact"].mean())
            rows.append(
                {
                    "structure": index, "defocus_nm": c1_nm, "electrons": electrons, "lens": lens, "element": element,
                    "columns": int(mine.sum()),
                    "network": float((found["depth"].to_numpy()[mine] == true[mine]).mean()),
                    "refined": float((count == true[mine]).mean()),
                    "within_one": float((np.abs(count - true[mine]) <= 1).mean()),
                    "sure_network": float(sure[found["column"][mine]].mean()),
                    "sure": float(found["confidence"].to_numpy()[mine].mean()),
                    "covered": float(((held[0] <= true[mine]) & (true[mine] <= held[1])).mean()),
                    "ideal_image": image_share, "ideal_both": exact_share_of(choices, image_share) or image_share,
                    "chi2": float(found["chi2_refined"].sum() / found["pixels"].sum()), "seconds": seconds,
                }
            )  # fmt: skip
    return rows


def told(rows: list[dict]) -> str:
    """Means over frames with their intervals, by element and lens, and the share of the way."""
    lines, table = [], pd.DataFrame(rows)
    for (element, lens), each in table.groupby(["element", "lens"], sort=False):
        drawn = np.random.default_rng(0).integers(len(each), size=(DRAWS, len(each)))
        for name in (*SHOWN, "way"):
            if name == "way":
                gain, whole = each["refined"] - each["network"], each["ideal_both"] - each["network"]
                mean, means = gain.sum() / whole.sum(), gain.to_numpy()[drawn].sum(1) / whole.to_numpy()[drawn].sum(1)
            else:
                mean, means = each[name].mean(), each[name].to_numpy()[drawn].mean(1)
            low, high = np.quantile(means, [0.025, 0.975])
            lines.append(f"{element:3} {lens:6} {name:13} {mean:7.3f}  {low:7.3f} to {high:7.3f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    for name, kind, default in (("frames", int, 8), ("first", int, 11), ("seed", int, 78), ("columns", int, 4)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--electrons", type=float, nargs="+", default=[40.0, 20.0, 80.0])
    parser.add_argument("--specimen", default="benchmark_rough")
    parser.add_argument("--lens", choices=("exact", "off"), nargs="+", default=["exact", "off"])
    parser.add_argument("--c1-error-nm", type=float, default=0.5)
    parser.add_argument("--tilt-error-mrad", type=float, default=3.0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows: list[dict] = []
    with one_thread(), torch.no_grad():
        for number in range(args.frames):
            electrons = args.electrons[number % len(args.electrons)]
            rows += measure(args.first + number, DEFOCI_NM[number % len(DEFOCI_NM)], electrons, args)
            pd.DataFrame(rows).to_csv(args.out, index=False)
            print(told(rows), flush=True)


if __name__ == "__main__":
    main()
