"""The step ``tabulate-networks``: networks side by side, as a block of ``tables`` lists them, as CSV and Markdown.

For the columns see ``segdepth.evaluation.network_tables``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segdepth.config import RESERVED, Table, TableRow
from segdepth.errors import StoreError
from segdepth.evaluation.network_markdown import as_markdown
from segdepth.evaluation.network_tables import Results, as_table, network_rows
from segdepth.steps.stored_evaluation import read_evaluation, read_ideal_observer
from segdepth.steps.training_facts import training_facts
from segdepth.steps.written_tables import write_table
from segdepth.store.manifest import check_whole

COMMAND = "tabulate-networks"


@dataclass(frozen=True)
class Folders:
    """Folders of results: ``evaluations``/<model>/<dataset>, ``models``/<model>, ``observers``/<dataset>."""

    evaluations: Path
    models: Path
    observers: Path

    def read_by(self, row: TableRow) -> list[Path]:
        """The artefacts that a row is made of."""
        if row.ideal_observer is not None:
            return [self.observers / row.ideal_observer]
        trained = [self.models / model for model in row.models if model not in RESERVED]
        return [*(self.evaluations / model / str(row.dataset) for model in row.models), *trained]


def tabulate_networks(table: Table, folders: Folders, out: Path, *, code: str) -> None:
    """Write ``table`` to ``out`` (.csv) and to the .md beside it.

    Raises
    ------
    ConfigError
        ``out`` does not end in .csv.
    StoreError
        A result that a row needs is missing, unfinished or damaged.
    """
    rows = network_rows(table, read_results(table, folders))
    inputs = list(dict.fromkeys(path for row in table.rows for path in folders.read_by(row)))
    parameters = {"table": table.model_dump(mode="json")}
    options = {"command": COMMAND, "code": code, "inputs": inputs, "parameters": parameters}
    write_table(as_table(rows), as_markdown(table, rows), ".md", Path(out), **options)


def read_results(table: Table, folders: Folders) -> Results:
    """The results that the rows of a table need.

    Raises
    ------
    StoreError
        A result is missing, unfinished or damaged.
    """
    measured = dict.fromkeys((model, str(row.dataset)) for row in table.rows for model in row.models)
    observed = dict.fromkeys(row.ideal_observer for row in table.rows if row.ideal_observer)
    trained = dict.fromkeys(model for model, _ in measured if model not in RESERVED)
    return Results(
        evaluations={key: read_evaluation(folders.evaluations.joinpath(*key)) for key in measured},
        observers={name: read_ideal_observer(folders.observers / name) for name in observed},
        training_seconds={model: _training_seconds(folders.models / model) for model in trained},
    )


def _training_seconds(model: Path) -> float | None:
    manifest = check_whole(model)
    try:
        return training_facts(model, manifest).get("training_seconds")
    except (OSError, ValueError, AttributeError) as failure:
        raise StoreError(f"{model}: the record of its training cannot be read ({failure})") from None
