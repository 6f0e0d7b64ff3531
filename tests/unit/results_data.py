"""A film as a prediction gives it to the writers of its results: a crystal with a vacuum, seen at an angle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import CERIA, RADII
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal, lattice_columns
from segdepth.crystals.elements import SYMBOLS
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.facts import FilmFacts, FrameResult
from segdepth.micrograph.results.maps import STORE, empty_maps
from segdepth.micrograph.results.writing import ResultWriter
from segdepth.store.zarr_store import write_zarr

GRID_PM = 21.0


def make_facts(shape=(60, 90), pixel_pm=12.0, frames=(3, 4, 6), crystal: Crystal = CERIA, **other) -> FilmFacts:
    given = {
        "source": "film of <b>ceria</b>.tif",
        "frames": frames,
        "transform": FrameTransform(shape, pixel_pm, GRID_PM, rotation_deg=7.0),
        "label_pixel_pm": GRID_PM,
        "classes": 11,
        "crystal": crystal,
        "labels": RADII,
        "network": {"name": "bundled"},
        "pixel_from": "the lattice",
        "pixel_error_pm": 0.03,
        "rotation_error_deg": 0.1,
        "energy_kev": 300.0,
        "exposure_s": 0.5,
        "times_s": tuple(0.5 * i for i in range(len(frames))),
        "dose_from": "the vacuum",
        "false_discovery": 0.01,
    }
    return FilmFacts(**(given | other))


def named_columns(crystal: Crystal, width_pm: float, height_pm: float) -> pd.DataFrame:
    """Places on the upright lattice with names and elements."""
    places = lattice_columns(crystal, width_pm, height_pm, (0.0, 0.0))
    kinds, seen = [], {}
    for column in crystal.columns:
        seen[column.element] = seen.get(column.element, 0) + 1
        kinds.append(f"{column.element}{seen[column.element]}")
    u = np.floor(places.x_pm / crystal.periods_pm[0]).astype(int)
    v = np.floor(places.y_pm / crystal.periods_pm[1]).astype(int)
    names = [f"{a},{b},{kinds[t]}" for a, b, t in zip(u, v, places.column_type)]
    elements = [SYMBOLS[n] for n in places.atomic_number]
    return pd.DataFrame({"column": names, "x_pm": places.x_pm, "y_pm": places.y_pm, "element": elements})


def make_frames(facts: FilmFacts, vacuum: float = 0.25, seed: int = 0, **other) -> Iterator[FrameResult]:
    """One result after the other: a wedge up to ``vacuum`` of the grid's rows, with drawn counts."""
    transform, crystal = facts.transform, facts.crystal
    rows, columns = transform.grid_shape
    lattice = named_columns(crystal, columns * GRID_PM, rows * GRID_PM)
    edge = (1 - vacuum) * rows * GRID_PM
    lattice = lattice[lattice["y_pm"] < edge].reset_index(drop=True)
    true = np.clip(np.ceil((edge - lattice["y_pm"].to_numpy()) / edge * 12), 1, None)
    x, y = transform.inverse(lattice["x_pm"].to_numpy(), lattice["y_pm"].to_numpy())
    here = (x > 0) & (x < facts.shape[1] * facts.pixel_pm) & (y > 0) & (y < facts.shape[0] * facts.pixel_pm)
    u, v = np.meshgrid((np.arange(columns) + 0.5) * GRID_PM, (np.arange(rows) + 0.5) * GRID_PM)
    distance, nearest = cKDTree(lattice[["x_pm", "y_pm"]]).query(np.stack([u.ravel(), v.ravel()], 1))
    a, b = transform.inverse(u, v)
    valid = (a >= 0) & (a < facts.shape[1] * facts.pixel_pm) & (b >= 0) & (b < facts.shape[0] * facts.pixel_pm)
    within = (distance < 90).reshape(rows, columns)
    py, px = ((np.arange(n) + 0.5) * facts.pixel_pm for n in facts.shape)
    gx, gy = transform.forward(px[None, :], py[:, None])
    gaps, _ = cKDTree(lattice[["x_pm", "y_pm"]]).query(np.stack([gx.ravel(), gy.ravel()], 1))
    clean = 1 + 0.4 * np.exp(-((gaps.reshape(facts.shape) / 60) ** 2)) - 0.1 * (gy < edge)
    for number in facts.frames:
        rng = np.random.default_rng((seed, number))
        drawn = np.clip(true + rng.integers(-1, 2, len(true)), 1, facts.classes - 1).astype(int)
        depth = np.where(within, drawn[nearest].reshape(rows, columns), 0)
        probabilities = np.exp(-((np.arange(facts.classes)[:, None, None] - depth) ** 2) / 1.5).astype(np.float32)
        probabilities *= rng.uniform(0.7, 1, probabilities.shape)
        probabilities /= probabilities.sum(0)
        table = pd.DataFrame(
            {
                "column": lattice["column"], "x_pm": x, "y_pm": y, "element": lattice["element"], "depth": drawn,
                "confidence": rng.uniform(0.4, 1, len(drawn)), "depth_low": np.maximum(drawn - 1, 0),
                "depth_high": np.minimum(drawn + 1, facts.classes - 1), "at_least": drawn == facts.classes - 1,
                "llr": rng.normal(20, 5, len(drawn)), "q_value": 10.0 ** -rng.uniform(2, 9, len(drawn)),
                "reliable": rng.random(len(drawn)) > 0.05,
            }
        )[here].reset_index(drop=True)  # fmt: skip
        level = 2.5
        given = {
            "number": number,
            "table": table,
            "probabilities": probabilities,
            "depth": probabilities.argmax(0).astype(np.uint8),
            "confidence": probabilities.max(0),
            "valid": valid,
            "counts": np.where(valid, rng.poisson(level, valid.shape) / level, np.nan).astype(np.float32),
            "image": (rng.poisson(level * clean) / level).astype(np.float32),
            "dose_e_per_a2": 400.0,
            "vacuum_level": level,
            "familiarity_numbers": {"dose": 0.1},
        }
        yield FrameResult(**(given | other))


def open_folder(folder: Path, facts: FilmFacts, file_grid: bool = False) -> ResultWriter:
    """A writer on a new folder with the empty store, as the step makes it."""
    folder.mkdir(parents=True)
    maps = empty_maps(facts, facts.transform.grid_shape, file_grid=file_grid)
    write_zarr(maps, folder / STORE, leading=("frame",), parameters={}, compute=False)
    return ResultWriter(folder, facts)
