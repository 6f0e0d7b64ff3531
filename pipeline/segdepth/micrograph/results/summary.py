"""``summary.json``: what was found, by which network, on which geometry; every number's unit is in its key."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from segdepth.labels.column_depths import name_of_last
from segdepth.micrograph.results.facts import FilmFacts, FrameResult
from segdepth.micrograph.results.file_grid import affine_matrices
from segdepth.micrograph.results.tables import Rows

SUMMARY = "summary.json"
PACKAGES = ("segdepth", "numpy", "torch", "rosettasciio", "tifffile", "zarr")


def film_summary(facts: FilmFacts) -> dict[str, Any]:
    """The facts of the film."""
    to_file, to_grid = affine_matrices(facts.transform)
    return {
        "source": facts.source,
        "image": facts.image,
        "shape_px": list(facts.shape),
        "pixel_pm": facts.pixel_pm,
        "pixel_error_pm": facts.pixel_error_pm,
        "pixel_from": facts.pixel_from,
        "rotation_deg": facts.transform.rotation_deg,
        "rotation_error_deg": facts.rotation_error_deg,
        "flip": facts.transform.flip,
        "distortion": dict(facts.distortion),
        "affine_to_file_pm": to_file,
        "affine_to_grid_pm": to_grid,
        "energy_kev": facts.energy_kev,
        "exposure_s": facts.exposure_s,
        "frame_step_s": facts.frame_step_s,
        "dose_from": facts.dose_from,
        "crystal": {"title": facts.crystal.title, **facts.crystal.to_dict()},
        "labels": dict(facts.labels),
        "network": dict(facts.network),
        "network_pixel_pm": facts.transform.grid_pixel_pm,
        "label_pixel_pm": facts.label_pixel_pm,
        "classes": facts.classes,
        "last_class": name_of_last(facts.classes, facts.more),
        "false_discovery_level": facts.false_discovery,
    }


def frame_summary(place: int, result: FrameResult, rows: Rows, facts: FilmFacts) -> dict[str, Any]:
    """The line of the frame at a place of ``facts.frames``. ``rows`` as ``tables.frame_rows`` gives them."""
    many, number = len(rows["frame"]), Counter(rows["element"])
    return {
        "frame": result.number,
        "start_s": None if facts.times_s is None else facts.times_s[place],
        "dose_e_per_a2": result.dose_e_per_a2,
        "vacuum_level_electrons_per_pixel": result.vacuum_level,
        "familiarity": result.familiarity,
        "familiarity_numbers": dict(result.familiarity_numbers),
        "reliable": result.reliable,
        "columns": {element: number[element] for element in facts.crystal.elements},
        "at_least_share": float(rows["at_least"].mean()) if many else None,
        "mean_confidence": float(rows["confidence"].mean()) if many else None,
        "mean_depth_atoms": float(rows["depth"].mean()) if many else None,
        "warnings": list(result.lines),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that made the results."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def write_summary(
    folder: Path,
    facts: FilmFacts,
    frames: Sequence[Mapping[str, Any]],
    lost: Sequence[tuple[int, str]],
    warnings: Sequence[str],
) -> None:
    """Write the file. ``frames`` : lines of ``frame_summary``. ``lost`` : number and reason of frames without one."""
    reliable = [line["reliable"] for line in frames]
    content = {
        "reliable": bool(reliable) and all(reliable),
        "warnings": list(warnings),
        **film_summary(facts),
        "frames": list(frames),
        "lost_frames": [{"frame": number, "reason": reason} for number, reason in lost],
        "versions": versions(),
    }
    text = json.dumps(_plain(content), indent=1, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """The value as JSON knows it: what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
