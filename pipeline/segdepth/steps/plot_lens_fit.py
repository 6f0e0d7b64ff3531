"""The picture of a fit of the lens."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from segdepth.errors import StoreError
from segdepth.figures.lens_fit import draw
from segdepth.fitting.result import read_lens_fit
from segdepth.steps.pictures import plot_result

COMMAND = "plot-lens-fit"


def plot_lens_fit(fit: Path, out: Path, *, code: str) -> None:
    """Draw the file of ``fit-lens`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The fit is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    plot_result(_drawn, fit, out, kind="fit of the lens", made_by="fit-lens", command=COMMAND, code=code)


def _drawn(fit: Path) -> Figure:
    found = read_lens_fit(fit)
    cells = json.loads(fit.read_text(encoding="utf-8")).get("cells")
    if not cells:
        raise StoreError("has no average unit cells to draw; fit again")
    return draw(found, cells)
