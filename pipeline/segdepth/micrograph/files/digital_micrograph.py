"""Gatan's DigitalMicrograph 3 and 4, through RosettaSciIO's parser of tags; frames are read from their place."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata, raw
from segdepth.micrograph.files.recording import Closing, StoredImage, first_line, why_no_counts, why_no_frames

MOST_READS = 2 * 10**6
"""Reads of the parser, which takes a tag or a number at a time: more is a damaged header."""

COMPLEX_TYPES = (5, 27, 28)
"""DigitalMicrograph's codes of packed complex numbers (a Fourier transform)."""


class _Counted(io.FileIO):
    """A file that stops a parser without end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._reads = 0
        self._size = path.stat().st_size

    def tell(self) -> int:
        self._reads += 1
        if self._reads > MOST_READS:
            raise OSError(f"more than {MOST_READS} tags")
        return super().tell()

    def read(self, size: int = -1) -> bytes:
        place = self.tell()
        if place > self._size or size > self._size:
            raise OSError("a tag lies beyond the end of the file")
        return super().read(size)


def _walk(tags: Any, *names: str) -> Any:
    for name in names:
        tags = tags.get(name) if isinstance(tags, dict) else None
    return tags


def _acquisition(tags: dict[str, Any]) -> dict[str, float | None]:
    """Exposure in s and energy in keV from an image's tags, or from those of a stack's first image."""
    own = tags.get("ImageTags") or {}
    for found in (own, _walk(own, "source", "Tags at creation")):
        exposure = _walk(found, "DataBar", "Exposure Time (s)")
        exposure = exposure or _walk(found, "Acquisition", "Parameters", "High Level", "Exposure (s)")
        energy = metadata.energy_kev(_walk(found, "Microscope Info", "Voltage"))
        if exposure or energy:
            return {"exposure_s": metadata.positive(exposure), "energy_kev": energy}
    return {"exposure_s": None, "energy_kev": None}


def _image(path: Path, tags: dict[str, Any], stream: Any, big_endian: bool, name: str, closing: Closing) -> StoredImage:
    from rsciio.digitalmicrograph._api import ImageObject

    known = ImageObject(tags, stream)
    shape = tuple(int(n) for n in known.shape)
    dtype = np.dtype(known.dtype).newbyteorder(">" if big_endian else "<")
    if int(tags["ImageData"]["DataType"]) in COMPLEX_TYPES:
        dtype = np.dtype(complex)
    refusal = why_no_counts(dtype) or why_no_frames(shape)
    if not refusal and (known.to_spectrum or known.signal_type or not np.array_equal(known.navigate[-2:], (0, 0))):
        refusal = f"spectra {shape}, not images"
    if refusal:
        return StoredImage(name, refusal=refusal)
    pixel_pm, refusal, line = metadata.pixel(*known.scales[-2:], *known.units[-2:])
    if refusal:
        return StoredImage(name, refusal=refusal)
    count, frame = 1 if len(shape) == 2 else shape[0], shape[-2:]
    offset, size = int(tags["ImageData"]["Data"]["offset"]), raw.frame_bytes(dtype, frame)
    warnings = raw.whole_frames(path, path.stat().st_size, offset, size, count, size)
    said = _acquisition(tags)
    step = metadata.seconds(known.scales[0], known.units[0]) if len(shape) == 3 else None
    if step and said["exposure_s"] and said["exposure_s"] > 1.01 * step:
        said["exposure_s"] = step  # the tag is of the whole film
    read = raw.frames_of_file(path, offset, size, dtype, frame, closing)
    warnings += (line,) if line else ()
    times = metadata.times(count, step)
    return StoredImage(
        name, (count, *frame), dtype, read, pixel_pm=pixel_pm, times_s=times, warnings=warnings, **said
    )  # fmt: skip


def dm(path: Path, closing: Closing) -> list[StoredImage]:
    """The images of a DigitalMicrograph file, without its thumbnails."""
    from rsciio.digitalmicrograph._api import DigitalMicrographReader

    images = []
    with _Counted(path) as stream:
        parser = DigitalMicrographReader(stream)
        parser.parse_file()
        found = parser.get_image_dictionaries()
        if not found:
            raise MicrographError(f"{path}: holds no image")
        for number, tags in enumerate(found):
            name = str(tags.get("Name") or "") or f"image {number}"
            try:
                images.append(_image(path, tags, stream, parser.endian == "big", name, closing))
            except Exception as failure:
                images.append(StoredImage(name, refusal=f"a damaged image ({first_line(failure)})"))
    return images
