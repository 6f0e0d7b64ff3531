"""The training curve of a network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segdepth.errors import StoreError
from segdepth.figures.training import draw
from segdepth.steps.pictures import save_figure
from segdepth.store.manifest import check_whole

COMMAND = "plot-training"
CURVE = "curve.csv"
NEEDED = {"epoch", "train_loss", "learning_rate"}


def plot_training(model: Path, out: Path, *, code: str) -> None:
    """Draw ``curve.csv`` of a trained network's folder to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The network is missing, unfinished or damaged, or has no curve; something else is in the figure's place.
    """
    check_whole(model)
    path = Path(model) / CURVE
    try:
        curve = pd.read_csv(path)
        if missing := NEEDED - set(curve):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None
    save_figure(draw(curve, Path(model).name), out, command=COMMAND, code=code, inputs=[model])
