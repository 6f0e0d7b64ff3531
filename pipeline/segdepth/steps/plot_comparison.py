"""The picture of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from segdepth.errors import StoreError
from segdepth.figures.comparison import draw
from segdepth.steps.pictures import save_figure
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
    folder = Path(comparison)
    with open_zarr(folder, "compare-micrograph", part=STORE) as pictures:
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            fig = draw(facts, pd.read_csv(folder / TABLE), pictures)
        except StoreError as failure:
            raise StoreError(f"{folder}: {failure}") from None
        except (OSError, ValueError, KeyError) as failure:
            raise StoreError(f"{folder}: is not a comparison of this version ({failure})") from None
    save_figure(fig, out, command=COMMAND, code=code, inputs=[comparison])
