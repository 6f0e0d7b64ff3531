"""A prediction in memory: the same maps and table as on the disk, without files."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from segdepth.errors import MicrographError
from segdepth.micrograph.results.facts import FAMILIARITY, FilmFacts, FrameResult, LostFrame, lines_of
from segdepth.micrograph.results.maps import INVALID_DEPTH, empty_maps
from segdepth.micrograph.results.tables import HEADER, frame_rows

MAPS = ("probabilities", "depth", "confidence", "valid", "counts")


def gathered(facts: FilmFacts, items: Iterable[FrameResult | LostFrame]) -> tuple[xr.Dataset, pd.DataFrame]:
    """Maps over (frame, row, column), and the table of columns.

    Raises
    ------
    MicrographError
        No frame could be used.
    """
    items = list(items)
    kept = [item for item in items if isinstance(item, FrameResult)]
    lost = [item for item in items if isinstance(item, LostFrame)]
    if not kept:
        raise MicrographError(f"{facts.source}: no frame can be used; {lost[0].reason}")
    maps = empty_maps(facts, kept[0].depth.shape).load()
    for name in MAPS:
        maps[name].values = maps[name].values.copy()  # dask makes maps of one shape and kind once, as one array
    for place, item in enumerate(items):
        maps["lost"][place] = isinstance(item, LostFrame)
        if isinstance(item, LostFrame):
            continue
        for name in MAPS:
            maps[name][place] = getattr(item, name)
        maps["depth"][place] = np.where(item.valid, item.depth, INVALID_DEPTH)
        for name in ("probabilities", "confidence"):
            maps[name][place] = np.where(item.valid, getattr(item, name), np.nan)
        maps["dose"][place], maps["vacuum_level"][place] = item.dose_e_per_a2, item.vacuum_level
        maps["familiarity"][place], maps["reliable"][place] = FAMILIARITY.index(item.familiarity), item.reliable
    rows = [pd.DataFrame(frame_rows(item, facts.pixel_pm))[HEADER] for item in kept if len(item.table)]
    columns = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=HEADER)
    maps.attrs["warnings"] = list(
        lines_of(facts.warnings, [(item.number, item.reliable, item.lines) for item in kept], lost)
    )
    return maps, columns
