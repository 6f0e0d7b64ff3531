"""The step ``tabulate-table1``: our networks beside the paper's Table I, as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdepth.evaluation.table1 import PAPER, as_latex, table1
from segdepth.steps.stored_evaluation import read_evaluation
from segdepth.steps.written_tables import write_table

COMMAND = "tabulate-table1"


def tabulate_table1(evaluations: Sequence[Path], out: Path, *, code: str) -> None:
    """Write our rows and the paper's to ``out`` (.csv) and to the .tex beside it.

    Raises
    ------
    ConfigError
        ``out`` does not end in .csv.
    StoreError
        An evaluation is missing, unfinished or damaged.
    """
    table, options = table1([read_evaluation(path) for path in evaluations]), {"command": COMMAND, "code": code}
    write_table(table, as_latex(table), ".tex", Path(out), inputs=evaluations, parameters={"paper": PAPER}, **options)
