"""Options that commands share.

A block of the configuration is given as ``FILE:NAME`` (``config.yaml:wedge``) or as JSON, as rules do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from segdepth.config import Block, Config, load_config, validate
from segdepth.errors import ConfigError

BLOCK_HELP = "block: FILE:NAME (config.yaml:NAME) or JSON"

Out = Annotated[Path, typer.Option("--out", help="path to write to; a manifest is written beside it")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option("--root-seed", min=0, help="the config's root_seed")]
Name = Annotated[str, typer.Option("--name", help="name of the block; part of every structure's seed")]
BlockText = Annotated[str, typer.Option(help=BLOCK_HELP)]
BlockTexts = Annotated[list[str], typer.Option(help=f"{BLOCK_HELP}; once for each data set")]
Paths = Annotated[list[Path], typer.Option(help="one for each shard, in order; repeat the option")]


def read_block(kind: type[Block], text: str) -> Any:
    """A block from ``FILE:NAME`` or from JSON."""
    option = kind.__name__.lower().removesuffix("block").removesuffix("options")
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
