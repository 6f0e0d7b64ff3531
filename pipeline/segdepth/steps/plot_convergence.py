"""The convergence study as a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.figures.convergence import draw
from segdepth.steps.pictures import plot_result

COMMAND = "plot-convergence"


def plot_convergence(table: Path, out: Path, *, code: str) -> None:
    """Draw the table of ``study-convergence`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The table is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    plot_result(
        lambda path: draw(pd.read_csv(path)),
        table, out, kind="table", made_by="study-convergence", command=COMMAND, code=code,
    )  # fmt: skip
