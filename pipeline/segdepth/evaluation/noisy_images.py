"""The noisy test images, one by one, with their ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from segdepth.config import Labels
from segdepth.config.data_format import DataFormat
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.evaluation.ground_truth import GroundTruth, ground_truth_of
from segdepth.labels.depth import read_columns
from segdepth.seeds import structure_rng
from segdepth.simulation.detector import add_shot_noise, electrons_per_pixel


@dataclass(frozen=True)
class Sample:
    """One image: ``noisy`` and ``intensity`` [y, x] on the image grid (vacuum = 1), ``counts`` and ``weight`` [y, x] on
    the label grid; ``structure`` is the index in the plan, ``place`` its position among the test structures,
    ``defocus`` the position of ``defocus_nm`` among the stored values."""

    place: int
    structure: int
    defocus: int
    defocus_nm: float
    intensity: np.ndarray
    noisy: np.ndarray
    counts: np.ndarray
    weight: np.ndarray
    truth: GroundTruth


class NoisyImages:
    """The images of some structures; reads one structure at a time.

    Parameters
    ----------
    images, depth : shards as ``form-images`` and ``project-depth`` store them, in one order. Pixels, field, defocus
        values, camera, specimen, seed, crystal and labels are read from their attributes.
    structures : indices in the plan.

    Raises
    ------
    StoreError
        The shards do not belong together or lack one of the structures.
    """

    def __init__(self, images: Sequence[xr.Dataset], depth: Sequence[xr.Dataset], structures: Sequence[int]) -> None:
        if not structures:
            raise StoreError("no structures are left to evaluate: the test split is empty")
        if not images or len(images) != len(depth):
            raise StoreError(
                f"needs one depth store for each images store, got {len(images)} images and {len(depth)} depth"
            )
        self.structures = sorted(set(structures))
        self._shards = _belonging(images, depth, self.structures)
        picture, truth = self._shards[0]
        self.pixel_pm = float(_attribute(picture, "pixel_pm"))
        self.label_pixel_pm = float(_attribute(truth, "pixel_pm"))
        self.field_pm, self.pixels = _field_pm(truth), picture.sizes["x"]
        self.defocus_nm = _defocus_nm(picture)
        self.detection_efficiency = float(_attribute(picture, "detection_efficiency"))
        self.specimen, self.root_seed = str(_attribute(truth, "specimen")), int(_attribute(truth, "root_seed"))
        self.crystal = Crystal.from_dict(json.loads(_attribute(truth, "crystal")))
        self.labels = Labels.model_validate_json(_attribute(truth, "labels"))

    @property
    def format(self) -> DataFormat:
        """The inputs and outputs that a network must have."""
        return DataFormat(
            image_pixel_pm=self.pixel_pm,
            label_pixel_pm=self.label_pixel_pm,
            image_pixels=self.pixels,
            labels=self.labels,
            classes=self.labels.classes,
            crystal=self.crystal.to_dict(),
        )

    def __len__(self) -> int:
        return len(self.structures) * len(self.defocus_nm)

    def samples(self, dose_lambda: float) -> Iterator[Sample]:
        """Every image with its noise, which depends on root seed, specimen, structure and defocus only."""
        electrons = electrons_per_pixel(dose_lambda, self.pixel_pm, self.detection_efficiency)
        place_of = {index: place for place, index in enumerate(self.structures)}
        for picture, shard in self._shards:
            row_of = {int(i): row for row, i in enumerate(shard["structure"].values)}
            for row, index in enumerate(int(i) for i in picture["structure"].values):
                if index not in place_of:
                    continue
                maps = {name: shard[name][row_of[index]].values for name in ("depth", "counts", "weight")}
                columns = read_columns(shard, index)
                truth = ground_truth_of(maps.pop("depth"), columns, self.labels, self.crystal.elements)
                for defocus, value in enumerate(self.defocus_nm):
                    clean = picture["intensity"][row, defocus].values
                    rng = structure_rng(self.root_seed, self.specimen, index, "noise", defocus)
                    recorded = add_shot_noise(clean, electrons, rng)
                    yield Sample(place_of[index], index, defocus, value, clean, recorded, truth=truth, **maps)


def _belonging(
    images: Sequence[xr.Dataset], depth: Sequence[xr.Dataset], structures: Sequence[int]
) -> list[tuple[xr.Dataset, xr.Dataset]]:
    """The shards that hold some of the structures; they must agree in what is true of all."""
    wanted, found, shards = set(structures), set(), []
    first: tuple | None = None
    for picture, truth in zip(images, depth):
        here = {int(i) for i in picture["structure"].values}
        if here != {int(i) for i in truth["structure"].values}:
            raise StoreError(f"{_name(picture)} and {_name(truth)}: do not hold the same structures")
        facts = _facts(picture, truth)
        first = first or facts
        if facts != first:
            raise StoreError(
                f"{_name(picture)}: pixel, labels, specimen or defocus values differ from those of {_name(images[0])}"
            )
        if here & wanted:
            shards.append((picture, truth))
            found |= here & wanted
    if missing := sorted(wanted - found):
        raise StoreError(
            f"{len(missing)} of {len(wanted)} structures to evaluate are in none of the {len(images)} shards, "
            f"the first is {missing[0]}"
        )
    return shards


def _attribute(store: xr.Dataset, key: str) -> Any:
    if key not in store.attrs:
        raise StoreError(f"{_name(store)}: has no attribute {key!r}, which an evaluation needs")
    return store.attrs[key]


def _field_pm(store: xr.Dataset) -> float:
    field = _attribute(store, "field_pm")
    if np.ndim(field):
        raise StoreError(f"{_name(store)}: its field is {field} pm; an evaluation needs a square one")
    return float(field)


def _name(store: xr.Dataset) -> str:
    """Where a shard was read from."""
    return str(store.encoding.get("source", store.attrs.get("title", "a shard")))


def _defocus_nm(picture: xr.Dataset) -> tuple[float, ...]:
    return tuple(round(float(d), 9) for d in np.atleast_2d(picture["defocus_nm"].values)[0])


def _facts(picture: xr.Dataset, truth: xr.Dataset) -> tuple:
    """What must agree among shards."""
    defocus = np.atleast_2d(picture["defocus_nm"].values)
    if not np.allclose(defocus, defocus[0]):
        raise StoreError(f"{_name(picture)}: its structures have different defocus values")
    field = _field_pm(truth)
    if abs(field - _field_pm(picture)) > 1e-6 * field:
        raise StoreError(
            f"{_name(picture)}: its field is {picture.attrs['field_pm']:g} pm, that of the depth maps {field:g} pm"
        )
    for key in ("specimen", "root_seed"):
        if _attribute(picture, key) != _attribute(truth, key):
            raise StoreError(
                f"{_name(picture)} and {_name(truth)}: are of another {key} ({_attribute(picture, key)} and "
                f"{_attribute(truth, key)})"
            )
    pixels = float(_attribute(picture, "pixel_pm")), float(_attribute(truth, "pixel_pm"))
    given = tuple(json.dumps(json.loads(_attribute(truth, key)), sort_keys=True) for key in ("labels", "crystal"))
    counted = float(_attribute(picture, "detection_efficiency"))
    owner = _attribute(truth, "specimen"), int(_attribute(truth, "root_seed"))
    return (*pixels, field, picture.sizes["x"], _defocus_nm(picture), counted, *owner, *given)
