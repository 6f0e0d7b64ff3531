"""A finished prediction's first frame, as a picture needs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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
