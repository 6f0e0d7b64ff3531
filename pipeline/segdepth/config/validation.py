"""Check data against a model and report the first error in one line: the key, what it got, what is allowed."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from segdepth.config.block import Block
from segdepth.errors import ConfigError

LONGEST = 80
"""Characters of a key or a value in a message; of a longer one the beginning is shown."""

LONGEST_MESSAGE = 850
"""Characters of a message; of a longer one the middle is left out."""


def _where(error: dict, data: Any) -> str:
    """Pydantic's location as a dotted key; what is no key of the data (the name of a union's branch) is left out."""
    parts: list[str] = []
    for part in error["loc"]:
        if isinstance(data, dict) and part in data or isinstance(data, list | tuple) and isinstance(part, int):
            parts.append(_clipped(str(part)))
            data = data[part] if isinstance(data, dict) or part < len(data) else None
    if error["type"] == "missing":
        parts.append(str(error["loc"][-1]))
    return ".".join(parts)


def _clipped(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _describe(error: dict, key: str, model: type[BaseModel]) -> str:
    kind, message, got = error["type"], error["msg"], error.get("input")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{key}: unknown key{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{key}: missing; it must be given"
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        return text if not key or text.startswith(key) else f"{key}: {text}"
    if kind == "string_pattern_mismatch" and "pattern" in error.get("ctx", {}):
        message = "a name has letters, digits, _ and -, begins with a letter or digit, and is at most 64 long"
    shown = _clipped(repr(got)) if not isinstance(got, dict | list) or len(repr(got)) < 60 else type(got).__name__
    return f"{key or 'config'}: got {shown}; {message[0].lower()}{message[1:]}"


def _allowed_keys(model: type[BaseModel], location: tuple) -> list[str]:
    """Field names of the block at a location, for the message about an unknown key."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields:
                continue
            current = current.model_fields[part].annotation
        blocks = _blocks_in(current)
        current = blocks[0] if blocks else current
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _blocks_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for argument in get_args(annotation) for block in _blocks_in(argument)]


def validate(model: type[Block], data: Any, source: str = "config") -> Any:
    """Check ``data`` against one model.

    Raises
    ------
    ConfigError
        One line: the source, the key, what it got and what is allowed.
    """
    if not isinstance(data, dict):
        got = "nothing" if data is None else type(data).__name__
        raise ConfigError(f"{source}: expected a mapping of keys to values, got {got}")
    try:
        return model.model_validate(data)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        # of a union, the branch that matched most of the value is the most informative
        errors.sort(
            key=lambda e: (e["type"] != "extra_forbidden", -len(e["loc"]), e["type"].endswith(("_type", "_parsing")))
        )
        keys = [_where(error, data) for error in errors]
        more = f" (and {len(set(keys)) - 1} more)" if len(set(keys)) > 1 else ""
        told = _describe(errors[0], keys[0], model)
        if len(told) > LONGEST_MESSAGE:
            told = f"{told[: LONGEST_MESSAGE // 2]} ... {told[-LONGEST_MESSAGE // 2 :]}"
        raise ConfigError(f"{source}: {told}{more}") from None
