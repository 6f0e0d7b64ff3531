"""Tables as CSV, and in two forms: a CSV and another file of its name beside it, each with a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segdepth.errors import ConfigError, StoreError
from segdepth.store.manifest import check_target, write_artefact

CSV: dict[str, Any] = {"index": False, "lineterminator": "\n", "float_format": "%.6g"}
"""Options of ``DataFrame.to_csv``."""


def read_table(path: Path) -> pd.DataFrame:
    """A CSV whose manifest is the caller's to check.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as failure:
        raise StoreError(f"{path}: cannot be read ({failure})") from None


def write_table(
    table: pd.DataFrame,
    text: str,
    suffix: str,
    out: Path,
    *,
    command: str,
    code: str,
    inputs: Sequence[Path],
    parameters: Mapping[str, Any],
) -> None:
    """Write ``table`` to ``out`` and ``text`` to the file with ``suffix`` beside it.

    Raises
    ------
    ConfigError
        ``out`` does not end in .csv.
    StoreError
        Something else is there.
    """
    if out.suffix != ".csv":
        raise ConfigError(f"out: got {out}; the table's path ends in .csv, its {suffix} is written beside it")
    content = {".csv": table.to_csv(**CSV), suffix: text}
    for ending in content:
        check_target(out.with_suffix(ending), command, inputs)  # both, before either is written
    for ending, written in content.items():
        with write_artefact(
            out.with_suffix(ending), command=command, code=code, inputs=inputs, parameters=parameters
        ) as partial:
            partial.write_text(written, encoding="utf-8")
