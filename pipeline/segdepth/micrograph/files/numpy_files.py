"""NumPy's files: ``.npy``, and ``.npz`` with one or several arrays. Objects in them are never loaded."""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files import raw
from segdepth.micrograph.files.recording import Closing, StoredImage, why_no_counts, why_no_frames


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type in an ``.npy`` header, without the data."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _fortran_film(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, int, int]):
    """Frames of a film in Fortran order, whose pixels are spread over the whole file."""
    mapped = np.memmap(path, dtype, "r", offset, shape, order="F")

    def read(index: int) -> np.ndarray:
        frame = mapped[index].copy()
        mapped._mmap.madvise(mmap.MADV_DONTNEED)  # pages that were read are not kept
        return frame

    return read


def npy(path: Path, closing: Closing) -> list[StoredImage]:
    """The array of an ``.npy`` file."""
    with path.open("rb") as stream:
        shape, fortran, dtype = _header(stream)
        offset = stream.tell()
    refusal = why_no_counts(dtype) or why_no_frames(shape)
    if refusal:
        return [StoredImage(path.stem, refusal=refusal)]
    count, (y, x) = 1 if len(shape) == 2 else shape[0], shape[-2:]
    size, length = raw.frame_bytes(dtype, (y, x)), path.stat().st_size
    if fortran and len(shape) == 3 and count > 1:
        if length < offset + count * size:
            raise MicrographError(f"{path}: is cut off, and its frames are interleaved (Fortran order): all are lost")
        return [StoredImage(path.stem, shape, dtype, _fortran_film(path, offset, dtype, shape))]
    warnings = raw.whole_frames(path, length, offset, size, count, size)
    stored = raw.frames_of_file(path, offset, size, dtype, (x, y) if fortran else (y, x), closing)
    read = (lambda index: stored(index).T) if fortran else stored
    return [StoredImage(path.stem, (count, y, x), dtype, read, warnings=warnings)]


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, closing: Closing) -> StoredImage | None:
    """One array of an ``.npz`` file; None for a single number, which is metadata."""
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        offset = stream.tell()
    if not shape and not dtype.hasobject:
        return None
    refusal = why_no_counts(dtype) or why_no_frames(shape)
    if not refusal and fortran and len(shape) == 3 and shape[0] > 1:
        refusal = "a film in Fortran order, whose frames are interleaved; save it with numpy.ascontiguousarray"
    if refusal:
        return StoredImage(name, refusal=refusal)
    count, (y, x) = 1 if len(shape) == 2 else shape[0], shape[-2:]
    size = raw.frame_bytes(dtype, (y, x))
    if info.compress_type != zipfile.ZIP_STORED:
        raw.check_unpacked(path, offset + count * size)
    warnings = raw.whole_frames(path, info.file_size, offset, size, count, size)
    opened: list[raw.RawFrames] = []

    def read(index: int) -> np.ndarray:
        if not opened:  # the chosen array only
            starts = lambda frame: offset + frame * size  # noqa: E731
            opened.append(raw.RawFrames(closing.add(archive.open(info)), starts, dtype, (x, y) if fortran else (y, x)))
        return opened[0](index).T if fortran else opened[0](index)

    return StoredImage(name, (count, y, x), dtype, read, warnings=warnings)


def npz(path: Path, closing: Closing) -> list[StoredImage]:
    """The arrays of an ``.npz`` file; frames of a compressed one are unpacked in their order."""
    archive = closing.add(zipfile.ZipFile(path))
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")][:1000]
    images = [_member(path, archive, info, closing) for info in members]
    return [image for image in images if image is not None]
