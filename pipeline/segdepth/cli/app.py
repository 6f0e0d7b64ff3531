"""The typer application that every group of verbs adds its own to."""

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
    "The whole chain runs with `snakemake --cores N`; each verb below is one of its steps.",
)


def verb(name: str) -> Callable[..., Any]:
    """The function of a verb, for a verb that ends with another one; its code is not a part of that one's."""
    return next(command.callback for command in app.registered_commands if command.name == name)
