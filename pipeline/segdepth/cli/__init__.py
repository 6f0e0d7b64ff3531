"""The command ``segdepth``: one verb a rule, grouped by what the user is doing. Reads options, calls one step, tells
errors in one line."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, NoReturn

import typer

from segdepth import __version__
from segdepth.cli import figures, micrographs, networks, project, simulation, specimens  # noqa: F401  (they add verbs)
from segdepth.cli.app import app
from segdepth.errors import ConfigError


def _version(value: bool) -> None:
    if value:
        typer.echo(f"segdepth {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run; a user's mistake is one line on stderr and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (ConfigError, OSError) as failure:
        _refuse(str(failure))
    except typer.Abort:
        sys.exit(130)
    except ValueError as failure:
        from segdepth.store.zarr_store import is_damaged_chunk

        if not is_damaged_chunk(failure):
            raise
        _refuse("a chunk of a store that is read is damaged; `segdepth trace STORE` finds it")
    except Exception as failure:
        if not hasattr(failure, "format_message"):  # what all usage errors have; their class is not public
            raise
        if not sys.argv[1:]:
            failure.show()  # without a verb: the help
            sys.exit(2)
        _refuse(f"{failure.format_message()} (see --help)")


def _refuse(text: str) -> NoReturn:
    sys.stderr.write(f"segdepth: error: {' '.join(text.split())}\n")
    sys.exit(2)
