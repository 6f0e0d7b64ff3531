"""``depth.hspy``: depth on the file's own pixels as a HyperSpy signal, axes (frame, y, x) in nm; NaN where not valid.
Each layer has such a file of its own.

RosettaSciIO writes the file with an empty signal; chunks of one frame are then put into its place.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from rsciio.hspy import file_writer

from segdepth.micrograph.results.facts import FilmFacts, Layer

HSPY = "depth.hspy"
DEPTH = Layer("depth", "depth", "atoms")


def _signal(facts: FilmFacts, layer: Layer) -> dict[str, object]:
    """What RosettaSciIO takes; its data are a placeholder."""
    (height, width), pixel, step = facts.shape, facts.pixel_pm / 1000, facts.frame_step_s
    sides = [("frame", len(facts.frames), step or 1.0, "s" if step else ""), ("y", height, pixel, "nm")]
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "size": size,
            "scale": scale,
            "offset": pixel / 2 if unit == "nm" else 0.0,
            "units": unit,
            "navigate": name == "frame",
            "is_binned": False,
            "index_in_array": place,
        }
        for place, (name, size, scale, unit) in enumerate([*sides, ("x", width, pixel, "nm")])
    ]
    return {
        "data": np.zeros((1, 1, 1), np.float32),
        "axes": axes,
        "metadata": {
            "General": {"title": layer.name, "original_filename": facts.name},
            "Signal": {"signal_type": "", "quantity": layer.label},
            "_HyperSpy": {},
        },
        "original_metadata": {
            "segdepth": {"crystal": facts.crystal.title, "not_valid": "NaN", "classes": facts.classes}
            | ({"warning": facts.stamp} if facts.stamp else {})
        },
        "package_info": {"package": "segdepth", "package_version": ""},
        "attributes": {"_lazy": False},
        "tmp_parameters": {},
        "learning_results": {},
        "models": {},
    }


class HspyWriter:
    """Puts one frame after the other into the file."""

    def __init__(self, folder: Path, facts: FilmFacts, layer: Layer = DEPTH) -> None:
        path = folder / f"{layer.name}.hspy"
        file_writer(str(path), _signal(facts, layer), compression=None, close_file=True)
        self._file = h5py.File(path, "r+")
        group = self._file["Experiments"][layer.name]
        del group["data"]
        self._data = group.create_dataset(
            "data",
            (len(facts.frames), *facts.shape),
            np.dtype("<f4"),
            chunks=(1, *facts.shape),
            compression="gzip",
            fillvalue=np.nan,
        )

    def put(self, place: int, plane: bytes) -> None:
        """Write the deflated plane of the frame at a place; a frame that is never put is NaN."""
        self._data.id.write_direct_chunk((place, 0, 0), plane)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
