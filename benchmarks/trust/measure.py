"""What `segdepth.predict` makes of the frames of `frames.py`: accepted, flagged, without a column, or refused.

.venv/bin/python benchmarks/trust/measure.py FRAMES OUT [--kinds crystal noise ...] [--limit N]

Each frame is predicted with nothing but its pixel tag, which may be off by 4 %; those of a crystal that the network
knows also with their true geometry, so that the two can be compared. Writes OUT/frames.csv, a line after each frame (a
run that was stopped goes on), and prints and writes OUT/trust.md.

- accepted: columns, at least one of them reliable. flagged: columns, none of them reliable. empty: no columns.
  refused: an error of one line.
- rotation and pixel: what was found less what is true; the crystal in projection is the same after 180 degrees.
- found: share of the true columns with one listed within 60 pm; exact: with its number of atoms too. false: share of
  the listed columns without a true one. same: of a copy's columns, those that its original has; same_depth: with the
  same number. (A copy's electrons fall elsewhere in their pixels, so that its noise is not the same.)
"""

from __future__ import annotations

import argparse
import csv
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from tqdm import tqdm

import segdepth
from segdepth.config import PAPER_PIXEL_PM
from segdepth.errors import SegDepthError
from segdepth.networks.bundled import bundled_familiarity

NEAR_PM = 60.0
OUTCOMES = ("accepted", "flagged", "empty", "refused")
FIELDS = (
    *("name", "kind", "pixel_pm", "dose_lambda", "vacuum", "outcome", "level", "columns", "reason", "seconds"),
    *("rotation_error_deg", "pixel_error_percent", "found", "exact", "false"),
    *("given_outcome", "given_found", "given_exact", "given_false", "same", "same_depth"),
)


@dataclass(frozen=True)
class Answer:
    """What came back: ``columns`` in the frame's coordinates, found geometry, familiarity, or why it was refused."""

    columns: pd.DataFrame | None
    rotation_deg: float | None = None
    pixel_pm: float | None = None
    level: str = ""
    reason: str = ""

    @property
    def outcome(self) -> str:
        if self.columns is None:
            return "refused"
        if self.columns.empty:
            return "empty"
        return "accepted" if self.columns.get("reliable", pd.Series([True])).any() else "flagged"


def ask(network: Any, counts: np.ndarray, **options: Any) -> Answer:
    """The one place that knows the face of ``segdepth.predict``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = segdepth.predict(counts, network=network, familiarity=bundled_familiarity(), **options)
        except SegDepthError as failure:
            return Answer(None, reason=str(failure))
    facts = found.maps.attrs
    return Answer(
        found.columns,
        facts["rotation_deg"],
        facts["pixel_pm"],
        facts["familiarity_levels"][int(found.maps["familiarity"].values[0])],
        " / ".join(facts["warnings"]),
    )


def against_truth(columns: pd.DataFrame | None, true: pd.DataFrame) -> dict[str, float]:
    """Shares ``found``, ``exact`` and ``false``."""
    if columns is None or columns.empty:
        return {"found": 0.0, "exact": 0.0, "false": float("nan")}
    places = columns[["x_pm", "y_pm"]].to_numpy()
    distance, which = cKDTree(places).query(true[["x_pm", "y_pm"]].to_numpy())
    near = distance < NEAR_PM
    same = columns["depth"].to_numpy()[which] == true["depth"].to_numpy()
    lone, _ = cKDTree(true[["x_pm", "y_pm"]].to_numpy()).query(places)
    return {"found": near.mean(), "exact": (near & same).mean(), "false": (lone >= NEAR_PM).mean()}


def measure(network: Any, folder: Path, truth: dict[str, Any], kept: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The row of one frame; ``kept`` holds the columns of the originals of copies."""
    counts = np.load(folder / f"{truth['name']}.npz")["counts"]
    started = time.perf_counter()
    answer = ask(network, counts, pixel_pm=truth["tag_pm"])
    row = {key: truth[key] for key in ("name", "kind", "pixel_pm", "dose_lambda", "vacuum")}
    row |= {"outcome": answer.outcome, "level": answer.level, "reason": answer.reason}
    row |= {"columns": 0 if answer.columns is None else len(answer.columns), "seconds": time.perf_counter() - started}
    if truth["kind"] != "crystal":
        return row
    true = pd.read_csv(folder / f"{truth['name']}.columns.csv")
    height, width = (side * truth["pixel_pm"] for side in counts.shape)
    true = true[true["x_pm"].between(0, width) & true["y_pm"].between(0, height)]
    if answer.columns is not None:
        row["rotation_error_deg"] = (answer.rotation_deg - truth["rotation_deg"] + 90) % 180 - 90
        row["pixel_error_percent"] = 100 * (answer.pixel_pm / truth["pixel_pm"] - 1)
    scale = truth["pixel_pm"] / (
        answer.pixel_pm or truth["pixel_pm"]
    )  # back to true pm: the frame's pixels are the same
    mine = None if answer.columns is None else _scaled(answer.columns, scale)
    row |= against_truth(mine, true)
    # of the two turns that make the same lattice, the one with the vacuum where the network expects it
    away = 0.0 if answer.rotation_deg is None else answer.rotation_deg - truth["rotation_deg"]
    turn = truth["rotation_deg"] + (180 if abs((away + 180) % 360 - 180) > 90 else 0)
    dose = truth["dose_lambda"] * (100 / PAPER_PIXEL_PM) ** 2
    geometry = {"pixel_pm": truth["pixel_pm"], "rotation_deg": turn % 360, "flip": truth["flip"], "calibrate": False}
    given = ask(network, counts, dose_e_per_a2=dose, **geometry)
    row |= {"given_outcome": given.outcome}
    row |= {f"given_{key}": value for key, value in against_truth(given.columns, true).items()}
    if truth["copy_of"] is None:
        kept[truth["name"]] = mine
    elif mine is not None and kept.get(truth["copy_of"]) is not None:
        both = against_truth(_copied(kept[truth["copy_of"]], truth["copied"], width, height), mine)
        row |= {"same": both["found"], "same_depth": both["exact"]}
    return row


