"""What is true of a simulated film: every column's atoms in every frame, as a data set with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

D_PRIME = "detectability of one atom {} in one frame at a dose of lambda = 1, all else known; grows with its root"


def truth_dataset(
    columns: pd.DataFrame,
    atoms: np.ndarray,
    drift_pm: np.ndarray,
    frame_s: float,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """``atoms(column, frame)``, the number of atoms of every column in every frame.

    Parameters
    ----------
    columns : ``column`` (number in the structure), ``element`` (atomic number), ``x_pm``, ``y_pm`` (in the recording,
        without drift, from the corner of its pixel [0, 0]), ``changes``, ``dwell_s``, ``d_prime_minus``,
        ``d_prime_plus`` (NaN where a column does not change).
    atoms : (column, frame). drift_pm : (frame, 2), x and y.
    """
    units = {
        "element": ("1", "atomic number", np.uint8),
        "x_pm": ("pm", "place along x in the recording, without drift", np.float64),
        "y_pm": ("pm", "place along y in the recording, without drift", np.float64),
        "changes": ("1", "the column gains and loses atoms", np.bool_),
        "dwell_s": ("s", "mean time that the column keeps its atoms", np.float64),
        "d_prime_minus": ("1", D_PRIME.format("less"), np.float64),
        "d_prime_plus": ("1", D_PRIME.format("more"), np.float64),
    }
    coords: dict[str, Any] = {
        name: ("column", columns[name].to_numpy(kind), {"units": unit, "long_name": text})
        for name, (unit, text, kind) in units.items()
    }
    coords["column"] = (
        "column",
        columns["column"].to_numpy(np.int64),
        {"units": "1", "long_name": "number of the column in the structure"},
    )
    frames = np.arange(atoms.shape[1], dtype=np.int32)
    coords["frame"] = ("frame", frames, {"units": "1", "long_name": "number of the frame"})
    coords["time_s"] = ("frame", frames * frame_s, {"units": "s", "long_name": "start of the frame"})
    for axis, name in enumerate(("drift_x_pm", "drift_y_pm")):
        text = f"drift along {'xy'[axis]}"
        coords[name] = ("frame", drift_pm[:, axis], {"units": "pm", "long_name": text})
    variable = (("column", "frame"), atoms.astype(np.int16), {"units": "atoms", "long_name": "number of atoms"})
    return xr.Dataset({"atoms": variable}, coords, {"title": "true occupancy of a simulated film", **attrs})
