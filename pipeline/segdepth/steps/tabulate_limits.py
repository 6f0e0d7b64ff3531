"""The step ``tabulate-limits``: the ideal observer of a data set against dose, defocus, count and place, and a network
beside it. It writes a CSV, ``segdepth.evaluation.limits.limit_rows``; ``source`` is ``ideal observer`` or the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from segdepth.errors import StoreError
from segdepth.evaluation.limits import at_doses, limit_rows, network_columns, placed
from segdepth.specimen.columns import column_table
from segdepth.specimen.frame_facts import FrameFacts
from segdepth.specimen.surface_changes import vacuum_distance
from segdepth.steps.atoms_files import read_atoms
from segdepth.steps.stored_evaluation import read_evaluation, read_ideal_observer
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import write_artefact

COMMAND = "tabulate-limits"
IDEAL = "ideal observer"
DOSES = (0.1, 0.2, 0.5, 1.0, 1.8, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)


def tabulate_limits(
    observer: Path, evaluations: Sequence[Path], atoms: Sequence[Path], out: Path, *, code: str
) -> None:
    """Write the table to ``out``.

    Parameters
    ----------
    observer : folder of ``estimate-ideal-observer``. evaluations : folders of ``evaluate-model``, of the same
        structures at several doses; one must be at the observer's. atoms : the structures' shards.

    Raises
    ------
    StoreError
        A result is missing, unfinished, damaged or of other structures.
    """
    ideal = read_ideal_observer(observer, columns=True)
    dose = float(ideal.facts["dose_lambda"])
    structures = {IDEAL: int(ideal.facts["structures"])}
    parts, networks = [(IDEAL, at_doses(ideal.columns, dose, sorted({*DOSES, dose})))], {}
    for folder in evaluations:
        found = read_evaluation(folder, columns=True)
        if found.facts["specimen"] != ideal.facts["specimen"]:
            raise StoreError(
                f"{folder}: is of the specimen {found.facts['specimen']!r}, the ideal observer of "
                f"{ideal.facts['specimen']!r}"
            )
        mine = network_columns(found.columns, found.facts["dose_lambda"])
        structures[found.facts["model"]] = int(found.facts["structures"])
        networks.setdefault(found.facts["model"], []).append(mine)
    parts += [(model, pd.concat(tables, ignore_index=True)) for model, tables in networks.items()]
    wanted = set(np.concatenate([table["structure"].unique() for _, table in parts]).tolist())
    distance = _distances(atoms, wanted)
    tables = [limit_rows(placed(table, distance), source, dose) for source, table in parts]
    inputs = [observer, *evaluations, *atoms]
    parameters = {"observer": str(observer), "evaluations": [str(path) for path in evaluations], "dose_lambda": dose}
    parameters |= {"dataset": ideal.facts["dataset"], "structures": structures}
    with write_artefact(out, command=COMMAND, code=code, inputs=inputs, parameters=parameters) as partial:
        pd.concat(tables).to_csv(partial, **CSV)


def _distances(atoms: Sequence[Path], wanted: set[int]) -> dict[int, pd.DataFrame]:
    """Columns of each structure with their distance to the vacuum."""
    found = {}
    for path in atoms:
        for position, frame in enumerate(read_atoms(path)):
            facts = FrameFacts.of(frame, position)
            if facts.index in wanted:
                table = column_table(frame, facts.margin_pm, facts.field_pm, facts.margin_pm)
                found[facts.index] = table.assign(distance_pm=vacuum_distance(table, facts.field_pm))
    if missing := sorted(wanted - set(found)):
        raise StoreError(f"{len(missing)} structures are in none of the {len(atoms)} shards, the first is {missing[0]}")
    return found
