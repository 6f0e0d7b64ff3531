"""Read ``config.yaml`` as data only, with duplicate keys refused; print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from segdepth.config.root import Config
from segdepth.config.validation import validate
from segdepth.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML as data only; a key given twice is refused, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in seen:
                raise _Refused(f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice in one block")
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Refused(ValueError):
    """A key that is given twice."""


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises
    ------
    ConfigError
        It is missing or is not YAML, or a key is given twice.
    """
    path = Path(path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as failure:
        raise ConfigError(f"{path}: cannot be read ({failure.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        where = getattr(failure, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}: is not valid YAML{line}") from None
    except _Refused as failure:
        raise ConfigError(f"{path}: {failure}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be a configuration") from None
    except ValueError as failure:  # a date or number that YAML's own grammar lets through, 2024-13-45
        raise ConfigError(f"{path}: is not valid YAML ({failure})") from None
    return data


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or holds something that is not allowed.
    """
    return validate(Config, read_yaml(path), str(path))


def check_files(config: Config) -> None:
    """Micrographs that a configuration names must exist.

    Raises
    ------
    ConfigError
        One is missing.
    """
    for section in ("predictions", "comparisons"):
        for name, block in getattr(config, section).items():
            if block.input is not None and not Path(block.input).is_file():
                raise ConfigError(f"{section}.{name}.input: got {block.input!r}; there is no such file")


KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
"""Pydantic's names of limits behind a validator, and those of JSON schema."""


def _in_keywords(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {KEYWORDS.get(key, key): _in_keywords(value) for key, value in schema.items()}
    return [_in_keywords(item) for item in schema] if isinstance(schema, list) else schema


def json_schema() -> str:
    """The JSON schema of ``config.yaml``, for editors: the content of ``workflow/config.schema.json``."""
    return json.dumps(_in_keywords(Config.model_json_schema()), indent=2, sort_keys=True) + "\n"
