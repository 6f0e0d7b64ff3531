"""``depth.ome.tif``: depth, confidence and counts on the file's own pixels, so that they lie on the micrograph.

OME-TIFF, float32, axes TCYX, one page a plane, deflated; NaN where not valid, and everywhere in a lost frame. Depth and
confidence are those of the nearest pixel of the network. Layers follow as further channels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile
from isal import isal_zlib

from segdepth.micrograph.results.facts import FilmFacts

TIFF = "depth.ome.tif"
CHANNELS = ("depth (atoms)", "confidence", "counts (vacuum = 1)")


def deflated(plane: np.ndarray) -> bytes:
    """A float32 plane as the deflate stream that TIFF and HDF5 share."""
    return isal_zlib.compress(np.ascontiguousarray(plane, "<f4"), 1)


def channels_of(facts: FilmFacts) -> list[str]:
    """Names of the channels."""
    return [*CHANNELS, *(layer.label for layer in facts.layers)]


def ome_xml(facts: FilmFacts) -> bytes:
    """The OME-XML of the file: sizes in nm, names of the channels, the time between frames where it is known. Its
    UUID is made from what is known of the film and the network, so that the same prediction has the same bytes."""
    count, (height, width), pixel = len(facts.frames), facts.shape, facts.pixel_pm / 1000
    channels = channels_of(facts)
    text: dict[str, object] = {
        "Name": f"{facts.name} ({facts.stamp})" if facts.stamp else facts.name,
        "PhysicalSizeX": pixel,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": pixel,
        "PhysicalSizeYUnit": "nm",
        "Channel": {"Name": channels},
    }
    if facts.frame_step_s is not None:
        text |= {"TimeIncrement": facts.frame_step_s, "TimeIncrementUnit": "s"}
    known = json.dumps([text, list(map(int, facts.frames)), facts.shape, dict(facts.network)], default=str)
    made = tifffile.OmeXml(Creator="SegDepth", UUID=str(uuid5(NAMESPACE_OID, known)))
    pages = count * len(channels)
    made.addimage(
        "float32", (count, len(channels), height, width), (pages, 1, 1, height, width, 1), axes="TCYX", **text
    )
    return made.tostring().encode("utf-8")


class TiffWriter:
    """Appends the planes of one frame after the other."""

    def __init__(self, folder: Path, facts: FilmFacts, name: str = TIFF) -> None:
        self._shape, self._channels = facts.shape, len(channels_of(facts))
        self._file = tifffile.TiffWriter(folder / name, bigtiff=True, ome=False)
        self._description: bytes | None = ome_xml(facts)
        resolution = 1e10 / facts.pixel_pm
        self._page = {
            "shape": self._shape,
            "dtype": np.dtype("<f4"),
            "compression": "zlib",
            "photometric": "minisblack",
            "rowsperstrip": self._shape[0],
            "metadata": None,
            "software": False,
            "resolution": (resolution, resolution),
            "resolutionunit": "centimeter",
        }
        self._nothing: bytes | None = None

    def put(self, planes: Sequence[bytes]) -> None:
        """Append the deflated planes of one frame, in the order of ``channels_of``."""
        for plane in planes:
            self._file.write(iter([plane]), description=self._description, **self._page)
            self._description = None

    def lose(self) -> None:
        """Append a frame without values."""
        if self._nothing is None:
            self._nothing = deflated(np.full(self._shape, np.nan, np.float32))
        self.put([self._nothing] * self._channels)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def read_planes(folder: Path, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, confidence and counts, float32 (y, x), of the frame at a place of a finished file."""
    with tifffile.TiffFile(folder / TIFF) as file:
        first = place * len(CHANNELS)
        return tuple(file.pages[first + i].asarray() for i in range(len(CHANNELS)))
