"""The command ``segdepth``. Its commands read options and call one step each; errors are reported in one line."""

from __future__ import annotations

import errno
import logging
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from segdepth import __version__
from segdepth.cli import (  # noqa: F401  (they add commands)
    adaptation,
    cluster,
    crates,
    evaluation,
    explanation,
    figures,
    films,
    fitting,
    generalization,
    limits,
    micrographs,
    networks,
    paper,
    project,
    simulation,
    specimens,
)
from segdepth.cli.app import app
from segdepth.errors import SegDepthError
from segdepth.store.claims import release_all
from segdepth.store.full_disk import FULL, full_disk, has_no_room

USERS = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ENAMETOOLONG,
)
"""System errors that a user can fix: a file is missing, access is denied, the disk is full."""

EXTRAS = {
    **dict.fromkeys(("ase", "abtem"), "simulate"),
    **dict.fromkeys(("lightning", "pytorch_optimizer", "torchmetrics"), "train"),
    **dict.fromkeys(("snakemake", "rocrate"), "workflow"),
}
"""The package's extra that installs a module, by module."""

log = logging.getLogger("segdepth")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"segdepth {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
) -> None:
    pass  # main has read --debug, which may also follow the command


def _is_users(failure: OSError) -> bool:
    """Whether a system error concerns a file of the user's."""
    if failure.errno not in USERS or failure.filename is None:
        return False
    package = Path(__file__).resolve().parents[1]
    return package not in Path(str(failure.filename)).absolute().parents


def main() -> None:
    """Run a command. A user's error is one line and exit status 2; a bug is a logged traceback and 1."""
    arguments, debug = _take_debug(sys.argv[1:])
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    log.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        sys.exit(app(arguments, standalone_mode=False) or 0)
    except SegDepthError as failure:
        _refuse(str(failure), debug)
    except typer.Abort:
        sys.exit(130)
    except Exception as failure:
        if isinstance(failure, ModuleNotFoundError) and (extra := EXTRAS.get(str(failure.name).split(".")[0])):
            _refuse(f"{failure.name} is not installed: pip install 'segdepth[{extra}]'", debug)
        if isinstance(failure, OSError) and _is_users(failure):
            _refuse(f"{_named(failure, arguments)}: {failure.strerror}", debug)
        if full := full_disk(failure, _written(arguments)):
            _refuse(f"{full.filename}: {full.strerror}", debug)
        if not hasattr(failure, "format_message"):  # what all usage errors have; their class is not public
            log.critical("internal error", exc_info=True)
            sys.exit(1)
        if not arguments:
            failure.show()  # without a command: the help
            sys.exit(2)
        _refuse(f"{failure.format_message()} (see --help)", debug)
    finally:
        release_all()


def _named(failure: OSError, arguments: list[str]) -> str | Path:
    """The path of a system error. That of a file which could not be moved to a full disk is the disk's."""
    if failure.errno in FULL and not has_no_room(Path(failure.filename)):
        place = _written(arguments)
        return place if has_no_room(place) else failure.filename
    return failure.filename


def _written(arguments: list[str]) -> Path:
    """Where a command writes besides its artefacts, or its artefact: what lies on a full disk first."""
    places = [Path(value) for option, value in pairwise(arguments) if option in ("--out", "--checkpoints", "--tables")]
    places += [Path.cwd(), Path(tempfile.gettempdir())]
    return next((place for place in places if has_no_room(place)), places[0])


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, wherever it stands before ``--``, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*options, *arguments[end:]], len(options) < end


def _refuse(text: str, debug: bool) -> NoReturn:
    if shown := sys.modules.get("tqdm"):  # a command that shows a bar has imported it
        for bar in list(getattr(shown.tqdm, "_instances", ())):
            bar.close()  # so that the error has a line of its own
    if debug:
        log.debug("traceback of the error", exc_info=True)
    sys.stderr.write(f"segdepth: error: {' '.join(text.split())}\n")
    sys.exit(2)
