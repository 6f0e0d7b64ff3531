"""The convergence study as a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.errors import StoreError
from segdepth.figures.convergence import draw
from segdepth.steps.pictures import save_figure
from segdepth.store.manifest import check_whole

COMMAND = "plot-convergence"


def plot_convergence(table: Path, out: Path, *, code: str) -> None:
    """Draw the table of ``study-convergence`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The table is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    check_whole(table, "study-convergence")
    try:
        rows = pd.read_csv(table)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{table}: cannot be read ({failure})") from None
    try:
        figure = draw(rows)
    except StoreError as failure:
        raise StoreError(f"{table}: {failure}") from None
    save_figure(figure, out, command=COMMAND, code=code, inputs=[table])
