"""Profiles of the workflow as Snakemake reads them: one laid over the other, whole keys at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segdepth.config import read_yaml
from segdepth.errors import ConfigError

PLACEHOLDER = re.compile(r"YOUR_[A-Z_]+")
"""What stands where a cluster's own name belongs."""

_NUMBER = re.compile(r"(\d+)(?: *\* *(attempt))?")


def laid_over(config: dict, other: Mapping) -> dict:
    """``config`` with ``other`` laid over it, key by key, as Snakemake does with several configuration files."""
    both = dict(config)
    for key, value in other.items():
        below = both.get(key)
        both[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both


class Profile:
    """The keys of one or more profiles; of a key that several have, the last one's value counts, as a whole.

    Parameters
    ----------
    folders : profiles in the order in which Snakemake is given them (``--profile``, then ``--workflow-profile``), as
        folders with a ``config.yaml`` or as files.

    Raises
    ------
    ConfigError
        A file is missing, is no mapping, or is not for SLURM.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.keys: dict[str, Any] = {}
        self.place: dict[str, Path] = {}
        for folder in folders:
            path = folder / "config.yaml" if folder.is_dir() else folder
            if not path.is_file():
                raise ConfigError(f"{path}: no such profile")
            read = read_yaml(path)
            if not isinstance(read, dict):
                raise ConfigError(f"{path}: is no mapping of keys to values")
            for key, value in read.items():
                self.keys[key], self.place[key] = value, path
        self.path = path
        if self.keys.get("executor") != "slurm":
            raise ConfigError(f"{path}: executor: got {self.keys.get('executor')!r}; the check knows slurm only")

    @property
    def attempts(self) -> int:
        return 1 + int(self.keys.get("retries", 0))

    def table(self, key: str) -> dict[str, Any]:
        """A key whose value is a mapping; empty where it is missing."""
        value = self.keys.get(key) or {}
        if not isinstance(value, dict):
            raise ConfigError(f"{self.place[key]}: {key}: got {value!r}; a mapping is needed")
        return value

    def resource(self, rule: str, name: str, names: Sequence[str] = ()) -> Any:
        """What the profile says of a resource of a rule; None where it says nothing.

        ``names`` are those that the cluster has.


        Raises
        ------
        ConfigError
            The value was to be filled in.
        """
        found, key = (self.table("set-resources").get(rule) or {}).get(name), "set-resources"
        if found is None and name.startswith("slurm_"):  # rules name none, so that the default counts
            found, key = self.table("default-resources").get(name), "default-resources"
        if isinstance(found, str) and PLACEHOLDER.fullmatch(found):
            known = f"one of {', '.join(names)}" if names else "your cluster's name"
            raise ConfigError(f"{self.place[key]}: {key}: {name}: got {found}; write {known} there")
        return found

    def threads(self, rule: str, asked: int) -> int:
        """Threads of a rule that asks for so many."""
        given = int(self.table("set-threads").get(rule, asked))
        return min(given, int(self.keys.get("max-threads", given)))


def amount(value: Any, attempt: int) -> int | None:
    """A resource in a profile, ``8000`` or ``8000 * attempt``, at an attempt; None where it is anything else."""
    found = _NUMBER.fullmatch(str(value).strip())
    if not found:
        return None
    return int(found[1]) * (attempt if found[2] else 1)
