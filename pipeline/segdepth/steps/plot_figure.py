"""A figure that is drawn from an evaluation."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from segdepth.steps.pictures import save_figure
from segdepth.steps.stored_evaluation import read_evaluation

COMMAND = "plot-figure"


def plot_figure(module: str, evaluation: Path, out: Path, *, code: str) -> None:
    """Draw ``evaluation`` with the figure's ``module`` (``segdepth.figures.registry``) to ``out`` (.png) and its .pdf.

    Raises
    ------
    StoreError
        The evaluation is missing, unfinished or damaged, or something else is in the figure's place.
    """
    found = read_evaluation(evaluation, examples=True)
    try:
        fig = import_module(module).draw(found)
    finally:
        found.examples.close()
    save_figure(
        fig, out, command=COMMAND, code=code, inputs=[evaluation], parameters={"figure": module.rpartition(".")[2]}
    )
