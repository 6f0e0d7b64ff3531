"""A handful of test images with their estimates, kept for the figures in ``examples.zarr``.

On the image grid (example, y, x): ``intensity`` and ``noisy`` float32, vacuum = 1. On the label grid
(example, label_y, label_x): ``counts``, ``depth``, ``estimate`` uint8, ``weight``, ``confidence`` float32. Coordinates
of each example: ``structure``, ``defocus_nm``. Attributes: ``pixel_pm``, ``label_pixel_pm``, ``field_pm``,
``dose_lambda``, ``crystal`` (JSON of ``Crystal.to_dict()``) and ``labels`` (JSON of the labels block).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from segdepth.evaluation.noisy_images import Sample
from segdepth.labels.ownership import pixel_centres_pm

MAPS = {
    "intensity": ("1", "image intensity without noise, vacuum = 1", np.float32, ("y", "x")),
    "noisy": ("1", "image intensity with shot noise, vacuum = 1", np.float32, ("y", "x")),
    "counts": ("atoms", "atoms of the owning column that cover the pixel", np.uint8, ("label_y", "label_x")),
    "depth": ("atoms", "true smoothed depth", np.uint8, ("label_y", "label_x")),
    "weight": ("1", "loss weight", np.float32, ("label_y", "label_x")),
    "estimate": ("atoms", "estimated depth", np.uint8, ("label_y", "label_x")),
    "confidence": ("1", "probability of the estimated depth", np.float32, ("label_y", "label_x")),
}


MOST_EACH = 3
"""Structures, and defocus values of each, that are kept."""


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """``wanted`` positions among ``count``, first and last included; some repeat where there are fewer."""
    return [int(place) for place in np.linspace(0, count - 1, wanted).round()]


def _chosen(count: int) -> list[int]:
    return evenly_spaced(count, min(MOST_EACH, count))


def chosen_defoci(defocus_nm: tuple[float, ...]) -> list[int]:
    """Positions of the lowest, the middle and the highest defocus."""
    order = np.argsort(defocus_nm)
    return [int(order[p]) for p in _chosen(len(defocus_nm))]


class Examples:
    """Keeps the images of up to three structures at up to three defocus values."""

    def __init__(self, structures: list[int], defocus_nm: tuple[float, ...]) -> None:
        defoci = chosen_defoci(defocus_nm)
        self._rank = {
            (structures[s], d): i for i, (s, d) in enumerate((s, d) for s in _chosen(len(structures)) for d in defoci)
        }
        self._kept: dict[int, tuple[Sample, dict[str, np.ndarray]]] = {}

    def offer(self, sample: Sample, probabilities: np.ndarray) -> None:
        """Keep the image if it is one of those chosen; ``probabilities`` (class, y, x)."""
        rank = self._rank.get((sample.structure, sample.defocus))
        if rank is None:
            return
        given = {name: getattr(sample, name) for name in ("intensity", "noisy", "counts", "weight")}
        given |= {"depth": sample.truth.depth, "estimate": probabilities.argmax(0), "confidence": probabilities.max(0)}
        self._kept[rank] = (sample, {name: given[name].astype(kind) for name, (_, _, kind, _) in MAPS.items()})

    def dataset(self, attributes: dict[str, Any]) -> xr.Dataset:
        """The examples, ordered by structure, then defocus."""
        samples, maps = zip(*(self._kept[rank] for rank in sorted(self._kept)))
        variables = {
            name: (("example", *dims), np.stack([m[name] for m in maps]), {"units": unit, "long_name": text})
            for name, (unit, text, _, dims) in MAPS.items()
        }
        coords = {
            "structure": ("example", [s.structure for s in samples], {"units": "1", "long_name": "index in the plan"}),
            "defocus_nm": ("example", [s.defocus_nm for s in samples], {"units": "nm", "long_name": "defocus C1"}),
        }
        for grid, prefix, pixel in (("image", "", "pixel_pm"), ("label", "label_", "label_pixel_pm")):
            side = maps[0]["depth" if prefix else "noisy"].shape[0]
            for axis in ("y", "x"):
                units = {"units": "pm", "long_name": f"pixel centre along {axis}, {grid} grid"}
                coords[prefix + axis] = (prefix + axis, pixel_centres_pm(side, attributes[pixel]), units)
        return xr.Dataset(variables, coords=coords, attrs={"title": "examples for figures", **attributes})
