"""The step ``tabulate-film``: a table of a measured film as a file with a manifest of its own, to be kept or shown."""

from __future__ import annotations

import shutil
from pathlib import Path

from segdepth.errors import ConfigError
from segdepth.steps.measure_film import DETECTABILITY, DWELL, SCORES
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "tabulate-film"
TABLES = {"scores": SCORES, "dwell": DWELL, "detectability": DETECTABILITY}


def tabulate_film(table: str, measured: Path, out: Path, *, code: str) -> None:
    """Write one of ``TABLES`` of a folder of ``measure-film`` to ``out`` (.csv).

    Raises
    ------
    ConfigError
        There is no such table, or ``out`` does not end in .csv.
    StoreError
        The folder is missing, unfinished or damaged; something else is in the table's place.
    """
    if table not in TABLES:
        raise ConfigError(f"TABLE: got {table!r}; allowed: {', '.join(TABLES)}")
    if out.suffix != ".csv":
        raise ConfigError(f"out: got {out}; the table's path ends in .csv")
    check_whole(measured, "measure-film")
    parameters = {"table": table}
    with write_artefact(out, command=COMMAND, code=code, inputs=[measured], parameters=parameters) as partial:
        shutil.copyfile(measured / TABLES[table], partial)
