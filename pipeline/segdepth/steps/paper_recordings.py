"""What ``tabulate-paper`` reads of predicted micrographs (Figs. 10 and 11)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segdepth.errors import StoreError
from segdepth.evaluation.paper_recordings import Boundary, RecordedColumns, places_table
from segdepth.evaluation.recorded_columns import true_columns
from segdepth.micrograph.results.maps import STORE
from segdepth.micrograph.results.tables import CSV
from segdepth.steps.measure_gradients import GRADIENTS
from segdepth.steps.written_tables import read_table
from segdepth.store.manifest import check_whole, manifest_path, read_manifest
from segdepth.store.zarr_store import open_zarr


@dataclass(frozen=True)
class Recording:
    """A simulated micrograph: ``key`` is root seed, specimen and index in the plan of what it shows."""

    path: Path
    key: tuple[int, str, int]
    pixel_pm: float
    dose_lambda: float


def recording_of(prediction: Path) -> Recording | None:
    """The simulated micrograph that a prediction is of; None where it is of another file.

    Raises
    ------
    StoreError
        The prediction is missing or damaged.
    """
    for given in check_whole(prediction, "predict-micrograph")["inputs"]:
        path = prediction.parent / given["path"]
        if not manifest_path(path).exists():
            continue
        made = read_manifest(path)
        if made["command"] == "record-micrograph":
            facts, seeds = made["parameters"], made["seeds"]
            key = int(seeds["root_seed"]), str(seeds["specimen"]), int(facts["structure"])
            return Recording(path, key, float(facts["micrograph"]["pixel_pm"]), float(facts["dose_lambda"]))
    return None


def recorded_columns(prediction: Path, recording: Recording, depth: Sequence[Path]) -> RecordedColumns:
    """Listed and true columns of the prediction of a simulated micrograph.

    Raises
    ------
    StoreError
        A store is missing or damaged, or no shard of ``depth`` holds the structure.
    """
    check_whole(recording.path, "record-micrograph")
    pixel = recording.pixel_pm
    with open_zarr(prediction, "predict-micrograph", part=STORE) as store:
        height, width = (int(side) for side in store.attrs["file_shape"])
        more, classes = json.loads(store.attrs["labels"]).get("more"), int(store.attrs["classes"])
        model = json.loads(store.attrs["network"])["name"]
    listed = read_table(prediction / CSV)
    listed = listed.assign(x_pm=listed["x_px"] * pixel, y_pm=listed["y_px"] * pixel)
    for path in depth:
        with open_zarr(path, "project-depth") as labels:
            same = (int(labels.attrs["root_seed"]), labels.attrs["specimen"]) == recording.key[:2]
            if same and recording.key[2] in labels["structure"].values:
                true = true_columns(labels, recording.key[2], pixel, (height, width))
                top, size = classes - 1 if more else None, (height * pixel, width * pixel)
                return RecordedColumns(model, recording.dose_lambda, listed, true, top, size)
    raise StoreError(
        f"{recording.path}: shows structure {recording.key[2]} of {recording.key[1]!r}, which none of the shards of "
        "depth maps holds; give the one that does: --depth"
    )


def boundary_of(folder: Path) -> Boundary:
    """What ``measure-boundary`` wrote.

    Raises
    ------
    StoreError
        It is missing or damaged.
    """
    with open_zarr(folder, "measure-boundary", part=GRADIENTS) as store:
        return Boundary(str(store.attrs["model"]), float(store["lambda"].values[0]), places_table(store.load()))
