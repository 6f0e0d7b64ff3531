"""The figures of a measured film: probabilities over time (SegDepth, Fig. 12), and scores against the dose."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from segdepth.errors import ConfigError
from segdepth.figures import fig12_film, film_scores
from segdepth.steps.measure_film import SCORES
from segdepth.steps.pictures import plot_result
from segdepth.steps.track_columns import TRACKS
from segdepth.store.zarr_store import open_zarr

COMMAND = "plot-film"
KINDS = ("fig12_film", "film_scores")
USUAL_DOSE = 1.8
"""λ of the paper's film."""


def plot_film(kind: str, measured: Path, out: Path, *, code: str) -> None:
    """Draw a folder of ``measure-film`` to ``out`` (.png) and its .pdf.

    Parameters
    ----------
    kind : of ``KINDS``; ``fig12_film`` is at the dose next to the paper's.

    Raises
    ------
    ConfigError
        There is no such figure.
    StoreError
        The folder is missing, unfinished, damaged or of another version; something else is in the figure's place.
    """
    if kind not in KINDS:
        raise ConfigError(f"KIND: got {kind!r}; allowed: {', '.join(KINDS)}")
    drawn = _fig12 if kind == "fig12_film" else _scores
    plot_result(drawn, measured, out, kind="measured film", made_by="measure-film", command=COMMAND, code=code)


def _scores(folder: Path) -> Figure:
    return film_scores.draw(read_scores(folder / SCORES))


def read_scores(path: Path) -> pd.DataFrame:
    """A table of scores; names of film and network stay what they are, be they ``NA`` or ``007``."""
    names = {"film": str, "network": str}
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])


def _fig12(folder: Path) -> Figure:
    doses = pd.read_csv(folder / SCORES)["dose_lambda"]
    dose = min(doses, key=lambda each: abs(each - USUAL_DOSE))
    with open_zarr(folder, "measure-film", part=f"lambda-{dose:g}/{TRACKS}") as tracks:
        return fig12_film.draw(tracks.load())
