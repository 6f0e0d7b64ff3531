"""Networks measured under each other's conditions, and what a short training there regains.

| column | what it is |
|---|---|
| ``network``, ``dataset`` | what was measured, and on what |
| ``began_with`` | of a tuned network, the one whose weights it began with |
| ``own_data`` | ``yes`` if the network was trained, or tuned, on the data set: on others of its structures |
| ``against`` | the network that changes are relative to, on the same images |
| ``dose_lambda``, ``structures``, ``images`` | of the data set's test structures |
| ``training_seconds`` | of the network; of a tuned one, those of the tuning |
| ``metric``, ``element`` | ``columns_exact``, ``columns_within_one``; ``columns_exact_change``: a network less
  the one trained on the data set, or a tuned network less the one that it began with |
| ``value``, ``low``, ``high`` | with the 95 % bootstrap interval over structures, of a change drawn for both alike;
  how far two trainings of the same network lie apart is not in it |
"""

from __future__ import annotations

import pandas as pd

from segdepth.config import Generalization, Table, TableRow
from segdepth.evaluation.network_tables import Results, as_table, network_rows

METRICS = ("columns_exact", "columns_within_one", "columns_exact_change")

COLUMNS = (
    *("network", "dataset", "began_with", "own_data", "against", "dose_lambda", "structures", "images"),
    *("training_seconds", "metric", "element", "value", "low", "high"),
)


def table_of(block: Generalization) -> Table:
    """The cells as rows of a table of networks, labelled by their numbers."""
    numbers = {(cell.network, cell.dataset): str(number) for number, cell in enumerate(block.cells)}
    rows = [
        TableRow(
            label=numbers[cell.network, cell.dataset],
            models=(cell.network,),
            dataset=cell.dataset,
            against=numbers[cell.against, cell.dataset] if cell.against else None,
        )
        for cell in block.cells
    ]
    return Table(rows=tuple(rows))


def generalization_table(block: Generalization, results: Results) -> pd.DataFrame:
    """One row a cell, metric and element; ``COLUMNS``.

    Parameters
    ----------
    results : of ``table_of(block)``.
    """
    numbers = as_table(network_rows(table_of(block), results))
    cells = []
    for number, cell in enumerate(block.cells):
        measured = results.evaluations[cell.network, cell.dataset].facts
        own = cell.began_with is not None or cell.against is None
        facts = {"own_data": "yes" if own else "no"} | {name: measured[name] for name in ("structures", "images")}
        cells.append({"label": str(number)} | cell._asdict() | facts)
    kept = numbers[numbers["metric"].isin(METRICS)].drop(columns="dataset")
    return kept.merge(pd.DataFrame(cells), on="label", how="left")[list(COLUMNS)]
