"""The step ``tabulate-generalization``: networks under each other's conditions, as a block of ``generalization`` lists
them, as CSV (``segdepth.evaluation.generalization``)."""

from __future__ import annotations

from pathlib import Path

from segdepth.config import Generalization
from segdepth.evaluation.generalization import generalization_table, table_of
from segdepth.steps.tabulate_networks import Folders, read_results
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import write_artefact

COMMAND = "tabulate-generalization"


def tabulate_generalization(block: Generalization, folders: Folders, out: Path, *, code: str) -> None:
    """Write the matrix to ``out``.

    Raises
    ------
    StoreError
        A result that the matrix needs is missing, unfinished or damaged.
    """
    table = table_of(block)
    found = generalization_table(block, read_results(table, folders))
    inputs = list(dict.fromkeys(path for row in table.rows for path in folders.read_by(row)))
    parameters = {"generalization": block.model_dump(mode="json")}
    with write_artefact(out, command=COMMAND, code=code, inputs=inputs, parameters=parameters) as partial:
        found.to_csv(partial, **CSV)
