"""What the network says of each lattice site in every frame of a film, also where it sees no atom.

The table of a prediction lists a column in the frames in which it is seen. Here every site of the lattice is followed,
so that a column which comes and goes has a probability of no atom in the frames without it. The lattice's own phases
give the sites' places (``segdepth.micrograph.columns``); their names are those of the prediction's table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.columns.film import FilmSites
from segdepth.micrograph.columns.sites import NEIGHBOUR_SPACINGS

FIRST_FRAMES = 8
"""Frames that the lattice is found in."""

BORDER_PM = 300.0
"""Sites nearer to the frame's border, or to a masked part, are not followed: what the network says of them changes with
what a drift brings into the frame beside them."""

LEAST_SHARE = 0.5
"""Of the frames in which a site must lie in the field to be followed."""

NAME_PM = 60.0
"""A site no further than this from a listed column of its element is that column."""

PLACES = ("bulk", "edge", "vacuum")
"""``bulk``: the site and all its neighbours hold atoms; ``edge``: it holds atoms and a neighbour does not, or the other
way round; ``vacuum``: neither it nor any neighbour holds any. By the mean of the expected depth over the film."""

HOLDS = 0.5
"""Mean expected depth from which on a site holds atoms."""


@dataclass(frozen=True)
class _Frame:
    """Sites of one frame: their names, elements, places in the file (site, 2) and probabilities (site, class)."""

    names: list[str]
    elements: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray


def follow_columns(maps: xr.Dataset, columns: pd.DataFrame, frame_s: float) -> xr.Dataset:
    """The sites of a film as tracks.

    Parameters
    ----------
    maps : of a prediction (``segdepth.micrograph.results.maps``), with its attributes. columns : its table.
    frame_s : time from frame to frame.

    Returns
    -------
    ``probability(column, frame, class)``, of 0, 1, … atoms, NaN where the site is not in the frame; ``x_pm``, ``y_pm``
    ``(column, frame)`` in the file; ``listed(column, frame)``, whether the prediction lists it there. Coordinates
    ``column`` (name), ``element``, ``place`` (of ``PLACES``), ``frame``, ``time_s``, ``class``.

    Raises
    ------
    MicrographError
        No frame shows the crystal's lattice.
    """
    crystal = Crystal.from_dict(json.loads(maps.attrs["crystal"]))
    to_file = np.array(maps.attrs["affine_to_file_pm"], float)
    shape = maps.sizes["row"], maps.sizes["column"]
    used = [place for place in range(maps.sizes["frame"]) if not bool(maps["lost"].values[place])]
    if not used:
        raise MicrographError("tracks: all frames of the prediction are lost")
    first = [_frame_maps(maps, place) for place in used[:FIRST_FRAMES]]
    sites = FilmSites.start(
        [probabilities for probabilities, _ in first],
        float(maps.attrs["label_pixel_pm"]),
        crystal,
        json.loads(maps.attrs["labels"]),
        first[0][1],
    )
    found: dict[int, _Frame] = {}
    for place in used:
        probabilities, valid = _frame_maps(maps, place)
        pooled = sites.pool(probabilities, valid)
        if pooled is None:
            continue
        rows = np.flatnonzero(pooled.here & (_border_pm(valid, pooled.x, pooled.y, sites.pixel_pm) >= BORDER_PM))
        on_grid = np.stack([pooled.x[rows], pooled.y[rows], np.ones(len(rows))])
        kind = pooled.sites.column_type[pooled.rows[rows]]
        elements = np.array([column.element for column in crystal.columns])[kind]
        names = pooled.sites.names(pooled.rows[rows])
        found[place] = _Frame(names, elements, (to_file @ on_grid).T, pooled.probabilities[rows])
    if not found:
        raise MicrographError(f"tracks: no frame of {shape[0]} x {shape[1]} pixels shows the lattice of the crystal")
    numbers = maps["frame"].values
    listed = {int(number): rows for number, rows in columns.groupby("frame")}
    renamed = _renaming(found, numbers, listed)
    return _dataset(found, numbers, listed, renamed, crystal, frame_s, maps.sizes["class"])


def _frame_maps(maps: xr.Dataset, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (class, y, x) and valid pixels of one frame."""
    one = maps.isel(frame=place)
    return np.nan_to_num(one["probabilities"].values.astype(np.float32)), one["valid"].values.astype(bool)


def _border_pm(valid: np.ndarray, x: np.ndarray, y: np.ndarray, pixel_pm: float) -> np.ndarray:
    """Distance of places to the nearest pixel that is not valid, or outside of the frame."""
    distance = ndimage.distance_transform_edt(np.pad(valid, 1)) * pixel_pm
    i, j = (np.floor(at / pixel_pm).astype(int) + 1 for at in (y, x))
    inside = (i > 0) & (i <= valid.shape[0]) & (j > 0) & (j <= valid.shape[1])
    found = np.zeros(len(x))
    found[inside] = distance[i[inside], j[inside]]
    return found


