"""``segdepth.track``: columns of a predicted film over time, in memory."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import xarray as xr

from segdepth.errors import ConfigError
from segdepth.micrograph.tracks.events import FALSE_DISCOVERY, FilmEvents, column_events
from segdepth.micrograph.tracks.follow import follow_columns


class Tracked(NamedTuple):
    """What ``track`` found.

    tracks : over (column, frame): ``probability`` and ``posterior`` (also over class: of one frame, of all together),
        ``path`` (most probable number of atoms over time), ``x_pm``, ``y_pm``, ``listed``.
    events : one row a change: ``column``, ``element``, ``place``, ``time_s``, ``time_error_s``, ``before``, ``after``,
        ``probability``, ``llr``, ``q_value``, ``listed``.
    rates : ``element``, ``place``, ``columns``, ``gain_per_s``, ``loss_per_s``.
    """

    tracks: xr.Dataset
    events: pd.DataFrame
    rates: pd.DataFrame


def track(
    maps: xr.Dataset, columns: pd.DataFrame, *, frame_s: float, false_discovery: float = FALSE_DISCOVERY
) -> Tracked:
    """Every column of a film in every frame, and when its atoms change: a hidden Markov model.

    Parameters
    ----------
    maps, columns : what ``predict`` gave. frame_s : time from frame to frame.
    false_discovery : share of false events that is aimed at among those listed.

    Raises
    ------
    ConfigError
        A number is out of its range.
    MicrographError
        No frame shows the crystal's lattice.
    """
    if not 0 < frame_s < float("inf"):
        raise ConfigError(f"frame_s: got {frame_s:g}; the time from frame to frame must be above 0")
    if not 0 <= false_discovery <= 1:
        raise ConfigError(f"false_discovery: got {false_discovery:g}; allowed: 0 to 1")
    tracks = follow_columns(maps, columns, float(frame_s))
    found = column_events(tracks, false_discovery)
    return Tracked(with_model(tracks, found), found.events, found.rates)


def with_model(tracks: xr.Dataset, found: FilmEvents) -> xr.Dataset:
    """The tracks with ``posterior`` and ``path`` of their events."""
    text = "probability of each number of atoms, all frames together"
    path = "most probable number of atoms over time, all frames together"
    return tracks.assign(
        posterior=(("column", "frame", "class"), found.posterior, {"units": "1", "long_name": text}),
        path=(("column", "frame"), found.path.astype("int16"), {"units": "atoms", "long_name": path}),
    )
