"""The typer application to which each group adds its commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from segdepth.cli.device_line import saying_its_device

GROUPS = {
    "Your own micrograph": (
        "predict",
        "fit-lens",
        "explain",
        "track-columns",
        "adapt",
        "plan-adaptation",
        "compare-micrograph",
        "measure-familiarity",
    ),
    "The project": (
        "check-config",
        "schema",
        "trace",
        "verify",
        "clean-shards",
        "export-crate",
        "check-cluster",
    ),
}
"""Headings of the help, with the commands below them. The others are called by the workflow."""

STEPS = "Steps of the workflow, which Snakemake calls"


class _App(typer.Typer):
    """Typer, with the lines of each paragraph of a help text joined: it would break them where the code does, too. A
    command with the option ``device`` says what ``auto`` came to."""

    def command(self, name: str, *, help: str | None = None) -> Callable[..., Any]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            text = help or inspect.getdoc(function) or ""
            lines = "\n\n".join(map(_joined, text.split("\n\n")))
            group = next((heading for heading, names in GROUPS.items() if name in names), STEPS)
            command = super(_App, self).command(name, help=lines, rich_help_panel=group)
            return command(saying_its_device(name, function))

        return register


def _joined(paragraph: str) -> str:
    """The paragraph on one line, unless it is a list, which begins with ``\\b`` on a line of its own."""
    return paragraph.removeprefix("\b\n") if paragraph.startswith("\b\n") else paragraph.replace("\n", " ")


app = _App(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Count the atoms behind every pixel of a noisy electron micrograph.\n\n"
    "Begin with: segdepth predict movie.dm4 --out depth/\n\n"
    "The whole workflow runs with: snakemake --cores N",
)


def registered(name: str) -> Callable[..., Any]:
    """The function of a command, for a command that ends with another one; its code is not part of that one's hash."""
    return next(command.callback for command in app.registered_commands if command.name == name)
