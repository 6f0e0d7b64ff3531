"""Evaluations beside the ideal observer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdepth.figures.benchmark import draw
from segdepth.steps.pictures import save_figure
from segdepth.steps.stored_evaluation import read_evaluation, read_ideal_observer

COMMAND = "plot-benchmark"


def plot_benchmark(evaluations: Sequence[Path], ideal_observer: Path | None, out: Path, *, code: str) -> None:
    """Draw one to four evaluations and, where it is given, an ideal observer to ``out`` (.png) and its .pdf.

    Raises
    ------
    ConfigError
        There are too many evaluations, or none.
    StoreError
        An input is missing, unfinished or damaged; something else is in the figure's place.
    """
    observer = None if ideal_observer is None else read_ideal_observer(ideal_observer)
    fig = draw([read_evaluation(path) for path in evaluations], observer)
    inputs = [*evaluations, *([] if ideal_observer is None else [ideal_observer])]
    save_figure(fig, out, command=COMMAND, code=code, inputs=inputs)
