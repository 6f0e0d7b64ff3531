"""One process at a time writes an artefact: it holds a lock on ``.<name>.lock`` beside it.

The system frees a lock whose process ends in any way, so that a file which a killed process left behind stops nobody.
On a disk without locks nothing is claimed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
from pathlib import Path

from segdepth.errors import StoreError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

_HELD: dict[Path, tuple[int, list[Path]]] = {}
"""Of this process, by lock: its descriptor, and the folders that were made for it."""


def _lock(target: Path) -> Path:
    return target.absolute().with_name(f".{target.name}.lock")


def claim(target: Path) -> None:
    """Keep other processes from writing an artefact until ``release`` or the end of this process, which may claim it
    again. Folders around it are made.

    Raises
    ------
    StoreError
        Another process writes it.
    """
    path = _lock(target)
    if fcntl is None or path in _HELD or _is_a_helper():
        return
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(descriptor, 200).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise StoreError(f"{target}: {who} is writing it; wait until it has ended, or give another --out") from None
        except OSError:  # a disk without locks
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return
        if _is_still(path, descriptor):
            break
        os.close(descriptor)  # its owner has released it meanwhile
    _HELD[path] = descriptor, made
    with contextlib.suppress(OSError):  # the disk may be full
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


def release(target: Path) -> None:
    """Let other processes write it."""
    _release(_lock(target))


def _release(path: Path) -> None:
    descriptor, made = _HELD.pop(path, (None, []))
    if descriptor is None:
        return
    path.unlink(missing_ok=True)  # before others can lock it
    os.close(descriptor)
    for folder in made:
        with contextlib.suppress(OSError):  # no longer empty
            folder.rmdir()


@atexit.register
def release_all() -> None:
    """Let other processes write all that this one has claimed: what the end of a command does."""
    for path in list(_HELD):
        with contextlib.suppress(OSError):
            _release(path)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one at this path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_a_helper() -> bool:
    """Whether a training on several devices has started this process, which then writes nothing."""
    return os.environ.get("LOCAL_RANK", "0") != "0"
