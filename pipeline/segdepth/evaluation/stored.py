"""Reading evaluations and what lies beside them back; for figures and tables, which compute nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from segdepth.errors import StoreError
from segdepth.store.manifest import check_whole

METRICS, EXAMPLES = "metrics.json", "examples.zarr"


def read_metrics(evaluation: str | Path) -> dict[str, Any]:
    """``metrics.json`` of a finished evaluation; its keys are told in ``segdepth.evaluation.evaluate``.

    Raises
    ------
    StoreError
        The evaluation is missing, unfinished or damaged.
    """
    return read_facts(evaluation, METRICS)


def read_facts(folder: str | Path, name: str, command: str | None = None) -> dict[str, Any]:
    """The JSON file ``name`` in a finished folder, which ``command`` must have made where one is given.

    Raises
    ------
    StoreError
        The folder is missing, unfinished, damaged or of another kind.
    """
    path = Path(folder) / name
    check_whole(folder, command)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None


def read_table(evaluation: str | Path, name: str) -> pd.DataFrame:
    """``by_structure``, ``by_defocus``, ``by_atoms``, ``confusion`` (index: true depth), ``calibration`` or
    ``columns``."""
    path = Path(evaluation) / f"{name}.csv"
    check_whole(evaluation)
    try:
        return pd.read_csv(path, index_col=0 if name == "confusion" else None)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None


def read_examples(evaluation: str | Path) -> xr.Dataset:
    """``examples.zarr``, lazily; see ``segdepth.evaluation.examples`` for what it holds."""
    path = Path(evaluation) / EXAMPLES
    check_whole(evaluation)
    try:
        return xr.open_zarr(path, consolidated=False, chunks=None)
    except Exception as failure:  # zarr and xarray raise many kinds; the reader needs one line
        raise StoreError(f"{path}: cannot be read as a Zarr store ({failure})") from failure
