"""The picture of a prediction."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import xarray as xr

from segdepth.errors import StoreError
from segdepth.figures.prediction import draw_prediction
from segdepth.steps.pictures import save_figure
from segdepth.store.manifest import check_whole

COMMAND = "plot-prediction"
STORE, COLUMNS = "prediction.zarr", "columns.csv"


def plot_prediction(prediction: Path, out: Path, *, code: str) -> None:
    """Draw the first frame of a prediction's folder to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The prediction is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    check_whole(prediction, "predict-micrograph")
    folder = Path(prediction)
    try:
        with xr.open_zarr(folder / STORE, consolidated=False, chunks=None) as maps:
            columns = pd.read_csv(folder / COLUMNS, keep_default_na=False)
            fig = draw_prediction(maps, columns)
    except StoreError as failure:
        raise StoreError(f"{folder}: {failure}") from None
    except (OSError, ValueError, KeyError) as failure:
        raise StoreError(f"{folder}: is not a prediction ({failure})") from None
    save_figure(fig, out, command=COMMAND, code=code, inputs=[prediction])
