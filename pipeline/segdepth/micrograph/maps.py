"""The data set of a prediction: maps on the input's own pixels, and the table of columns beside it.

=============== ======= ================== =====================================================================
variable        type    dimensions         meaning
=============== ======= ================== =====================================================================
depth           uint8   frame, y, x        most probable number of atoms (SegDepth eq. 4); 255 where not valid
confidence      float32 frame, y, x        its probability (eq. 5); NaN where not valid
valid           bool    frame, y, x        False where the input was masked
counts          float32 frame, y, x        the input over its vacuum level, so that vacuum = 1; NaN where not valid
probabilities   float16 frame, class, y, x of 0, 1, … atoms; NaN where not valid
vacuum_level    float64 frame              counts per input pixel in vacuum
=============== ======= ================== =====================================================================

Attributes: ``pixel_pm``, ``rotation_deg``, ``flip``, ``dose_lambda`` (of each frame), ``network_dose_lambda``,
``network_pixel_pm``, ``electrons`` (re-binned one by one, or area means), ``invalid_depth``, ``network`` (JSON of the
labels block), ``crystal`` (JSON), ``warnings``.

The table has ``frame, x_pm, y_pm, element, depth, confidence``; origin at the corner of the input's pixel [0, 0], x
along axis 1, y along axis 0; ``element`` is the heaviest one of the column.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.micrograph.columns import COLUMNS
from segdepth.micrograph.predict import PredictedFrame, Task
from segdepth.micrograph.preparation import dose_lambda_of

STORE, TABLE = "prediction.zarr", "columns.csv"
INVALID_DEPTH = 255
HEADER = ["frame", *COLUMNS]


def maps_attributes(task: Task) -> dict[str, Any]:
    """The attributes, but for the warnings."""
    transform, card = task.transform, task.card
    return {
        "title": "depth maps of a micrograph",
        "pixel_pm": transform.pixel_pm,
        "rotation_deg": transform.rotation_deg,
        "flip": int(transform.flip),
        "electrons": int(task.checked.electrons),
        "dose_lambda": [dose_lambda_of(v.level, transform.pixel_pm) for v in task.checked.vacuum],
        "network_dose_lambda": list(card.doses),
        "network_pixel_pm": card.input_pixel_pm,
        "invalid_depth": INVALID_DEPTH,
        "network": json.dumps(card.labels, sort_keys=True),
        "crystal": json.dumps(card.crystal, sort_keys=True),
    }


def empty_maps(task: Task) -> xr.Dataset:
    """The data set with its coordinates and attributes; its maps take no memory and hold zeros."""
    checked, transform = task.checked, task.transform
    number, (height, width) = len(checked.frames), transform.shape
    sizes = {"frame": number, "class": task.card.classes, "y": height, "x": width}

    def empty(kind: type, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        return dims, np.broadcast_to(np.zeros((), kind), tuple(sizes[d] for d in dims))

    def centres(number: int, axis: int) -> tuple[str, np.ndarray, dict[str, str]]:
        places = (np.arange(number) + 0.5) * transform.pixel_pm
        return "xy"[axis == 0], places, {"units": "pm", "long_name": f"pixel centre along axis {axis} of the input"}

    frame = ("frame", "y", "x")
    return xr.Dataset(
        {
            "depth": (*empty(np.uint8, *frame), {"units": "atoms", "long_name": "depth, 255 where not valid"}),
            "confidence": (*empty(np.float32, *frame), {"units": "1", "long_name": "probability of the depth"}),
            "valid": (*empty(np.bool_, *frame), {"units": "1", "long_name": "pixel was not masked"}),
            "counts": (*empty(np.float32, *frame), {"units": "1", "long_name": "counts as read, vacuum = 1"}),
            "probabilities": (
                *empty(np.float16, "frame", "class", "y", "x"),
                {"units": "1", "long_name": "probability of each depth"},
            ),
            "vacuum_level": (
                "frame",
                [v.level for v in checked.vacuum],
                {"units": "counts", "long_name": "counts per pixel in vacuum"},
            ),
        },
        coords={
            "frame": ("frame", np.arange(number), {"units": "1", "long_name": "frame"}),
            "class": ("class", np.arange(task.card.classes), {"units": "atoms", "long_name": "depth"}),
            "y": centres(height, 0),
            "x": centres(width, 1),
        },
        attrs=maps_attributes(task),
    )


def put_frame(store: MutableMapping[str, Any], i: int, found: PredictedFrame) -> None:
    """Write one frame's maps into arrays by the names of the variables; what is masked becomes 255 or NaN."""
    usable, maps = found.usable, found.maps
    store["depth"][i] = np.where(usable, maps.depth, INVALID_DEPTH)
    store["confidence"][i] = np.where(usable, maps.confidence, np.nan)
    store["valid"][i] = usable
    store["counts"][i] = np.where(usable, found.counts, np.nan)
    store["probabilities"][i] = np.where(usable, maps.probabilities, np.float16(np.nan))


def joined_columns(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The table of all frames, from one table a frame."""
    numbered = [table.assign(frame=i) for i, table in enumerate(tables)]
    filled = [table for table in numbered if not table.empty]
    return pd.concat(filled, ignore_index=True)[HEADER] if filled else pd.DataFrame(columns=HEADER)


def write_columns(table: pd.DataFrame, path: Path) -> None:
    table.round({"x_pm": 2, "y_pm": 2, "confidence": 4}).to_csv(path, index=False, lineterminator="\n")
