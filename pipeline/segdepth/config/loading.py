"""Read ``config.yaml`` as data only, with duplicate keys and unreasonable files refused; print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from segdepth.config.root import Config
from segdepth.config.validation import validate
from segdepth.errors import ConfigError

MAX_BYTES = 2**20
"""Of a configuration file; ours have about 5 kB."""

MAX_VALUES = 100_000
"""In a configuration, each alias counted as often as it stands for its anchor."""


BAD_VALUES = (ValueError, LookupError, AttributeError, OverflowError)
"""PyYAML's errors besides its own, of 2024-13-45, of !!bool maybe, of a character that does not exist."""


class _Refused(ValueError):
    """YAML that is no configuration of ours, and why."""


class _Loader(yaml.SafeLoader):
    """YAML as data only. A key given twice is refused, where YAML would silently keep the last, as are keys that are
    lists or mappings, and aliases that grow without bound."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > MAX_VALUES:
            raise _Refused(f"has more than {MAX_VALUES} values, counted with its aliases")
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _Refused:
            raise
        except BAD_VALUES as failure:
            raise _Refused(f"is not valid YAML at line {node.start_mark.line + 1} ({failure})") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = f"line {key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(f"{line}: a list or mapping is given as a key; a key is one word")
            if key.value in seen:
                raise _Refused(f"{line}: the key {key.value!r} is given twice in one block")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _values_in(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node holds, with its aliases written out; ``known`` has those of nodes already counted."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in known:
        known[node] = 0  # while it is counted
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[node] = 1 + sum(_values_in(part, known) for part in parts)
    elif not known[node]:
        raise _Refused(f"line {node.start_mark.line + 1}: an anchor holds its own alias")
    return known[node]


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises
    ------
    ConfigError
        It is missing, too large or not YAML, or a key is given twice.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _Refused(f"is too large to be a configuration; at most {MAX_BYTES // 2**20} MiB is read")
        return yaml.load(content.decode("utf-8"), Loader=_Loader)
    except OSError as failure:
        raise ConfigError(f"{path}: cannot be read ({failure.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not valid YAML (it is not UTF-8 text)") from None
    except yaml.YAMLError as failure:
        where, what = getattr(failure, "problem_mark", None), getattr(failure, "problem", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}: is not valid YAML{line}{f' ({what})' if what else ''}") from None
    except _Refused as failure:
        raise ConfigError(f"{path}: {failure}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be a configuration") from None
    except BAD_VALUES as failure:
        raise ConfigError(f"{path}: is not valid YAML ({failure})") from None


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
    for section in ("predictions", "lens_fits", "comparisons"):
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
