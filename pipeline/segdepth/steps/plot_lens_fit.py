"""The picture of a fit of the lens."""

from __future__ import annotations

import json
from pathlib import Path

from segdepth.errors import StoreError
from segdepth.figures.lens_fit import draw
from segdepth.fitting.result import read_lens_fit
from segdepth.steps.pictures import save_figure
from segdepth.store.manifest import check_whole

COMMAND = "plot-lens-fit"


def plot_lens_fit(fit: Path, out: Path, *, code: str) -> None:
    """Draw the file of ``fit-lens`` to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The fit is missing, unfinished, damaged or of another kind; something else is in the figure's place.
    """
    check_whole(fit, "fit-lens")
    found = read_lens_fit(fit)
    cells = json.loads(Path(fit).read_text(encoding="utf-8")).get("cells")
    if not cells:
        raise StoreError(f"{fit}: has no average unit cells to draw; fit again")
    save_figure(draw(found, cells), out, command=COMMAND, code=code, inputs=[fit])
