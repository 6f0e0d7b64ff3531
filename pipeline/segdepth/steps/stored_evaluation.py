"""Evaluations and ideal observers on disk: a JSON file of facts, a CSV for each table, and examples as a Zarr store.
See ``segdepth.evaluation.results``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segdepth.errors import StoreError
from segdepth.evaluation.results import EVALUATION_TABLES, OBSERVER_TABLES, Evaluation, IdealObserver
from segdepth.store.manifest import check_whole
from segdepth.store.zarr_store import open_zarr, write_zarr

FACTS, EXAMPLES, OBSERVER_FACTS = "evaluation.json", "examples.zarr", "ideal_observer.json"
CSV: dict[str, Any] = {"index": False, "lineterminator": "\n", "float_format": "%.9g"}


def write_evaluation(evaluation: Evaluation, folder: Path, parameters: Mapping[str, Any]) -> None:
    """Write into an existing folder; ``parameters`` are kept in the examples' store."""
    _write(evaluation, folder, FACTS, EVALUATION_TABLES)
    write_zarr(evaluation.examples, folder / EXAMPLES, leading=("example",), parameters=parameters)


def write_ideal_observer(observer: IdealObserver, folder: Path) -> None:
    """Write into an existing folder."""
    _write(observer, folder, OBSERVER_FACTS, OBSERVER_TABLES)


def _write(found: Evaluation | IdealObserver, folder: Path, facts: str, tables: Sequence[str]) -> None:
    text = json.dumps(found.facts, indent=1, allow_nan=False)
    (folder / facts).write_text(text + "\n", encoding="utf-8")
    for name in tables:
        getattr(found, name).to_csv(folder / f"{name}.csv", **CSV)


def read_evaluation(folder: str | Path, *, examples: bool = False, columns: bool = False) -> Evaluation:
    """What ``evaluate-model`` wrote; ``examples`` (lazily opened) and ``columns`` if requested.

    Raises
    ------
    StoreError
        It is missing, unfinished, damaged or of another version.
    """
    tables = [name for name in EVALUATION_TABLES if columns or name != "columns"]
    found, run = _read(folder, "evaluate-model", FACTS, tables)
    return Evaluation(
        **found, run=run, examples=open_zarr(folder, "evaluate-model", part=EXAMPLES) if examples else None
    )


def read_ideal_observer(folder: str | Path, *, columns: bool = False) -> IdealObserver:
    """What ``estimate-ideal-observer`` wrote; ``columns`` if requested.

    Raises
    ------
    StoreError
        It is missing, unfinished, damaged or of another version.
    """
    tables = [name for name in OBSERVER_TABLES if columns or name != "columns"]
    return IdealObserver(**_read(folder, "estimate-ideal-observer", OBSERVER_FACTS, tables)[0])


def _read(folder: str | Path, command: str, facts: str, tables: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and tables, and the notes of the run that made them."""
    folder = Path(folder)
    manifest = check_whole(folder, command)
    if not (folder / facts).exists():
        raise StoreError(f"{folder}: has no {facts}: it was made by another version of SegDepth; make it anew")
    path = folder / facts
    try:
        found: dict[str, Any] = {"facts": json.loads(path.read_text(encoding="utf-8"))}
        for name in tables:
            path = folder / f"{name}.csv"
            # "NA" and the like are words here; empty cells alone are missing
            found[name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None
    return found, manifest["notes"]
