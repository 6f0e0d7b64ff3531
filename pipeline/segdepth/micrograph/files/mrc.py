"""MRC and CCP4 files, plain or packed with gzip or bzip2. Headers through mrcfile; 4-bit counts (mode 101) here, since
mrcfile does not read them and RosettaSciIO fails on odd widths."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import metadata, raw
from segdepth.micrograph.files.recording import Closing, StoredImage, why_no_counts, why_no_frames

HEADER = 1024
IMOD_STAMP = 1146047817
"""Word at byte 152 of a header whose next word has IMOD's flags; flag 1: bytes of mode 0 are signed.
https://bio3d.colorado.edu/imod/doc/mrc_format.txt"""

LARGEST_EXTENSION = 2**20
"""Bytes of an extended header that are looked at."""


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        start = stream.read(3)
    if start[:2] == b"\x1f\x8b":
        return gzip.open(path)
    return bz2.open(path) if start == b"BZh" else path.open("rb", buffering=0)


def _header(start: bytes) -> tuple[Any, int]:
    """mrcfile's header, and the bytes of the extended header, for which mrcfile would take memory at once."""
    from mrcfile.mrcinterpreter import MrcInterpreter

    without = start[:92] + bytes(4) + start[96:]
    header = MrcInterpreter(io.BytesIO(without), permissive=True, header_only=True).header
    return header, int(np.frombuffer(start, header.mode.dtype, 1, 92)[0])


def _extension(header: Any, found: bytes) -> dict[str, Any]:
    """Exposure, energy and pixel of an extended header of Thermo Fisher's cameras; nothing for others."""
    from mrcfile.dtypes import get_ext_header_dtype

    dtype = get_ext_header_dtype(bytes(header.exttyp).upper(), header.mode.dtype.byteorder)
    if dtype is None or len(found) < dtype.itemsize:
        return {}
    row = np.frombuffer(found, dtype, 1)[0]
    return {
        "exposure_s": metadata.positive(row["Integration time"]),
        "energy_kev": metadata.energy_kev(row["HT"]),
        "pixel_m": (float(row["Pixel size Y"]), float(row["Pixel size X"])),
    }


def _pixel(header: Any, extension: dict[str, Any]) -> tuple[float | None, str, str]:
    y, x = extension.pop("pixel_m", (0.0, 0.0))
    if metadata.positive(y) and metadata.positive(x):
        return metadata.pixel(y, x, "m", "m")
    my, mx = int(header.my), int(header.mx)
    y, x = float(header.cella.y), float(header.cella.x)
    if min(my, mx) <= 0 or (y == 0 and x == 0):
        return None, "", ""
    return metadata.pixel(y / my, x / mx, "Å", "Å")


def _type(path: Path, header: Any) -> tuple[np.dtype, tuple[str, ...]]:
    """Type of a mode's numbers, and a line where the header leaves it open."""
    mode = int(header.mode)
    if mode == 0:
        stamp, flags = np.frombuffer(header.extra2.tobytes(), header.mode.dtype, 2, 40)
        if stamp == IMOD_STAMP:
            return np.dtype("i1" if flags & 1 else "u1"), ()
        return np.dtype("u1"), ("the header does not say whether its bytes are signed: they are taken as 0 to 255",)
    kinds = {1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", 101: "u1", 3: "c8"}
    if mode not in kinds:
        raise MicrographError(f"{path}: is no MRC file (mode {mode}; allowed: 0, 1, 2, 6, 12, 101)")
    return np.dtype(kinds[mode]).newbyteorder(header.mode.dtype.byteorder), ()


def _unpack_nibbles(packed: np.ndarray, width: int) -> np.ndarray:
    """Two counts a byte, the first in the lower half; a row is filled up to a whole byte."""
    pixels = np.empty((packed.shape[0], 2 * packed.shape[1]), np.uint8)
    np.bitwise_and(packed, 15, out=pixels[:, ::2])
    np.right_shift(packed, 4, out=pixels[:, 1::2])
    return pixels[:, :width]


def mrc(path: Path, closing: Closing) -> list[StoredImage]:
    """The frames of an MRC file of mode 0, 1, 2, 6, 12 or 101, in either byte order."""
    stream = closing.add(_open(path))
    start = stream.read(HEADER)
    if len(start) < HEADER:
        raise MicrographError(f"{path}: is cut off: it has {len(start)} bytes, an MRC header {HEADER}")
    header, beyond = _header(start)
    dtype, warnings = _type(path, header)
    shape = (int(header.nz), int(header.ny), int(header.nx))
    refusal = why_no_counts(dtype) or why_no_frames(shape)
    axes = (int(header.mapc), int(header.mapr), int(header.maps))
    if not refusal and axes not in ((1, 2, 3), (0, 0, 0)):
        named = ", ".join({1: "x", 2: "y", 3: "z"}.get(n, str(n)) for n in axes)
        refusal = f"a map with its axes in the order {named}; a film has x, y, z (columns, rows, frames)"
    if beyond < 0:
        raise MicrographError(f"{path}: is damaged: its extended header has {beyond} bytes")
    extension = _extension(header, stream.read(min(beyond, LARGEST_EXTENSION)))
    pixel_pm, wrong, line = _pixel(header, extension)
    refusal = refusal or wrong
    if refusal:
        return [StoredImage(path.stem, refusal=refusal)]
    packed = int(header.mode) == 101
    stored = (shape[1], (shape[2] + 1) // 2) if packed else shape[1:]
    size, offset = raw.frame_bytes(dtype, stored), HEADER + beyond
    if isinstance(stream, io.FileIO):
        warnings += raw.whole_frames(path, path.stat().st_size, offset, size, shape[0], size)
    else:
        raw.check_unpacked(path, offset + shape[0] * size)
    frames = raw.RawFrames(stream, lambda index: offset + index * size, dtype, stored)
    read = (lambda index: _unpack_nibbles(frames(index), shape[2])) if packed else frames
    warnings += (line,) if line else ()
    return [StoredImage(path.stem, shape, dtype, read, pixel_pm=pixel_pm, warnings=warnings, **extension)]
