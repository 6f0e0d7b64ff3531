"""What is known of the run that made an artefact, in ``<name>.run.json`` beside it: commit, versions, device, options.

It decides nothing. It lies outside of the manifest so that the same artefact has the same manifest wherever and
whenever it is made, and nothing behind it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segdepth.errors import StoreError

RUN_SUFFIX = ".run.json"
SEAL = "seal"
OPTIONS = "SEGDEPTH_SNAKEMAKE"
"""Environment variable in which the workflow tells its jobs its own options: ``--configfile`` and ``--snakefile``."""

PACKAGES = (
    "segdepth",
    "numpy",
    "scipy",
    "ase",
    "abtem",
    "torch",
    "lightning",
    "pytorch-optimizer",
    "safetensors",
    "xarray",
    "zarr",
    "matplotlib",
    "snakemake",
)

KINDS = {"artefact": str, "content": str, "commit": str, "versions": dict, "notes": dict}
"""Keys of a run's record and their types; ``snakemake`` is one more, a text."""


def run_path(artefact: str | Path) -> Path:
    artefact = Path(artefact)
    return artefact.with_name(artefact.name + RUN_SUFFIX)


def sealed(entries: Mapping[str, Any]) -> str:
    """JSON text, the same bytes for the same entries, with a SHA-256 of all of them."""
    plain = json.loads(json.dumps(entries))
    text = json.dumps(plain, indent=1, sort_keys=True)
    return json.dumps(plain | {SEAL: hashlib.sha256(text.encode()).hexdigest()}, indent=1, sort_keys=True) + "\n"


def unsealed(text: str) -> tuple[Any, bool]:
    """The entries of a JSON text, and whether they were sealed; a text without a seal is taken as it is.

    Raises
    ------
    ValueError
        It is no JSON, or not the text that was sealed.
    """
    found = json.loads(text)
    if not isinstance(found, dict) or SEAL not in found:
        return found, False
    del found[SEAL]
    if text != sealed(found):
        raise ValueError("it was edited or damaged")
    return found, True


def run_record(artefact: str, content: str, notes: Mapping[str, Any]) -> str:
    """The text of the record of this run."""
    facts = {
        "artefact": artefact,
        "content": content,
        "commit": commit_of(Path(__file__).parent),
        "versions": dict(versions()),
        "notes": dict(notes),
    }
    return sealed(facts | ({"snakemake": os.environ[OPTIONS]} if os.environ.get(OPTIONS) else {}))


def read_run_record(artefact: str | Path, content: str) -> dict[str, Any]:
    """Commit, versions, notes and options of the run that made an artefact; ``unknown`` and none where there is no
    record, or one of other content.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    path = run_path(artefact)
    unknown: dict[str, Any] = {"commit": "unknown", "versions": {}, "notes": {}}
    try:
        found, whole = unsealed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return unknown
    except (OSError, ValueError, RecursionError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure}); it decides nothing: remove it") from None
    if not (whole and all(isinstance(found.get(key), kind) for key, kind in KINDS.items())):
        raise StoreError(f"{path}: cannot be read (it lacks what it should have); it decides nothing: remove it")
    if found.pop("content") != content:
        return unknown
    del found["artefact"]
    return found


@cache
def commit_of(folder: Path) -> str:
    """The git commit of the code, with ``+changes`` where the work tree differs; ``unknown`` outside of git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        if not commit:
            return "unknown"
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


@cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
