"""Columns at the surface that gain and lose atoms over time: which ones, how fast, and what they hold when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

EMPTY_PM = 300.0
"""A place further than this from every column is vacuum: no place between columns of a crystal is."""

GRID_PM = 50.0


def vacuum_distance(columns: pd.DataFrame, field_pm: float | Sequence[float]) -> np.ndarray:
    """Distance of each column to the nearest place without columns, pm; infinite where the field has none.

    Parameters
    ----------
    columns : ``x_pm``, ``y_pm`` of ``specimen.columns.column_table``, also some way outside of the field.
    field_pm : side of the field, or its sides along x and y.
    """
    x, y = (np.arange(GRID_PM / 2, side, GRID_PM) for side in np.broadcast_to(field_pm, 2))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    places = columns[["x_pm", "y_pm"]].to_numpy(float)
    if not len(places):
        return np.zeros(0)
    empty = grid[cKDTree(places).query(grid)[0] > EMPTY_PM]
    if not len(empty):
        return np.full(len(places), np.inf)
    return np.maximum(cKDTree(empty).query(places)[0] - EMPTY_PM, 0)


def draw_changing(
    columns: pd.DataFrame,
    elements: Sequence[int],
    field_pm: float | Sequence[float],
    *,
    each: int,
    reach_pm: float,
    edge_pm: float,
    most_atoms: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rows of ``columns`` that change: up to ``each`` of every element, rising.

    They stand ``edge_pm`` inside the field and no further than ``reach_pm`` from the vacuum, and hold 1 to
    ``most_atoms - 1`` atoms.

    Parameters
    ----------
    columns : ``x_pm``, ``y_pm``, ``element`` (atomic number), ``atoms``. elements : atomic numbers.
    """
    sides = np.broadcast_to(field_pm, 2)
    inside = [columns[f"{axis}_pm"].between(edge_pm, side - edge_pm) for axis, side in zip("xy", sides)]
    near = vacuum_distance(columns, field_pm) <= reach_pm
    can = near & (inside[0] & inside[1] & columns["atoms"].between(1, most_atoms - 1)).to_numpy()
    drawn = []
    for element in elements:
        mine = np.flatnonzero(can & (columns["element"] == element).to_numpy())
        drawn.append(rng.choice(mine, min(each, len(mine)), replace=False))
    return np.sort(np.concatenate(drawn)).astype(int)


def markov_steps(dwell_s: np.ndarray, frame_s: float, frames: int, rng: np.random.Generator) -> np.ndarray:
    """What each column holds in each frame less what it holds by itself, int8 (column, frame): -1, 0 or 1.

    A chain in continuous time, seen at the start of each frame: a column leaves its state at the rate 1/dwell, from
    0 to -1 or 1 alike, from these to 0. It starts in its stationary distribution: 0 half of the time. A frame shows
    what the column holds at its start; what changes within a frame is seen in the next one.

    Parameters
    ----------
    dwell_s : mean time in a state, (column,).
    """
    end = frame_s * (frames - 1)
    steps = np.zeros((len(dwell_s), frames), np.int8)
    times = frame_s * np.arange(frames)
    for row, dwell in enumerate(dwell_s):
        state = int(rng.choice((-1, 0, 0, 1)))
        when, states = [0.0], [state]
        while when[-1] <= end:
            when.append(when[-1] + rng.exponential(dwell))
            state = 0 if state else int(rng.choice((-1, 1)))
            states.append(state)
        steps[row] = np.array(states)[np.searchsorted(when, times, side="right") - 1]
    return steps
