"""The step ``estimate-yardstick-observer``: how well a single column can be counted in each recording of a yardstick,
with lens, dose and all other columns known.

The recordings are drawn as ``measure-yardstick`` draws them (``segdepth.evaluation.recordings``), columns as
``estimate-ideal-observer`` does; see ``segdepth.evaluation.ideal_observer`` for what the bound is worth.

It writes ``observer.csv`` (metric, element, value, low, high), ``frames.csv`` (one row a recording and element) and
``columns.csv`` (one row a column and recording): see ``segdepth.evaluation.ideal_observer_recordings``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, Dataset, Imaging, Labels, Specimen, Yardstick
from segdepth.crystals import Crystal
from segdepth.crystals.elements import SYMBOLS
from segdepth.errors import ConfigError
from segdepth.evaluation.ideal_observer_columns import draw_columns
from segdepth.evaluation.ideal_observer_recordings import (
    RECORDED,
    by_recording,
    check_planes,
    coherent,
    column_waves,
    observed_column,
    observer_metrics,
)
from segdepth.evaluation.recordings import DrawnRecording, draw_recording
from segdepth.seeds import hash64, structure_rng
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.exit_wave import abtem_device, configure_abtem
from segdepth.steps.estimate_ideal_observer import BOOTSTRAP, COLUMN_DRAWS, check_complete, checked_seed, frames_of
from segdepth.steps.stored_evaluation import CSV
from segdepth.store.manifest import write_artefact

COMMAND = "estimate-yardstick-observer"

OBSERVER = "observer.csv"


def estimate_yardstick_observer(
    yardstick: Yardstick,
    dataset: Dataset,
    specimen: Specimen,
    beam: Beam,
    imaging: Imaging,
    labels: Labels,
    atoms: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
    edge_nm: float = 0.6,
) -> None:
    """Estimate the ideal observer on ``yardstick.observed_columns`` columns of each element in each test structure,
    of 2 to ``labels.most_atoms - 1`` atoms and ``edge_nm`` inside the field.

    Parameters
    ----------
    atoms : the specimen's shards.
    name : the yardstick's.

    Raises
    ------
    ConfigError
        The yardstick observes no columns, or the specimen has tilted atoms or carbon.
    StoreError
        A file is missing, damaged or of another specimen; there are no columns to draw.
    """
    if not yardstick.observed_columns:
        raise ConfigError(f"yardstick {name!r}: observed_columns: got 0; it must be at least 1")
    check_planes(specimen)
    backend = abtem_device(device)
    configure_abtem(backend)
    structures = dataset.structures_of("test", specimen)
    root_seed = checked_seed(atoms, specimen, dataset.specimen)
    blocks = {"yardstick": yardstick, "dataset": dataset, "specimen": specimen, "beam": beam, "imaging": imaging}
    given = {key: block.model_dump(mode="json") for key, block in (blocks | {"labels": labels}).items()}
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=list(atoms),
        parameters={**given, "name": name, "edge_nm": edge_nm},
        seeds={"root_seed": root_seed, "specimen": dataset.specimen},
        notes={"device": backend},
    ) as partial:
        found, facts, done, crystal = [], [], set(), None
        bar = tqdm(total=len(structures), desc=f"ideal observer of {name}", unit="structure", mininterval=0.5)
        for frame, crystal in frames_of(atoms, structures):
            key = root_seed, dataset.specimen, int(frame.info["index"])
            rng = structure_rng(*key, "geometry", COLUMN_DRAWS)
            count, edge_pm = yardstick.observed_columns, 1000 * edge_nm
            drawn = draw_columns(frame, specimen, crystal, labels.most_atoms, count, edge_pm, rng)
            recordings = [draw_recording(yardstick, imaging, key, i) for i in range(yardstick.recordings)]
            facts += [one.facts for one in recordings]
            found += _observed(frame, drawn, coherent(beam), imaging, crystal, recordings, key)
            done.add(key[2])
            bar.update()
        bar.close()
        check_complete(structures, done, found, len(atoms), f"yardstick {name!r}", labels.most_atoms, edge_nm)
        table = pd.DataFrame(found)[list(RECORDED)]
        rng = np.random.default_rng((root_seed, BOOTSTRAP, hash64(name)))
        partial.mkdir()
        observer_metrics(table, structures, crystal.elements, rng).to_csv(partial / OBSERVER, **CSV)
        by_recording(table, pd.DataFrame(facts)).to_csv(partial / "frames.csv", **CSV)
        table.to_csv(partial / "columns.csv", **CSV)


def _observed(
    atoms: Atoms,
    drawn: pd.DataFrame,
    beam: Beam,
    imaging: Imaging,
    crystal: Crystal,
    recordings: Sequence[DrawnRecording],
    key: tuple[int, str, int],
) -> Iterator[dict[str, Any]]:
    """A row of ``RECORDED`` for each column that was drawn from a structure, and each of its recordings."""
    symbols = [*crystal.all_elements, *atoms.get_chemical_symbols()]
    own = resolve_beam(beam, symbols, crystal.debye_waller_pm, structure_rng(*key, "beam"))
    for column in drawn.to_dict("records"):
        waves, attributes = column_waves(atoms, column["column"], own, crystal)
        for recording in recordings:
            yield {
                "structure": key[2],
                "recording": recording.facts["recording"],
                "element": SYMBOLS[column["element"]],
                "x_pm": round(column["x_pm"], 2),
                "y_pm": round(column["y_pm"], 2),
                "atoms": int(column["atoms"]),
                **observed_column(waves, attributes, imaging, recording),
            }
