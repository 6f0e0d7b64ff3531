"""The figure of networks under each other's conditions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.figures.generalization import draw
from segdepth.steps.pictures import plot_result
from segdepth.steps.tabulate_generalization import COMMAND as MADE_BY

COMMAND = "plot-generalization"


def plot_generalization(table: Path, out: Path, *, code: str) -> None:
    """Draw the CSV of ``tabulate-generalization`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The table is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    plot_result(
        lambda path: draw(read_matrix(path)),
        table, out, kind="matrix of networks and data sets", made_by=MADE_BY, command=COMMAND, code=code,
    )  # fmt: skip


def read_matrix(path: Path) -> pd.DataFrame:
    """The CSV with its names as they are: a network may be called 1, a data set NA."""
    names = dict.fromkeys(("network", "dataset", "began_with", "against"), str)
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
