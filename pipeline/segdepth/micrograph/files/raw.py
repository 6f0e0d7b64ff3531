"""Frames that lie in a file as plain numbers, at known places."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segdepth.errors import MicrographError
from segdepth.micrograph.files.recording import Closing, FrameLost

MAX_UNPACKED = 2**32
"""Bytes that a compressed file may hold, 4 GiB: a frame is found by unpacking all before it."""


class RawFrames:
    """Frames of one type and shape in an open file: one is read, nothing is kept.

    The file is read, not mapped: pages of a mapped file count as the process's memory.

    stream : an opened binary file, or one that unpacks while it is read (it must seek).
    starts : place of a frame's first byte, by the number of the frame.
    dtype, shape : of a frame as stored, without padding.
    """

    def __init__(self, stream: BinaryIO, starts: Callable[[int], int], dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._stream, self._starts, self._dtype, self._shape = stream, starts, np.dtype(dtype), shape
        self._lock = threading.Lock()

    def __call__(self, index: int) -> np.ndarray:
        frame = np.empty(self._shape, self._dtype)
        left = memoryview(frame.reshape(-1).view(np.uint8))
        start = self._starts(index)
        if not 0 <= start < 2**62:
            raise FrameLost(f"its place in the file ({start}) cannot be")
        with self._lock:
            self._stream.seek(start)
            while left:
                got = self._stream.readinto(left)
                if not got:
                    raise FrameLost("the file ends before it is complete")
                left = left[got:]
        return frame


def frames_of_file(
    path: Path, offset: int, stride: int, dtype: np.dtype, shape: tuple[int, ...], closing: Closing
) -> RawFrames:
    """Frames that follow each other in a plain file, ``stride`` bytes from one to the next, from byte ``offset`` on."""
    return RawFrames(closing.add(path.open("rb", buffering=0)), lambda index: offset + index * stride, dtype, shape)


def frames_at(
    path: Path, starts: Sequence[int], dtype: np.dtype, shape: tuple[int, ...], closing: Closing
) -> RawFrames:
    """Frames of a plain file whose first bytes are at ``starts``."""
    return RawFrames(closing.add(path.open("rb", buffering=0)), lambda index: int(starts[index]), dtype, shape)


def whole_frames(path: Path, size: int, offset: int, stride: int, count: int, frame_bytes: int) -> tuple[str, ...]:
    """A line for the user where a file of ``size`` bytes holds fewer whole frames than its header promises.

    Raises
    ------
    MicrographError
        Not even one frame is whole.
    """
    whole = max(0, (size - offset - frame_bytes) // stride + 1) if size >= offset + frame_bytes else 0
    if whole == 0:
        raise MicrographError(
            f"{path}: is cut off: it has {size} bytes, its first frame of {frame_bytes} bytes begins at byte {offset}"
        )
    if whole >= count:
        return ()
    return (f"the file is cut off: its header promises {count} frames, {whole} are there; the others are lost",)


def check_unpacked(path: Path, needed: int) -> None:
    """Refuse a compressed file whose content is too large.

    Raises
    ------
    MicrographError
        It needs more than ``MAX_UNPACKED`` bytes.
    """
    if needed > MAX_UNPACKED:
        raise MicrographError(
            f"{path}: holds {needed} bytes when unpacked; compressed files are read up to {MAX_UNPACKED} bytes: "
            "unpack it first"
        )


def frame_bytes(dtype: np.dtype, shape: Sequence[int]) -> int:
    """Bytes of one frame."""
    return math.prod(int(n) for n in shape) * np.dtype(dtype).itemsize
