"""Micrographs on disk: ``.npy``, ``.npz`` and ``.tif`` to frames of counts.

Nothing in a file is ever executed: NumPy files are read with ``allow_pickle=False``. Shapes are checked before data are
read, so that no memory is allocated for frames that are too large.
"""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segdepth.config.micrograph import MICROGRAPH_SUFFIXES
from segdepth.errors import MicrographError

MAX_FRAME_PIXELS = 2**26
"""Pixels of one frame, 8192²: eleven probability maps of it take 1.5 GB."""

MAX_PIXELS = 2**30
"""Pixels of a recording: 4 GB as float32."""


@dataclass(frozen=True)
class Recording:
    """Frames as read.

    frames : float32 (frame, y, x), row 0 as in the file; masked and impossible values are still in it.
    source : where it came from, for messages.
    warnings : lines that the user should see.
    """

    frames: np.ndarray
    source: str
    warnings: list[str] = field(default_factory=list)


def _check_shape(shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
    if dtype.hasobject:
        raise MicrographError(f"{what}: holds Python objects, which are never loaded; save plain numbers")
    if dtype.kind not in "uifb":
        raise MicrographError(f"{what}: holds {dtype}; a micrograph is real numbers (counts)")
    if len(shape) not in (2, 3):
        raise MicrographError(
            f"{what}: has {len(shape)} dimensions {tuple(shape)}; allowed: (y, x) or a movie (frame, y, x)"
        )
    if 0 in shape:
        raise MicrographError(f"{what}: is empty, shape {tuple(shape)}")
    if math.prod(shape[-2:]) > MAX_FRAME_PIXELS or math.prod(shape) > MAX_PIXELS:
        raise MicrographError(
            f"{what}: shape {tuple(shape)} is too large; a frame has at most {MAX_FRAME_PIXELS} pixels, "
            f"a movie {MAX_PIXELS}"
        )


def _as_frames(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        frames = np.asarray(array, dtype=np.float32)
    return frames[None] if frames.ndim == 2 else frames


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type in an ``.npy`` header, without the data."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _read_npy(path: Path, key: str | None) -> np.ndarray:
    with path.open("rb") as stream:
        _check_shape(*_header(stream), what=str(path))
        stream.seek(0)
        return np.load(stream, allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
        headers = {}
        for name, member in members.items():
            with archive.open(member) as stream:
                headers[name] = _header(stream)
        if key is None:
            fitting = [name for name, (shape, _) in headers.items() if len(shape) in (2, 3)]
            if len(fitting) != 1:
                raise MicrographError(f"{path}: holds the arrays {_listed(headers)}; give the name of one (key)")
            key = fitting[0]
        if key not in headers:
            raise MicrographError(f"{path}: key {key!r} is not in it; it holds {_listed(headers)}")
        _check_shape(*headers[key], what=f"{path}[{key}]")
        with archive.open(members[key]) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


def _listed(headers: dict[str, tuple[tuple[int, ...], np.dtype]]) -> str:
    return ", ".join(f"{name} {tuple(shape)}" for name, (shape, _) in headers.items()) or "no arrays"


@contextmanager
def _quiet_tifffile():
    """Silence tifffile's log, since errors are reported in one line."""
    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _read_tif(path: Path, key: str | None) -> np.ndarray:
    import tifffile  # not needed for arrays and NumPy files

    size = path.stat().st_size
    with _quiet_tifffile(), tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise MicrographError(f"{path}: holds no image")
        series = tif.series[0]
        if "S" in series.axes:
            raise MicrographError(f"{path}: holds colours (axes {series.axes}), not counts")
        _check_shape(tuple(series.shape), np.dtype(series.dtype), what=str(path))
        for page in series.pages:
            ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts)] if page is not None else []
            if any(end > size for end in ends):
                raise MicrographError(f"{path}: is cut off: {size} bytes, its image data reach to {max(ends)}")
        return series.asarray()


READERS: dict[str, Callable[[Path, str | None], np.ndarray]] = dict(
    zip(MICROGRAPH_SUFFIXES, (_read_npy, _read_npz, _read_tif, _read_tif), strict=True)
)
"""What reads a file, by its suffix; the second argument is the key of an array, of ``.npz`` files only."""


def recording_of(array: np.ndarray, source: str = "array") -> Recording:
    """An array (y, x) or (frame, y, x) of counts as a recording.

    Raises
    ------
    MicrographError
        It is too large, empty, of another dimension or type.
    """
    array = np.asarray(array)
    _check_shape(array.shape, array.dtype, source)
    return Recording(_as_frames(array), source)


def read_micrograph(path: str | Path, key: str | None = None) -> Recording:
    """Read a micrograph (y, x) or a movie (frame, y, x).

    Parameters
    ----------
    path : ``.npy``, ``.npz`` or ``.tif``/``.tiff``.
    key : array name inside an ``.npz``; not needed where only one array has two or three dimensions.

    Raises
    ------
    MicrographError
        The file is missing, damaged, too large, empty, of another dimension or type, or the key is not in it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise MicrographError(f"{path}: files of kind {suffix or '(none)'} are not read; allowed: {', '.join(READERS)}")
    if not path.is_file():
        raise MicrographError(f"{path}: {'is not a file' if path.exists() else 'does not exist'}")
    if key is not None and suffix != ".npz":
        raise MicrographError(f"{path}: key chooses an array of an .npz file; this is {suffix}")
    try:
        array = READERS[suffix](path, key)
    except MicrographError:
        raise
    except Exception as failure:  # damaged files raise many kinds in NumPy, zipfile, zlib and tifffile
        first = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise MicrographError(f"{path}: cannot be read as {suffix} ({first})") from failure
    return Recording(_as_frames(array), str(path))
