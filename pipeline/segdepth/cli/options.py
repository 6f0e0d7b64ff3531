"""Options that commands share.

A block of the configuration is given as ``FILE:NAME`` (``config.yaml:wedge``) or as JSON, as rules do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from segdepth.config import Block, Config, load_config, validate
from segdepth.errors import ConfigError

BLOCK_HELP = "block: FILE:NAME (config.yaml:NAME) or JSON"

WARNINGS = ("NOT RELIABLE", "NOT EXPLAINED")
"""How lines begin that say that a result is not to be used."""

Out = Annotated[Path, typer.Option("--out", help="file or folder to write; a manifest is written beside it")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda; auto: a GPU if there is one")]
Seed = Annotated[int, typer.Option("--root-seed", min=0, help="root_seed of the configuration")]
Name = Annotated[str, typer.Option("--name", help="name of the specimens block; it is part of every structure's seed")]
DatasetName = Annotated[str, typer.Option("--name", help="name of the dataset block")]
TrainedNetwork = Annotated[Path, typer.Option(help="folder of the trained network")]
BlockText = Annotated[str, typer.Option(help=BLOCK_HELP)]
BlockTexts = Annotated[list[str], typer.Option(help=f"{BLOCK_HELP}; once for each data set")]
Paths = Annotated[list[Path], typer.Option(help="file of a shard; repeat the option for each shard, in order")]
EvaluationsRoot = Annotated[Path, typer.Option("--evaluations-root", help="holds <model>/<dataset>")]
ModelsRoot = Annotated[Path, typer.Option("--models-root", help="holds <model>")]
EVALUATIONS, MODELS = Path("results/evaluation"), Path("results/models")
"""Where the workflow puts them."""


def read_block(kind: type[Block], text: str) -> Any:
    """A block from ``FILE:NAME`` or from JSON."""
    words = re.findall("[A-Z][a-z]*", kind.__name__)
    option = "-".join(words[:-1] if words[-1] in ("Block", "Options") else words).lower()
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except ValueError as failure:
            raise ConfigError(f"--{option}: is not valid JSON ({failure})") from None
        return validate(kind, data, f"--{option}")
    file, _, name = text.rpartition(":")
    if not file:
        raise ConfigError(f"--{option}: got {text!r}; allowed: FILE:NAME or JSON")
    section = section_of(kind)
    blocks = getattr(load_config(file), section)
    if name not in blocks:
        known = ", ".join(blocks) or "none"
        raise ConfigError(f"--{option}: {file} has no {section} block {name!r}; it has {known}")
    return blocks[name]


def section_of(kind: type[Block]) -> str:
    """The section of ``config.yaml`` that holds blocks of a kind by their names."""
    return next(name for name, field in Config.model_fields.items() if get_args(field.annotation)[1:] == (kind,))


def read_options(kind: type[Block], block: str | None, given: Mapping[str, Any]) -> Any:
    """Options ``kind`` of the block (JSON or FILE:NAME), overridden by those that are given."""
    held: dict[str, Any] = {}
    if block is not None:
        read = read_block(kind if block.lstrip().startswith("{") else _block_with(kind), block)
        held = {name: getattr(read, name) for name in kind.model_fields}
    return validate(kind, held | {name: value for name, value in given.items() if value is not None}, "options")


def _block_with(options: type[Block]) -> type[Block]:
    """The named block of the configuration that holds these options."""
    blocks = (kind for field in Config.model_fields.values() for kind in get_args(field.annotation)[1:])
    return next(kind for kind in blocks if isinstance(kind, type) and issubclass(kind, options))


def show_lines(lines: Iterable[str]) -> None:
    """Lines for the user on stderr, each a warning or a note."""
    for line in lines:
        typer.echo(f"{'warning' if line.startswith(WARNINGS) else 'note'}: {line}", err=True)
