"""A recording: frames that are read one at a time, and what the file says about them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdepth.errors import MicrographError

MAX_FRAME_PIXELS = 2**26
"""Pixels of one frame, 8192²: eleven probability maps of it take 1.5 GB."""

MAX_FRAMES = 10**6
"""Frames of a film: more is a damaged header."""


class FrameLost(MicrographError):
    """One frame cannot be read (half-written, damaged); the others can."""


@dataclass(frozen=True)
class Recording:
    """Frames that are read one at a time. A context manager: leaving it closes the file.

    source : path as given, or "array".
    shape : (y, x) of a frame.
    count : number of frames.
    dtype : of the frames as stored, in native byte order: any real kind.
    read_frame : from the number of a frame, counted from 0, to the frame (y, x) as stored, row 0 as in the file; raises
        ``FrameLost``. Only this frame is read from the disk.
    image : name of the chosen image, where the file holds several.
    pixel_pm : side of a pixel on the specimen in pm, from the file's metadata.
    exposure_s : exposure of a frame in s.
    energy_kev : energy of the electrons in keV.
    times_s : start of each frame in s, the first frame at 0.
    warnings : lines that the user should see.
    """

    source: str
    shape: tuple[int, int]
    count: int
    dtype: np.dtype
    read_frame: Callable[[int], np.ndarray]
    image: str = ""
    pixel_pm: float | None = None
    exposure_s: float | None = None
    energy_kev: float | None = None
    times_s: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()
    close: Callable[[], None] = field(default=lambda: None, repr=False)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *failure) -> None:
        self.close()


def first_line(failure: BaseException) -> str:
    """What an exception says, in one short line."""
    text = (str(failure).strip().splitlines() or [""])[0].strip()[:160]
    return text if " " in text else f"{type(failure).__name__} {text}".strip()


def why_no_counts(dtype: np.dtype) -> str:
    """Why values of a type are no micrograph's, or nothing where they may be."""
    if dtype.hasobject:
        return "Python objects, which are never loaded; save plain numbers"
    if dtype.names:
        return f"colours or records ({', '.join(dtype.names[:4])}); a micrograph has one number a pixel"
    if dtype.kind == "c":
        return "complex numbers (a Fourier transform or a wave); a micrograph is real numbers (counts)"
    return "" if dtype.kind in "uifb" else f"{dtype}; a micrograph is real numbers (counts)"


def why_no_frames(shape: tuple[int, ...]) -> str:
    """Why an array of a shape is no image (y, x) or film (frame, y, x), or nothing where it is."""
    said = tuple(int(n) for n in shape)
    if len(said) == 1:
        return f"a line of {said[0]} values (a profile or a spectrum); allowed: (y, x) or a film (frame, y, x)"
    if len(said) not in (2, 3):
        return f"an array of {len(said)} dimensions {said}; allowed: (y, x) or a film (frame, y, x)"
    if min(said) < 1:
        return f"nothing: its shape is {said}"
    if math.prod(said[-2:]) > MAX_FRAME_PIXELS or (len(said) == 3 and said[0] > MAX_FRAMES):
        return f"{said}: too large; a frame has at most {MAX_FRAME_PIXELS} pixels, a film {MAX_FRAMES} frames"
    return ""


def guarded(read: Callable[[int], np.ndarray], source: str, count: int, shape: tuple[int, int]):
    """``read`` with native byte order, with every failure of a damaged frame as ``FrameLost`` in one line."""

    def read_frame(index: int) -> np.ndarray:
        if not 0 <= index < count:
            raise IndexError(f"frame {index} of {count}")
        try:
            frame = np.asarray(read(index))
        except FrameLost as lost:
            raise FrameLost(f"{source}: frame {index} is lost: {lost}") from lost
        except Exception as failure:  # damaged files raise many kinds
            raise FrameLost(f"{source}: frame {index} is lost: {first_line(failure)}") from failure
        if frame.shape != shape:
            raise FrameLost(f"{source}: frame {index} is lost: its shape is {frame.shape}, not {shape}")
        return frame.astype(frame.dtype.newbyteorder("="), copy=False)

    return read_frame


def recording_of(array: np.ndarray, source: str = "array") -> Recording:
    """An array (y, x) or (frame, y, x) of counts as a recording.

    Raises
    ------
    MicrographError
        It is too large, empty, of another dimension or type.
    """
    array = np.asarray(array)
    wrong = why_no_counts(array.dtype) or why_no_frames(array.shape)
    if wrong:
        raise MicrographError(f"{source}: holds {wrong}")
    frames = array if array.ndim == 3 else array[None]
    shape = (int(frames.shape[1]), int(frames.shape[2]))
    read = guarded(lambda index: frames[index], source, len(frames), shape)
    return Recording(source, shape, len(frames), array.dtype.newbyteorder("="), read)


class Closing:
    """Opened files of one recording, closed together."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def add(self, opened):
        self._stack.callback(opened.close)
        return opened

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._stack.close()


@dataclass(frozen=True)
class StoredImage:
    """One of the images of a file, before one is chosen.

    shape : (frame, y, x).
    refusal : what it is, where it is no micrograph; it is never read then.
    """

    name: str
    shape: tuple[int, int, int] = (0, 0, 0)
    dtype: np.dtype = np.dtype("u1")
    read: Callable[[int], np.ndarray] | None = None
    refusal: str = ""
    pixel_pm: float | None = None
    exposure_s: float | None = None
    energy_kev: float | None = None
    times_s: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()


def chosen(path: Path, images: list[StoredImage], image: str | None) -> tuple[StoredImage, tuple[str, ...]]:
    """The image that is asked for, by its name or its number counted from 0, or the largest real-space one.

    Returns
    -------
    The image, and a line that names it where one of several was taken without being asked for.

    Raises
    ------
    MicrographError
        The image is not in the file, or none is a micrograph.
    """
    names = ", ".join(f"{n} {i.name!r}" for n, i in enumerate(images[:8])) + (", …" if len(images) > 8 else "")
    if not images:
        raise MicrographError(f"{path}: holds no image")
    if image is not None:
        named = [i for i in images if i.name == image]
        if not named and image.isdecimal() and int(image) < len(images):
            named = [images[int(image)]]
        if not named:
            raise MicrographError(f"{path}: image {image!r} is not in it; it holds {names}")
        if named[0].refusal:
            raise MicrographError(f"{path}: image {named[0].name!r} holds {named[0].refusal}")
        return named[0], ()
    fitting = [i for i in images if not i.refusal]
    if not fitting:
        reasons = list(dict.fromkeys(i.refusal for i in images))
        raise MicrographError(f"{path}: holds {'; and '.join(reasons[:3])}")
    largest = max(fitting, key=lambda i: math.prod(i.shape))
    if len(images) == 1:
        return largest, ()
    return largest, (f"image {largest.name!r} of {len(images)} is used; the file holds {names}",)
