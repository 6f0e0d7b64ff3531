"""The noisy test images, one by one, with what is true of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from segdepth.config import Labels
from segdepth.errors import StoreError
from segdepth.evaluation.ground_truth import GroundTruth, ground_truth_of
from segdepth.labels.depth import read_columns
from segdepth.seeds import structure_rng
from segdepth.simulation.detector import electrons_per_pixel, noisy
from segdepth.store.zarr_store import open_zarr


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


class TestSet:
    """The images of some structures in a list of shards; reads one structure at a time.

    Raises
    ------
    StoreError
        The shards do not belong together or do not hold a structure that is asked for.
    """

    __test__ = False  # not a test, whatever pytest thinks of its name

    def __init__(self, images: Sequence[Path], depth: Sequence[Path], structures: Sequence[int]) -> None:
        if not structures:
            raise StoreError("no structures are left to evaluate: the test split is empty")
        if not images or len(images) != len(depth):
            raise StoreError(
                f"needs one depth store for each images store, got {len(images)} images and {len(depth)} depth"
            )
        self.structures = sorted(set(structures))
        wanted, found = set(self.structures), set()
        self._shards: list[tuple[Path, Path]] = []
        first: tuple | None = None
        for one, other in zip(images, depth):
            with open_zarr(one, "form-images") as picture, open_zarr(other, "project-depth") as truth:
                here = {int(i) for i in picture["structure"].values}
                if here != {int(i) for i in truth["structure"].values}:
                    raise StoreError(f"{one} and {other}: do not hold the same structures")
                facts = _facts(picture, truth, one)
                first = first or facts
                if facts != first:
                    raise StoreError(f"{one}: pixel, labels or defocus values differ from those of {images[0]}")
            if here & wanted:
                self._shards.append((Path(one), Path(other)))
                found |= here & wanted
        if wanted - found:
            missing = sorted(wanted - found)
            raise StoreError(
                f"{len(missing)} of {len(wanted)} structures to evaluate are in none of the {len(images)} shards, "
                f"the first is {missing[0]}"
            )
        self.pixel_pm, self.label_pixel_pm, self.field_pm, self.pixels, self.defocus_nm, labels = first[:6]
        self.detection_efficiency = first[6]
        self.labels = Labels.model_validate_json(labels)

    def __len__(self) -> int:
        return len(self.structures) * len(self.defocus_nm)

    def samples(self, dose_lambda: float, specimen_name: str, root_seed: int) -> Iterator[Sample]:
        """Every image with its noise, which depends on the structure and the defocus only."""
        electrons = electrons_per_pixel(dose_lambda, self.pixel_pm, self.detection_efficiency)
        place_of = {index: place for place, index in enumerate(self.structures)}
        for one, other in self._shards:
            with ExitStack() as stack:
                picture, truth = (stack.enter_context(open_zarr(path)) for path in (one, other))
                row_of = {int(i): row for row, i in enumerate(truth["structure"].values)}
                for row, index in enumerate(int(i) for i in picture["structure"].values):
                    if index not in place_of:
                        continue
                    maps = {name: truth[name][row_of[index]].values for name in ("depth", "counts", "weight")}
                    truth = ground_truth_of(
                        maps.pop("depth"), read_columns(truth, index), self.label_pixel_pm, self.labels.core_radius_pm
                    )
                    for defocus, value in enumerate(self.defocus_nm):
                        clean = picture["intensity"][row, defocus].values
                        rng = structure_rng(root_seed, specimen_name, index, "noise", defocus)
                        recorded = noisy(clean, electrons, rng)
                        yield Sample(place_of[index], index, defocus, value, clean, recorded, truth=truth, **maps)


def _facts(picture: xr.Dataset, truth: xr.Dataset, path: Path) -> tuple:
    """What must agree among shards: pixels (pm), field (pm), pixels a side, defocus values (nm), labels block."""
    defocus = np.atleast_2d(picture["defocus_nm"].values)
    if not np.allclose(defocus, defocus[0]):
        raise StoreError(f"{path}: its structures have different defocus values")
    field = float(truth.attrs["field_pm"])
    if abs(field - float(picture.attrs["field_pm"])) > 1e-6 * field:
        raise StoreError(f"{path}: its field is {picture.attrs['field_pm']:g} pm, that of the depth maps {field:g} pm")
    labels = json.dumps(json.loads(truth.attrs["parameters"])["labels"], sort_keys=True)
    pixels = (picture.attrs["pixel_pm"], truth.attrs["pixel_pm"])
    counted = float(picture.attrs["detection_efficiency"])
    return (
        *map(float, pixels),
        field,
        picture.sizes["x"],
        tuple(round(float(d), 9) for d in defocus[0]),
        labels,
        counted,
    )
