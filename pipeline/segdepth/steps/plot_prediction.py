"""The picture of a prediction."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.errors import StoreError
from segdepth.figures.prediction import draw
from segdepth.steps.pictures import save_figure
from segdepth.store.zarr_store import open_zarr

COMMAND = "plot-prediction"
STORE, COLUMNS = "prediction.zarr", "columns.csv"


def plot_prediction(prediction: Path, out: Path, *, code: str) -> None:
    """Draw the first frame of a prediction's folder to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The prediction is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    folder = Path(prediction)
    with open_zarr(folder, "predict-micrograph", part=STORE) as maps:
        try:
            fig = draw(maps, pd.read_csv(folder / COLUMNS, keep_default_na=False))
        except StoreError as failure:
            raise StoreError(f"{folder}: {failure}") from None
        except (OSError, ValueError, KeyError) as failure:
            raise StoreError(f"{folder}: is not a prediction of this version ({failure})") from None
    save_figure(fig, out, command=COMMAND, code=code, inputs=[prediction])
