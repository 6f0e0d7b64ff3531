"""The figures of limits: what can be counted at all, and where to record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.figures import limit_map, limits
from segdepth.steps.map_limits import MAP, SETTINGS
from segdepth.steps.pictures import plot_result

COMMAND = "plot-limits"


def plot_limits(result: Path, out: Path, *, code: str) -> None:
    """Draw the CSV of ``tabulate-limits`` or the folder of ``map-limits`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The result is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    if Path(result).is_dir():
        plot_result(
            lambda path: limit_map.draw(pd.read_csv(path / MAP), pd.read_csv(path / SETTINGS)),
            result, out, kind="map of limits", made_by="map-limits", command=COMMAND, code=code,
        )  # fmt: skip
    else:
        plot_result(
            lambda path: limits.draw(pd.read_csv(path)),
            result, out, kind="table of limits", made_by="tabulate-limits", command=COMMAND, code=code,
        )  # fmt: skip
