"""The figures of limits: what can be counted at all, and where to record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from segdepth.figures import limit_map, limits
from segdepth.steps.map_limits import COLUMNS, MAP, SETTINGS
from segdepth.steps.pictures import plot_result
from segdepth.store.manifest import read_manifest

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
            _map,
            result, out, kind="map of limits", made_by="map-limits", command=COMMAND, code=code,
        )  # fmt: skip
    else:
        plot_result(
            _limits,
            result, out, kind="table of limits", made_by="tabulate-limits", command=COMMAND, code=code,
        )  # fmt: skip


def _map(folder: Path) -> Figure:
    dataset = read_manifest(folder)["parameters"]["limit_map"]["dataset"]
    observed = pd.read_csv(folder / COLUMNS)
    setting = observed[["defocus_nm", "c3_um", "image_spread_pm"]]
    columns = observed.loc[(setting == setting.iloc[0]).all(axis=1), "element"].value_counts(sort=False).to_dict()
    return limit_map.draw(pd.read_csv(folder / MAP), pd.read_csv(folder / SETTINGS), dataset, columns)


def _limits(path: Path) -> Figure:
    facts = read_manifest(path)["parameters"]
    return limits.draw(pd.read_csv(path), facts["dataset"], facts["dose_lambda"], facts["structures"])
