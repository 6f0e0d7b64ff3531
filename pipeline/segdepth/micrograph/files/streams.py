"""Films of Quantum Detectors' ``.mib`` and TVIPS' ``.tvips``, by RosettaSciIO's description of their headers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata, raw
from segdepth.micrograph.files.recording import Closing, FrameLost, StoredImage, why_no_frames

UNFINISHED = ("the last frame is half-written and lost",)


def _counted(path: Path, length: int, record: int) -> tuple[int, tuple[str, ...]]:
    """Frames of a stream, with a half-written last one, and a line for the user."""
    whole, rest = divmod(length, record)
    if whole < 1:
        raise MicrographError(f"{path}: is cut off: its {length} bytes of frames hold no whole one of {record} bytes")
    return whole + (rest > 0), UNFINISHED if rest else ()


def mib(path: Path, closing: Closing) -> list[StoredImage]:
    """The frames of a Merlin camera, in the orientation of RosettaSciIO (first stored row at the bottom)."""
    from rsciio.quantumdetector._api import MIBProperties

    said = MIBProperties()
    said.parse_file(str(path))
    if said.raw or said.dtype is None or said.head_size is None:
        raise MicrographError(f"{path}: holds raw packed bits of the detector, or is no .mib file")
    shape = (int(said.merlin_size[0]), int(said.merlin_size[1]))
    if refusal := why_no_frames(shape):
        return [StoredImage(path.stem, refusal=refusal)]
    dtype = np.dtype(said.dtype).newbyteorder(">")
    record = said.head_size + raw.frame_bytes(dtype, shape)
    count, warnings = _counted(path, path.stat().st_size, record)
    frames = raw.frames_of_file(path, said.head_size, record, dtype, shape, closing)
    exposure = metadata.seconds(said.exposure, "ms")
    return [
        StoredImage(
            path.stem, (count, *shape), dtype, lambda i: frames(i)[::-1], exposure_s=exposure, warnings=warnings
        )
    ]


def tvips(path: Path, closing: Closing) -> list[StoredImage]:
    """The frames of a TVIPS camera: ``NAME_000.tvips`` and the parts that follow it."""
    from rsciio.tvips._api import TVIPS_RECORDER_FRAME_HEADER, TVIPS_RECORDER_GENERAL_HEADER

    header = np.fromfile(path, np.dtype(TVIPS_RECORDER_GENERAL_HEADER), 1)
    if len(header) < 1 or int(header["version"][0]) not in (1, 2) or int(header["bitsperpixel"][0]) not in (8, 16):
        raise MicrographError(f"{path}: is no .tvips stream (its first part is NAME_000.tvips)")
    said = {name: int(header[name][0]) for name in header.dtype.names if name != "dummy"}
    frame_header = np.dtype(TVIPS_RECORDER_FRAME_HEADER)
    before = 12 if said["version"] == 1 else said["frameheaderbytes"]
    shape, dtype = (said["dimy"], said["dimx"]), np.dtype(f"u{said['bitsperpixel'] // 8}")
    if refusal := why_no_frames(shape):
        return [StoredImage(path.stem, refusal=refusal)]
    record = before + raw.frame_bytes(dtype, shape)
    match = re.fullmatch(r"(.*_)000", path.stem)
    parts = [path]
    while match and (following := path.with_name(f"{match[1]}{len(parts):03d}{path.suffix}")).is_file():
        parts.append(following)
    places: list[tuple[raw.RawFrames, int]] = []
    for number, part in enumerate(parts):
        offset = said["size"] if number == 0 else 0
        count, warnings = _counted(part, max(0, part.stat().st_size - offset), record)
        frames = raw.frames_of_file(part, offset + before, record, dtype, shape, closing)
        places.append((frames, count))

    def read(index: int) -> np.ndarray:
        for frames, held in places:
            if index < held:
                return frames(index)
            index -= held
        raise FrameLost("it is not in the file")

    total = sum(held for _, held in places)
    times, diffraction = None, False
    if before >= frame_header.itemsize:
        first = np.fromfile(path, frame_header, 1, offset=said["size"])[0]
        diffraction = int(first["mode"]) == 2
        if places[0][1] > 1:
            second = np.fromfile(path, frame_header, 1, offset=said["size"] + record)[0]
            step = sum(k * (int(second[n]) - int(first[n])) for n, k in (("timestamp", 1.0), ("ms", 1e-3)))
            times = metadata.times(total, metadata.positive(step))
    if diffraction:
        return [StoredImage(path.stem, refusal="diffraction patterns, not images")]
    energy = metadata.energy_kev(said["ht"])
    if said["pixelsize"]:
        warnings += (f"the header's pixel is {said['pixelsize']} nm, the camera's own: it is not used",)
    return [StoredImage(path.stem, (total, *shape), dtype, read, energy_kev=energy, times_s=times, warnings=warnings)]
