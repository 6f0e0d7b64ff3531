"""``columns.csv`` and ``columns.parquet``: one row a column and frame, the same values in both.

============ ======= ===== ===========================================================================================
name         type    unit  meaning
============ ======= ===== ===========================================================================================
frame        int32   1     number of the frame in the file, from 0
column       string        name of the lattice site, the same in every frame
x_pm, y_pm   float64 pm    place, from the corner of the file's pixel [0, 0]; x along axis 1, y along axis 0
x_px, y_px   float64 pixel the same in pixels of the file
element      string        the heaviest one of the column, whose atoms are counted
depth        int16   atoms most probable number of atoms; with a class of more, n + 1 stands for more than n
confidence   float32 1     its probability; of "more than n" 0.999 at most
depth_low    int16   atoms lower end of the 90 % set
depth_high   int16   atoms upper end of the 90 % set
at_least     bool          there may be more atoms than the network can count: its class of more is in the 90 % set, so
                           that there are ``depth_low`` or more; without such a class, the last one is the most
                           probable, and there are ``depth`` or more
llr          float32 1     natural log of the likelihood ratio against vacuum; positive speaks for a column
q_value      float32 1     false discovery rate at which the column is just listed
reliable     bool          False where the frame is outside of what the network has learnt
============ ======= ===== ===========================================================================================
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from segdepth.micrograph.results.facts import FrameResult

CSV, PARQUET = "columns.csv", "columns.parquet"
ROWS = 20_000
"""Rows of a Parquet row group, at least; so many are kept in memory."""

_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "frame": (pa.int32(), "1"),
    "column": (pa.string(), ""),
    "x_pm": (pa.float64(), "pm"),
    "y_pm": (pa.float64(), "pm"),
    "x_px": (pa.float64(), "pixel"),
    "y_px": (pa.float64(), "pixel"),
    "element": (pa.string(), ""),
    "depth": (pa.int16(), "atoms"),
    "confidence": (pa.float32(), "1"),
    "depth_low": (pa.int16(), "atoms"),
    "depth_high": (pa.int16(), "atoms"),
    "at_least": (pa.bool_(), ""),
    "llr": (pa.float32(), "1"),
    "q_value": (pa.float32(), "1"),
    "reliable": (pa.bool_(), ""),
}
HEADER = list(_TYPES)
GIVEN = [name for name in HEADER if name not in ("frame", "x_px", "y_px")]
"""What a frame's own table must have; the others follow."""

_DECIMALS = {"x_pm": 2, "y_pm": 2, "x_px": 4, "y_px": 4, "confidence": 4, "llr": 2}
SCHEMA = pa.schema([pa.field(n, kind, metadata={"unit": unit} if unit else None) for n, (kind, unit) in _TYPES.items()])


Rows = dict[str, np.ndarray]
"""Arrays of one length by the names of ``HEADER``: tables without the time that a DataFrame takes to make."""


def frame_rows(result: FrameResult, pixel_pm: float) -> Rows:
    """A frame's rows with all of ``HEADER``."""
    found = {}
    for name in GIVEN:
        kind = _TYPES[name][0]
        dtype = object if pa.types.is_string(kind) else kind.to_pandas_dtype()
        found[name] = result.table[name].to_numpy(dtype)
    found["frame"] = np.full(len(result.table), result.number, np.int32)
    found |= {f"{axis}_px": found[f"{axis}_pm"] / pixel_pm for axis in "xy"}
    found["reliable"] = found["reliable"] & result.reliable
    return found


class TableWriter:
    """Appends to both files."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / CSV).open("wb")
        self._file.write((",".join(HEADER) + "\n").encode())
        self._csv = csv.CSVWriter(self._file, SCHEMA, write_options=csv.WriteOptions(include_header=False))
        self._parquet = parquet.ParquetWriter(folder / PARQUET, SCHEMA, compression="zstd", compression_level=1)
        self._waiting: list[Rows] = []
        self._rows = 0

    def put(self, rows: Rows) -> None:
        """Append one frame's rows, those of ``frame_rows``."""
        self._waiting.append(rows)
        self._rows += len(rows["frame"])
        if self._rows >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            joined = {name: np.concatenate([rows[name] for rows in self._waiting]) for name in HEADER}
            joined |= {name: np.round(joined[name], decimals) for name, decimals in _DECIMALS.items()}
            arrays = [pa.array(joined[name], kind, from_pandas=True) for name, (kind, _) in _TYPES.items()]
            table = pa.Table.from_arrays(arrays, schema=SCHEMA)
            self._csv.write(table)
            self._parquet.write_table(table)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """Finish both files."""
        self._flush()
        self._csv.close()
        self._file.close()
        self._parquet.close()


def read_columns(folder: Path, frame: int) -> pd.DataFrame:
    """The rows of one frame of a finished table."""
    return parquet.read_table(folder / PARQUET, filters=[("frame", "=", frame)]).to_pandas()
