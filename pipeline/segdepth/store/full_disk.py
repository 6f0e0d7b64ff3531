"""A full disk, as the libraries that write files report it: many kinds of exceptions, most without the path."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from segdepth.errors import SegDepthError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk, and of a quota that is used up."""

WORDS = {f"os error {number}": number for number in FULL} | {os.strerror(number): number for number in FULL}
"""How they are called in texts of exceptions that are no ``OSError``."""

LEAST_BYTES = 4096
"""A disk with less room is full, whatever an exception says that a writer raised on it."""


def full_disk(failure: BaseException, path: Path) -> OSError | None:
    """The error of a full disk that is behind an exception, with the path; None if it is another one.

    Parameters
    ----------
    failure : raised while something was written.
    path : what was to be written; it need not exist.
    """
    for cause in _chain(failure):
        if isinstance(cause, SegDepthError):
            return None
        number = cause.errno if isinstance(cause, OSError) else None
        if number not in FULL:
            number = next((number for words, number in WORDS.items() if words in str(cause)), None)
        if number is not None:
            return OSError(number, os.strerror(number), str(path))
    if isinstance(failure, Exception) and has_no_room(path):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return None


def has_no_room(path: Path) -> bool:
    """Whether the disk is full on which a path lies, or would lie."""
    for place in (path.absolute(), *path.absolute().parents):
        if place.exists():
            return shutil.disk_usage(place).free < LEAST_BYTES
    return False


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """An exception and those behind it, each once."""
    waiting, seen = [failure], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        behind = getattr(one, "exceptions", ())
        waiting += [other for other in (*behind, one.__cause__, one.__context__) if isinstance(other, BaseException)]
