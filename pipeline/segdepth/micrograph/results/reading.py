"""A finished prediction: its first frame, as a picture needs it, and what its writers were given."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.crystals import Crystal
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.facts import FAMILIARITY, FilmFacts, FrameResult
from segdepth.micrograph.results.maps import INVALID_DEPTH
from segdepth.micrograph.results.summary import SUMMARY
from segdepth.micrograph.results.tables import read_columns
from segdepth.micrograph.results.tiff import read_planes


@dataclass(frozen=True)
class Picture:
    """One frame on the file's pixels.

    depth (atoms), confidence, counts (vacuum = 1) : float32 (y, x), NaN where not valid. columns : rows of the table.
    film, frame : ``summary.json`` and the frame's line in it.
    """

    depth: np.ndarray
    confidence: np.ndarray
    counts: np.ndarray
    columns: pd.DataFrame
    film: dict[str, Any]
    frame: dict[str, Any]


def read_picture(folder: str | Path) -> Picture:
    """The first frame of a prediction's folder that is not lost.

    Raises
    ------
    OSError, ValueError, KeyError, IndexError
        The folder is not that of a prediction, or all of its frames are lost.
    """
    folder = Path(folder)
    film = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    if not film["frames"]:
        raise ValueError("all of its frames are lost")
    frame = film["frames"][0]
    number = frame["frame"]
    place = sum(lost["frame"] < number for lost in film["lost_frames"])
    return Picture(*read_planes(folder, place), read_columns(folder, number), film, frame)


def read_facts(folder: str | Path) -> FilmFacts:
    """What a prediction's folder says of the film; all of its lines are among the warnings.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        The folder is not that of a prediction.
    """
    film = json.loads((Path(folder) / SUMMARY).read_text(encoding="utf-8"))
    transform = FrameTransform(
        tuple(film["shape_px"]), film["pixel_pm"], film["network_pixel_pm"], film["rotation_deg"], bool(film["flip"])
    )
    stretch = np.array(film["affine_to_grid_pm"])[:, :2] @ np.linalg.inv(transform.matrix)
    if not np.allclose(stretch, np.eye(2), atol=1e-12):
        (xx, xy), (yx, yy) = stretch.tolist()
        transform = replace(transform, stretch=((xx, (xy + yx) / 2), ((xy + yx) / 2, yy)))
    frames = sorted(line["frame"] for line in (*film["frames"], *film["lost_frames"]))
    step = film["frame_step_s"]
    kept = ("source", "classes", "labels", "network", "image", "pixel_from", "pixel_error_pm", "rotation_error_deg")
    kept += ("label_pixel_pm", "distortion", "dose_from", "energy_kev", "exposure_s")
    return FilmFacts(
        frames=frames,
        transform=transform,
        crystal=Crystal.from_dict(film["crystal"]),
        false_discovery=film["false_discovery_level"],
        times_s=None if step is None else [step * place for place in range(len(frames))],
        warnings=tuple(film["warnings"]),
        **{name: film[name] for name in kept},
    )


def read_frame(folder: str | Path, maps: xr.Dataset, place: int, table: pd.DataFrame) -> FrameResult:
    """The frame at a place of a prediction's maps. ``table`` : its rows of the table of columns."""
    one = maps.isel(frame=place)
    return FrameResult(
        number=int(one["frame"]),
        table=table,
        probabilities=one["probabilities"].values.astype(np.float32),
        depth=one["depth"].values,
        confidence=one["confidence"].values,
        valid=one["depth"].values != INVALID_DEPTH,
        counts=one["counts"].values,
        image=read_planes(Path(folder), place)[2],
        dose_e_per_a2=float(one["dose"]),
        vacuum_level=float(one["vacuum_level"]),
        familiarity=FAMILIARITY[int(one["familiarity"])],
    )