def _scaled(columns: pd.DataFrame, scale: float) -> pd.DataFrame:
    return columns.assign(x_pm=columns["x_pm"] * scale, y_pm=columns["y_pm"] * scale)


def _copied(columns: pd.DataFrame, copied: str, width: float, height: float) -> pd.DataFrame:
    """Columns as they lie in a mirrored or turned copy of the frame."""
    flipped = columns.assign(x_pm=width - columns["x_pm"])
    return flipped if copied == "mirrored" else flipped.assign(y_pm=height - columns["y_pm"])


def tables(rows: pd.DataFrame) -> str:
    """Markdown: outcomes by kind, and how well the crystal's frames were found."""
    lines = [
        "| frames | number | " + " | ".join(OUTCOMES) + " | most columns |",
        "|---|" + "---:|" * (len(OUTCOMES) + 2),
    ]
    for kind, mine in rows.groupby("kind", sort=False):
        counts = [str(int((mine["outcome"] == one).sum())) for one in OUTCOMES]
        lines.append(f"| {kind} | {len(mine)} | {' | '.join(counts)} | {int(mine['columns'].max())} |")
    crystal = rows[rows["kind"] == "crystal"]
    if len(crystal):
        done = crystal[crystal["outcome"] != "refused"]
        rotation, pixel = done["rotation_error_deg"].abs(), done["pixel_error_percent"].abs()
        gap = done["given_exact"] - done["exact"]
        lines += [
            "",
            "| crystal's frames that were not refused | median | 95th percentile | largest | within the bar |",
        ]
        lines += ["|---|---:|---:|---:|---:|"]
        for text, values, bar, unit in (
            ("rotation error, degrees (bar 0.5)", rotation, 0.5, ".2f"),
            ("pixel error, % (bar 0.7)", pixel, 0.7, ".2f"),
            ("exact share lost against the true geometry (bar 0.02)", gap, 0.02, ".3f"),
            (
                "share of a copy's columns that its original does not have (bar 0.02)",
                1 - done["same"].dropna(),
                0.02,
                ".3f",
            ),
            ("the same, or with another depth", 1 - done["same_depth"].dropna(), 0.02, ".3f"),
        ):
            if len(values):
                q = [f"{float(v):{unit}}" for v in (values.median(), values.quantile(0.95), values.max())]
                lines.append(f"| {text} | {' | '.join(q)} | {int((values <= bar).sum())} of {len(values)} |")
        means = {
            key: done[key].mean() for key in ("found", "exact", "false", "given_found", "given_exact", "given_false")
        }
        lines += ["", "Means: " + ", ".join(f"{key} {value:.3f}" for key, value in means.items()) + "."]
    return "\n".join(lines) + "\n"


def measure_all(folder: Path, out: Path, kinds: list[str] | None, limit: int | None) -> None:
    """Rows that ``frames.csv`` lacks, then the tables."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "frames.csv"
    truths = [t for t in json.loads((folder / "truths.json").read_text()) if not kinds or t["kind"] in kinds][:limit]
    done = set(pd.read_csv(path)["name"]) if path.exists() else set()
    network, kept = segdepth.load_network(), {}
    originals = {t["copy_of"] for t in truths if t["copy_of"] and t["name"] not in done}
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        if not done:
            writer.writeheader()
        for truth in tqdm(truths, desc="measuring", unit="frame"):
            if truth["name"] in done and truth["name"] not in originals:
                continue
            row = measure(network, folder, truth, kept)
            if truth["name"] not in done:
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
                stream.flush()
    text = tables(pd.read_csv(path, keep_default_na=False, na_values=["", "nan"]))
    (out / "trust.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, help="folder that frames.py wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    measure_all(given.frames, given.out, given.kinds, given.limit)
