"""Commands of the chain in forks of this process, which has imported everything: they start at once, so that a random
moment of a command lies in its work and not in its imports, and many commands fit into minutes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from segdepth import cli, steps
from segdepth.store.code_hash import code_hash
from segdepth.store.run_record import run_record

WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree", "shutil.move")
"""Python's audit events of changes to files, besides opening one to write."""


def import_everything() -> None:
    for module in iter_modules(steps.__path__, f"{steps.__name__}."):
        import_module(module.name)
    for name in ("abtem", "lightning", "pytorch_optimizer", "dask.array", "matplotlib.backends.backend_agg"):
        import_module(name)
    for name in ("matplotlib.backends.backend_pdf", "ase.io.extxyz", "torch._dynamo", "segdepth.learning.training"):
        import_module(name)
    for command in cli.app.registered_commands:
        with contextlib.suppress(LookupError):
            code_hash(command.name)  # kept, as are the versions and the commit
    run_record("", "", {})


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit status (negative: the signal), what it printed, how long it took, and its
    changes of files below the folder where it ran, one text each."""

    status: int
    told: str
    seconds: float
    changes: list[str]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.told.splitlines() if line.startswith("segdepth: error: ")]

    @property
    def is_refused(self) -> bool:
        """Whether it ended with one line for the user."""
        return self.status == 2 and len(self.errors) == 1 and "Traceback" not in self.told


class Command:
    """A running command of ``segdepth`` in a process group of its own.

    Parameters
    ----------
    arguments : what follows ``segdepth``. folder : where it runs, with a folder ``.told`` beside it for its output.
    die_before : number of the change of a file before which it is killed with SIGKILL, from 0; None: it is not.
    run : function of the arguments that runs instead of ``segdepth``.
    """

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        die_before: int | None = None,
        run: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._folder, self._told = folder, folder.with_name(f".told-{folder.name}-{time.monotonic_ns()}")
        self._started = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(arguments, folder, self._told, die_before, run)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def kill_after(self, seconds: float) -> None:
        """SIGKILL to the whole group, unless it ends before."""
        end = self._started + seconds
        while time.monotonic() < end and not self._has_ended():
            time.sleep(min(0.005, max(0.0, end - time.monotonic())))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> Ended:
        _, status = os.waitpid(self.pid, 0)
        seconds = time.monotonic() - self._started
        told = self._told.read_text(errors="replace") if self._told.exists() else ""
        changes = _changes(self._told).read_text().splitlines() if _changes(self._told).exists() else []
        for path in (self._told, _changes(self._told)):
            path.unlink(missing_ok=True)
        return Ended(os.waitstatus_to_exitcode(status), told, seconds, changes)


def run(arguments: list[str], folder: Path, **options: Any) -> Ended:
    return Command(arguments, folder, **options).wait()


def _changes(told: Path) -> Path:
    return told.with_name(told.name + ".changes")


def _become(arguments: list[str], folder: Path, told: Path, die_before: int | None, run: Callable | None) -> None:
    """The rest of a forked process; it does not return."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        output = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), line_buffering=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True)
        os.chdir(folder)
        sys.argv = ["segdepth", *arguments]
        sys.addaudithook(_watching(folder, os.open(_changes(told), os.O_WRONLY | os.O_CREAT), die_before))
        run(arguments) if run else cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watching(folder: Path, record: int, die_before: int | None) -> Callable[[str, tuple], None]:
    inside, lock = f"{folder}{os.sep}", threading.Lock()
    count = 0

    def hook(event: str, given: tuple) -> None:
        nonlocal count
        if event == "open":
            if not isinstance(given[2], int) or not given[2] & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in WRITES:
            return
        paths = [os.fsdecode(one) for one in given[:2] if isinstance(one, str | bytes | os.PathLike)]
        if not any((path if os.path.isabs(path) else inside + path).startswith(inside) for path in paths):
            return
        with lock:
            if count == die_before:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            os.write(record, f"{event} {' '.join(paths)}\n".encode())

    return hook
