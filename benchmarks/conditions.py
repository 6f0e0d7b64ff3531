"""What each condition of a recording costs: the columns of yardsticks, by lens, dose and specimen.

.venv/bin/python benchmarks/conditions.py results/yardsticks/MODEL/NAME... [--plans data/specimens]

The recordings of a yardstick are parted at the median of each condition (dose, defocus, tilt, roughness, ...). It
prints the columns' mean absolute error, the share within one atom and the size of a recording's mean error in either
half, and the difference of the errors with its 95 % interval by bootstrap over structures. All other conditions vary at
the same time, so that it tells what matters most, and not what each one does alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from segdepth.evaluation.metrics import bootstrap_weights, percentile_interval

OF_RECORDING = (
    "dose_lambda",
    "pixel_pm",
    "defocus_nm",
    "a1_nm",
    "b2_nm",
    "a2_nm",
    "focal_spread_nm",
    "image_spread_pm",
    "contrast_factor",
    "background",
    "drift_pm",
)
OF_SPECIMEN = ("bulk_atoms", "tilt_deg", "bend_mrad", "roughness_atoms", "carbon_pm")
DRAWS = 1000


def conditions(folder: Path, plans: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Recordings with their conditions, and columns with ``error``; both have ``structure`` and ``recording``."""
    manifest = json.loads(Path(f"{folder}.manifest.json").read_text(encoding="utf-8"))
    plan = pd.read_csv(plans / manifest["parameters"]["dataset"]["specimen"] / "plan.csv")
    plan = plan.assign(
        structure=plan["index"],
        tilt_deg=np.hypot(plan["tilt_x_deg"], plan["tilt_y_deg"]),
        roughness_atoms=np.hypot(plan["entrance_roughness_atoms"], plan["exit_roughness_atoms"]),
    )
    frames = pd.read_csv(folder / "frames.csv").merge(plan[["structure", *OF_SPECIMEN]], on="structure")
    columns = pd.read_csv(folder / "columns.csv")
    return frames, columns.assign(error=(columns["depth"] - columns["true_atoms"]).astype(float))


def halves(frames: pd.DataFrame, columns: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row a condition that varies: both halves' errors and their difference."""
    rows = []
    for name in (*OF_RECORDING, *OF_SPECIMEN):
        middle = frames[name].median()
        upper = columns["structure"].isin(frames.loc[frames[name] > middle, "structure"]).to_numpy()
        if upper.all() or not upper.any():
            continue
        size = columns["error"].abs()
        offsets = columns.groupby("structure")["error"].mean().abs()
        high = offsets.index.isin(columns.loc[upper, "structure"])
        rows.append(
            {
                "condition": name,
                "median": middle,
                "error_below": size[~upper].mean(),
                "error_above": size[upper].mean(),
                **dict(zip(("low", "high"), difference(columns["structure"].to_numpy(), size.to_numpy(), upper, seed))),
                "within_one_below": (size[~upper] <= 1).mean(),
                "within_one_above": (size[upper] <= 1).mean(),
                "offset_below": offsets[~high].mean(),
                "offset_above": offsets[high].mean(),
            }
        )
    return pd.DataFrame(rows)


def difference(structure: np.ndarray, size: np.ndarray, upper: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the upper half's mean less the lower half's, structures drawn with replacement."""
    known, place = np.unique(structure, return_inverse=True)
    weights = bootstrap_weights(len(known), np.random.default_rng(seed), DRAWS)
    means = []
    for part in (upper, ~upper):
        sums = weights @ np.bincount(place[part], size[part], len(known))
        means.append(sums / (weights @ np.bincount(place[part], minlength=len(known))))
    return percentile_interval(means[0] - means[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yardsticks", type=Path, nargs="+", help="folders that `segdepth measure-yardstick` wrote")
    parser.add_argument("--plans", type=Path, default=Path("data/specimens"))
    parser.add_argument("--seed", type=int, default=16)
    given = parser.parse_args()
    for folder in given.yardsticks:
        frames, columns = conditions(folder, given.plans)
        print(f"\n{folder}: {len(frames)} recordings, {len(columns)} columns")
        print(halves(frames, columns, given.seed).to_string(index=False, float_format="%.3g"))


if __name__ == "__main__":
    main()
