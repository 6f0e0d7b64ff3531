"""The picture of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from segdepth.figures.comparison import draw
from segdepth.steps.pictures import plot_result
from segdepth.store.zarr_store import open_zarr

COMMAND = "plot-comparison"
FACTS, TABLE, STORE = "comparison.json", "simulated.csv", "comparison.zarr"


def plot_comparison(comparison: Path, out: Path, *, code: str) -> None:
    """Draw the folder that ``compare-micrograph`` wrote to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The comparison is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    plot_result(_drawn, comparison, out, kind="comparison", made_by="compare-micrograph", command=COMMAND, code=code)


def _drawn(folder: Path) -> Figure:
    with open_zarr(folder, part=STORE) as pictures:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return draw(facts, pd.read_csv(folder / TABLE), pictures)
