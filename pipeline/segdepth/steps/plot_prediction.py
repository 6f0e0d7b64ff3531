"""The picture of a prediction."""

from __future__ import annotations

from pathlib import Path

from segdepth.figures.prediction import draw
from segdepth.micrograph.results.reading import read_picture
from segdepth.steps.pictures import is_simulated, plot_result

COMMAND = "plot-prediction"


def plot_prediction(prediction: Path, out: Path, *, code: str) -> None:
    """Draw the first frame of a prediction's folder to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The prediction is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    plot_result(
        lambda folder: draw(read_picture(folder), is_simulated(folder)),
        prediction, out, kind="prediction", made_by="predict-micrograph", command=COMMAND, code=code,
    )  # fmt: skip
