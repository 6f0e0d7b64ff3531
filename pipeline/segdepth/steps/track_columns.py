"""The step ``track-columns``: every column of a predicted film in every frame, and when its atoms change.

The folder it writes:

- ``tracks.zarr``: ``segdepth.micrograph.tracks.follow``, with ``posterior`` (column, frame, class) and ``path``
  (column, frame) of the hidden Markov model.
- ``events.csv`` and ``rates.csv``: ``segdepth.micrograph.tracks.events.FilmEvents``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from segdepth.errors import ConfigError, StoreError
from segdepth.micrograph.results.maps import STORE
from segdepth.micrograph.results.summary import SUMMARY
from segdepth.micrograph.results.tables import PARQUET
from segdepth.micrograph.tracks.events import FilmEvents, column_events
from segdepth.micrograph.tracks.follow import follow_columns
from segdepth.micrograph.tracks.track import with_model
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

COMMAND = "track-columns"
TRACKS, EVENT_TABLE, RATES_TABLE = "tracks.zarr", "events.csv", "rates.csv"


def track_columns(
    prediction: Path, out: Path, *, frame_s: float | None, false_discovery: float, code: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Follow the columns of a prediction.

    Parameters
    ----------
    prediction : folder of ``predict-micrograph``. frame_s : time from frame to frame, instead of the file's own.
    false_discovery : share of false events that is aimed at among those listed.

    Returns
    -------
    The table of events, and lines for the user: what does not hold of the prediction.

    Raises
    ------
    StoreError, ConfigError, MicrographError
        The prediction cannot be read, says nothing of time and none is given, or shows no lattice.
    """
    with open_zarr(prediction, "predict-micrograph", part=STORE) as maps:
        table, step, lines = _read(prediction)
        time = frame_s or step
        if not time:
            raise ConfigError(
                f"frame_s: {prediction} says nothing of the time from frame to frame; give it in seconds (--frame-s)"
            )
        tracks = follow_columns(maps, table, time)
    found = column_events(tracks, false_discovery)
    parameters = {"frame_s": time, "false_discovery": false_discovery}
    with write_artefact(out, command=COMMAND, code=code, inputs=[prediction], parameters=parameters) as partial:
        partial.mkdir()
        write_tracks(tracks, found, partial, parameters)
    return found.events, lines


def _read(prediction: Path) -> tuple[pd.DataFrame, float | None, tuple[str, ...]]:
    """The table of columns, the time from frame to frame that the file states, and what does not hold (``NOT …``)."""
    try:
        summary = json.loads((prediction / SUMMARY).read_text(encoding="utf-8"))
        lines = tuple(line for line in summary["warnings"] if line.startswith("NOT "))
        return pd.read_parquet(prediction / PARQUET), summary["frame_step_s"], lines
    except (OSError, ValueError, KeyError) as failure:
        raise StoreError(f"{prediction}: is not a prediction of this version ({failure})") from None


def write_tracks(tracks: xr.Dataset, found: FilmEvents, folder: Path, parameters: dict[str, Any]) -> None:
    """Write into an existing folder."""
    every = with_model(tracks, found)
    names = {name: every[name].astype(object) for name in ("column", "element", "place")}  # of any length
    every = every.assign_coords(names)
    write_zarr(every, folder / TRACKS, leading=(), parameters=parameters)
    found.events.to_csv(folder / EVENT_TABLE, **CSV)
    found.rates.to_csv(folder / RATES_TABLE, **CSV)