def _renaming(
    found: Mapping[int, _Frame], numbers: np.ndarray, listed: Mapping[int, pd.DataFrame]
) -> dict[str, tuple[int, int, str]]:
    """By the place at the end of a site's name here: cells along u and v to the prediction's names, and place there.

    A lattice that was found anew may count its cells from another one."""
    votes: dict[str, Counter] = {}
    for place, frame in found.items():
        table = listed.get(int(numbers[place]))
        if table is None:
            continue
        distance, which = cKDTree(table[["x_pm", "y_pm"]].to_numpy()).query(frame.places)
        for row in np.flatnonzero(distance < NAME_PM):
            if table["element"].iloc[which[row]] == frame.elements[row]:
                u, v, kind = _split(frame.names[row])
                other_u, other_v, other = _split(str(table["column"].iloc[which[row]]))
                votes.setdefault(kind, Counter())[other_u - u, other_v - v, other] += 1
    return {kind: counted.most_common(1)[0][0] for kind, counted in votes.items()}


def _split(name: str) -> tuple[int, int, str]:
    u, v, kind = name.split(",")
    return int(u), int(v), kind


def _dataset(
    found: Mapping[int, _Frame],
    numbers: np.ndarray,
    listed: Mapping[int, pd.DataFrame],
    renamed: Mapping[str, tuple[int, int, str]],
    crystal: Crystal,
    frame_s: float,
    classes: int,
) -> xr.Dataset:
    def named(name: str) -> str:
        u, v, kind = _split(name)
        du, dv, other = renamed.get(kind, (0, 0, kind))
        return f"{u + du},{v + dv},{other}"

    counted = Counter(name for frame in found.values() for name in frame.names)
    kept = [name for name, times in counted.items() if times >= LEAST_SHARE * len(found)]
    row_of = {name: row for row, name in enumerate(kept)}
    shape = len(kept), len(numbers)
    probability = np.full((*shape, classes), np.nan, np.float32)
    places = np.full((*shape, 2), np.nan)
    elements = np.zeros(len(kept), object)
    for place, frame in found.items():
        mine = np.array([row_of.get(name, -1) for name in frame.names])
        rows, here = mine[mine >= 0], mine >= 0
        probability[rows, place], places[rows, place] = frame.probabilities[here], frame.places[here]
        elements[rows] = frame.elements[here]
    names = np.array([named(name) for name in kept])
    seen = np.zeros(shape, bool)
    order = {name: row for row, name in enumerate(names)}
    for place, number in enumerate(numbers):
        table = listed.get(int(number))
        if table is not None:
            seen[[order[name] for name in table["column"] if name in order], place] = True
    text = {"units": "1", "long_name": "name of the lattice site"}
    kinds = _places_of(probability, places, crystal)
    return xr.Dataset(
        {
            "probability": (
                ("column", "frame", "class"),
                probability,
                {"units": "1", "long_name": "probability of each number of atoms"},
            ),
            "x_pm": (("column", "frame"), places[..., 0], {"units": "pm", "long_name": "place along the file's x"}),
            "y_pm": (("column", "frame"), places[..., 1], {"units": "pm", "long_name": "place along the file's y"}),
            "listed": (("column", "frame"), seen, {"units": "1", "long_name": "the prediction lists the column"}),
        },
        {
            "column": ("column", names, text),
            "element": ("column", elements.astype(str), {"units": "1", "long_name": "element that is counted"}),
            "place": ("column", kinds, {"units": "1", "long_name": "in the bulk, at the edge, in the vacuum"}),
            "frame": ("frame", numbers, {"units": "1", "long_name": "number of the frame in the file"}),
            "time_s": ("frame", numbers * frame_s, {"units": "s", "long_name": "start of the frame"}),
            "class": ("class", np.arange(classes), {"units": "atoms", "long_name": "number of atoms"}),
        },
        {"title": "columns followed through a film", "frame_s": frame_s},
    )


def _places_of(probability: np.ndarray, places: np.ndarray, crystal: Crystal) -> np.ndarray:
    """``PLACES`` of each site."""
    x, y, _ = crystal.periods_pm
    reach = NEIGHBOUR_SPACINGS * float(np.sqrt(x * y / len(crystal.columns)))
    holds = np.nanmean(probability @ np.arange(probability.shape[-1]), axis=1) >= HOLDS
    tree = cKDTree(np.nanmean(places, axis=1))
    around = tree.query_ball_point(tree.data, reach)
    full = np.array([holds[near].all() for near in around], bool)
    some = np.array([holds[near].any() for near in around], bool)
    return np.where(full, PLACES[0], np.where(some, PLACES[1], PLACES[2]))


def grouped(tracks: xr.Dataset) -> dict[tuple[str, str], np.ndarray]:
    """Rows of the tracks by element and place: those that share their rates."""
    key = list(zip(tracks["element"].values.tolist(), tracks["place"].values.tolist()))
    return {each: np.flatnonzero([one == each for one in key]) for each in dict.fromkeys(key)}
