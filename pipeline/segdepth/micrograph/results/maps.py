"""``prediction.zarr``: maps on the network's own grid, upright, with the affine map to the file's pixels.

=============== ======= =========================== ============================================================
variable        type    dimensions                  meaning
=============== ======= =========================== ============================================================
probabilities   float16 frame, class, row, column   of 0, 1, … atoms and, where the labels have ``more``, of more than
                                                    the largest count with a class; NaN where not valid
depth           uint8   frame, row, column          most probable number of atoms (SegDepth eq. 4); 255 if not valid
confidence      float32 frame, row, column          its probability (eq. 5); NaN where not valid
valid           bool    frame, row, column          False outside of the file's frame and where it was masked
counts          float32 frame, input_row,           what the network saw, vacuum = 1; NaN where not valid
                        input_column
file_depth      uint8   frame, y, x                 on request: depth on the file's own pixels, from bilinear
                                                    probabilities; 255 where not valid
file_confidence float32 frame, y, x                 on request: its probability; NaN where not valid
frame           int32   frame                       number of the frame in the file
dose            float64 frame                       e⁻/Å²; NaN for a lost frame, as in the next line
vacuum_level    float64 frame                       electrons per pixel of the file in vacuum
familiarity     uint8   frame                       place among the attribute ``familiarity_levels``; 255 if lost
reliable        bool    frame                       False where the frame is outside of what the network has learnt
lost            bool    frame                       True if the frame could not be read; its maps are not valid
=============== ======= =========================== ============================================================

``row``, ``column`` are centres of label pixels in pm from the corner of the network's grid, ``input_row`` and
``input_column`` those of the network's input pixels from the same corner.

====================== ===================================================================================
attribute              meaning
====================== ===================================================================================
``affine_to_file_pm``  2 × 3, [[a, b, c], [d, e, f]]: x_file = a x + b y + c, y_file = d x + e y + f, where x
                       is a column's and y a row's place; in pm from the corner of the file's pixel [0, 0],
                       x_file along its axis 1
``affine_to_grid_pm``  the way back
``file_shape``         rows and columns of the file
``pixel_pm``           side of the file's pixel; ``label_pixel_pm`` and ``input_pixel_pm`` of the grids
``rotation_deg``,      the turn that is part of the affine map, see ``segdepth.micrograph.geometry``
``flip``
``energy_kev``         of the file, or None; ``source``, ``image``: which file
``classes``            number of depth classes; ``last_class``: what the last one is, in words
``invalid_depth``      255
``crystal``, ``labels``, ``network``  JSON
``warnings``           lines
====================== ===================================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numpy as np
import torch
import xarray as xr
import zarr
from numcodecs import zstd

from segdepth.labels.column_depths import confidence_of, name_of_last
from segdepth.micrograph.results.facts import FAMILIARITY, FilmFacts, FrameResult
from segdepth.micrograph.results.file_grid import affine_matrices, on_file_grid

STORE = "prediction.zarr"
INVALID_DEPTH = 255
ZSTD_LEVEL = 1
_MAPS = ("probabilities", "depth", "confidence", "valid", "counts")
_PER_FRAME = {
    "dose": (np.float64, "e-/A^2", "electron dose"),
    "vacuum_level": (np.float64, "electrons", "electrons per pixel of the file in vacuum"),
    "familiarity": (np.uint8, "1", "place among the attribute familiarity_levels, 255 where lost"),
    "reliable": (np.bool_, "1", "the frame lies within what the network has learnt"),
    "lost": (np.bool_, "1", "the frame could not be read"),
}


def maps_attributes(facts: FilmFacts) -> dict[str, Any]:
    """The attributes."""
    to_file, to_grid = affine_matrices(facts.transform)
    return {
        "title": "depth maps of a micrograph",
        "source": facts.source,
        "image": facts.image,
        "affine_to_file_pm": to_file,
        "affine_to_grid_pm": to_grid,
        "file_shape": list(facts.shape),
        "pixel_pm": facts.pixel_pm,
        "label_pixel_pm": facts.label_pixel_pm,
        "input_pixel_pm": facts.transform.grid_pixel_pm,
        "rotation_deg": facts.transform.rotation_deg,
        "flip": int(facts.transform.flip),
        "energy_kev": facts.energy_kev,
        "classes": facts.classes,
        "last_class": name_of_last(facts.classes, facts.more),
        "invalid_depth": INVALID_DEPTH,
        "familiarity_levels": list(FAMILIARITY),
        "crystal": json.dumps(facts.crystal.to_dict(), sort_keys=True),
        "labels": json.dumps(dict(facts.labels), sort_keys=True),
        "network": json.dumps(dict(facts.network), sort_keys=True),
        "warnings": list(facts.warnings),
    }


def empty_maps(facts: FilmFacts, label_shape: tuple[int, int], *, file_grid: bool = False) -> xr.Dataset:
    """The data set with coordinates and attributes, whose maps are lazy and hold nothing but their fill values, which
    are in each one's ``encoding``; to be written with ``write_zarr(..., leading=("frame",), compute=False)``.

    Parameters
    ----------
    label_shape : rows and columns of the network's output.
    file_grid : with ``file_depth`` and ``file_confidence``.
    """
    input_shape, (height, width) = facts.transform.grid_shape, facts.shape
    sizes = dict(zip(("row", "column", "input_row", "input_column"), (*label_shape, *input_shape)))
    sizes |= {"frame": len(facts.frames), "class": facts.classes, "y": height, "x": width}

    def empty(kind: type, fill: float, unit: str, text: str, *dims: str) -> xr.Variable:
        values = da.full([sizes[dim] for dim in dims], fill, dtype=kind, chunks=-1)
        return xr.Variable(dims, values, {"units": unit, "long_name": text}, {"fill_value": fill})

    def centres(dim: str, pixel_pm: float, text: str) -> xr.Variable:
        return xr.Variable(dim, (np.arange(sizes[dim]) + 0.5) * pixel_pm, {"units": "pm", "long_name": text})

    labels, inputs, file = ("frame", "row", "column"), ("frame", "input_row", "input_column"), ("frame", "y", "x")
    nan, of_label = float("nan"), "centre of a label pixel on the network's grid"
    maps = {
        "probabilities": empty(np.float16, nan, "1", "probability of each depth", "frame", "class", *labels[1:]),
        "depth": empty(np.uint8, INVALID_DEPTH, "atoms", "depth, 255 where not valid", *labels),
        "confidence": empty(np.float32, nan, "1", "probability of the depth", *labels),
        "valid": empty(np.bool_, False, "1", "in the frame and not masked", *labels),
        "counts": empty(np.float32, nan, "1", "what the network saw, vacuum = 1", *inputs),
    }
    coords = {
        "class": xr.Variable("class", np.arange(facts.classes), {"units": "atoms", "long_name": "depth"}),
        "row": centres("row", facts.label_pixel_pm, of_label),
        "column": centres("column", facts.label_pixel_pm, of_label),
        "input_row": centres("input_row", facts.transform.grid_pixel_pm, "centre of an input pixel"),
        "input_column": centres("input_column", facts.transform.grid_pixel_pm, "centre of an input pixel"),
    }
    if file_grid:
        maps["file_depth"] = empty(np.uint8, INVALID_DEPTH, "atoms", "depth on the file's pixels", *file)
        maps["file_confidence"] = empty(np.float32, nan, "1", "probability of the depth, on the file's pixels", *file)
        coords |= {dim: centres(dim, facts.pixel_pm, f"pixel centre along the file's {dim}") for dim in "yx"}
    numbers = np.asarray(facts.frames, np.int32)
    coords["frame"] = xr.Variable("frame", numbers, {"units": "1", "long_name": "number of the frame in the file"})
    for name, (kind, unit, text) in _PER_FRAME.items():
        coords[name] = xr.Variable("frame", np.zeros(len(numbers), kind), {"units": unit, "long_name": text})
    return xr.Dataset(maps, coords, maps_attributes(facts))


def dose_of(maps: xr.Dataset) -> float:
    """Electrons per Å² of the middle one of the frames; NaN where that of none is known."""
    known = maps["dose"].values[maps["dose"].values > 0]
    return float(np.median(known)) if known.size else float("nan")


class MapsWriter:
    """Fills the store that ``empty_maps`` describes.

    A frame's map is one chunk, a file of its own, which is encoded and written here: Zarr's own way takes 2 ms a chunk.
    """

    def __init__(self, store: Path, facts: FilmFacts) -> None:
        self._store, self._facts = store, facts
        self._group = zarr.open_group(store, mode="r+")
        self._arrays = dict(self._group.arrays())
        self._file_grid = "file_depth" in self._arrays
        for name in _MAPS:
            codecs = [type(codec).__name__ for codec in self._arrays[name].metadata.codecs]
            if codecs != ["BytesCodec", "ZstdCodec", "Crc32cCodec"]:
                raise AssertionError(f"{name}: chunks are written as zstd with a checksum, the store has {codecs}")
        count = len(facts.frames)
        self._per_frame = {name: np.zeros(count, kind) for name, (kind, *_) in _PER_FRAME.items()}
        self._per_frame["dose"][:] = self._per_frame["vacuum_level"][:] = np.nan
        self._per_frame["familiarity"][:], self._per_frame["lost"][:] = INVALID_DEPTH, True

    def _write(self, name: str, place: int, values: np.ndarray) -> None:
        shape, dtype = self._arrays[name].shape[1:], self._arrays[name].dtype
        if (values.shape, values.dtype) != (shape, dtype):
            raise ValueError(f"{name}: got {values.dtype} {values.shape}, the store has {dtype} {shape}")
        data = zstd.compress(np.ascontiguousarray(values), ZSTD_LEVEL)
        folder = self._store.joinpath(name, "c", str(place), *["0"] * (values.ndim - 1))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "0").write_bytes(data + google_crc32c.value(data).to_bytes(4, "little"))

    def put(self, place: int, result: FrameResult) -> None:
        """Write the frame at ``place`` of the dimension ``frame``."""
        valid = np.asarray(result.valid, bool)
        half = torch.from_numpy(np.ascontiguousarray(result.probabilities, np.float32)).half().numpy()
        np.copyto(half, np.float16(np.nan), where=~valid)
        self._write("probabilities", place, half)
        self._write("depth", place, np.where(valid, result.depth, INVALID_DEPTH).astype(np.uint8, copy=False))
        self._write("confidence", place, np.where(valid, result.confidence, np.float32(np.nan)).astype(np.float32))
        self._write("valid", place, valid)
        self._write("counts", place, result.counts.astype(np.float32, copy=False))
        if self._file_grid:
            depth, confidence = on_file_grid(result.probabilities, self._facts.transform, self._facts.label_pixel_pm)
            confidence = confidence_of(depth, confidence, self._facts.classes, self._facts.more)
            usable = np.isfinite(result.image)
            self._write("file_depth", place, np.where(usable, depth, np.uint8(INVALID_DEPTH)))
            self._write("file_confidence", place, np.where(usable, confidence, np.float32(np.nan)))
        found = self._per_frame
        found["dose"][place], found["vacuum_level"][place] = result.dose_e_per_a2, result.vacuum_level
        found["familiarity"][place] = FAMILIARITY.index(result.familiarity)
        found["reliable"][place], found["lost"][place] = result.reliable, False

    def close(self, warnings: tuple[str, ...]) -> None:
        """Write what belongs to each frame, and the warnings."""
        for name, values in self._per_frame.items():
            self._arrays[name][:] = values
        self._group.attrs["warnings"] = list(warnings)
