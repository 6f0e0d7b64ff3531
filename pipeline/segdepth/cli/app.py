"""The typer application to which each group adds its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Atom counts behind every pixel of a noisy electron micrograph. "
    "The whole chain runs with `snakemake --cores N`; each command below is one of its steps.",
)


def registered(name: str) -> Callable[..., Any]:
    """The function of a command, for a command that ends with another one; its code is not part of that one's hash."""
    return next(command.callback for command in app.registered_commands if command.name == name)
