"""The step ``estimate-ideal-observer``: how well columns of a data set's test structures can be counted at all.

With the image: for some columns of each structure, images with one atom less and one more at the exit end are formed
(``segdepth.evaluation.ideal_observer_images``). With the prior: the planned smooth wedge, without point defects, is the
estimate (``segdepth.evaluation.ideal_observer_columns``).

It writes ``ideal_observer.json``, ``metrics.csv``, ``by_defocus.csv``, ``by_atoms.csv`` and ``columns.csv``: see
``segdepth.evaluation.results``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms
from tqdm import tqdm

from segdepth.config import Beam, Dataset, Imaging, Labels, Specimen
from segdepth.crystals import Crystal
from segdepth.errors import StoreError
from segdepth.evaluation.ideal_observer import by_atoms, by_defocus, metrics_table
from segdepth.evaluation.ideal_observer_columns import draw_columns, prior_tally, smooth_wedge
from segdepth.evaluation.ideal_observer_images import COLUMNS, Images, check_upright, observed_columns
from segdepth.evaluation.results import IdealObserver
from segdepth.seeds import hash64, structure_rng
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.specimen.frame_facts import FrameFacts
from segdepth.steps.atoms_files import read_atoms, read_plan
from segdepth.steps.stored_evaluation import write_ideal_observer
from segdepth.store.manifest import check_whole, read_manifest, write_artefact

COMMAND = "estimate-ideal-observer"

COLUMN_DRAWS = hash64("limit")
"""Separates the draw of columns from those of the geometry's stream (``segdepth.specimen.draws`` counts from 1)."""

BOOTSTRAP = hash64("bootstrap")


def estimate_ideal_observer(
    dataset: Dataset,
    specimen: Specimen,
    beam: Beam,
    imaging: Imaging,
    labels: Labels,
    plan: Path,
    atoms: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
    columns: int = 2,
    edge_nm: float = 0.6,
) -> None:
    """Estimate the ideal observers on ``columns`` columns of each element in each test structure, ``edge_nm`` inside
    the field.

    Parameters
    ----------
    plan, atoms : the specimen's plan and its shards.
    name : the data set's.

    Raises
    ------
    ConfigError
        Crystal or beam is tilted, or the beam has frozen phonons: another slicing or another draw of the phonons would
        then change the image more than one atom does.
    StoreError
        A file is missing, damaged or of another specimen; there are no test structures or no columns to draw.
    """
    check_upright(specimen, beam)
    images = Images(beam, imaging, specimen, device)
    structures = dataset.structures_of("test", specimen)
    if not structures:
        raise StoreError(f"data set {name!r}: has no test structures")
    check_whole(plan)
    root_seed = checked_seed((plan, *atoms), specimen, dataset.specimen)
    blocks = {"dataset": dataset, "specimen": specimen, "beam": beam, "imaging": imaging, "labels": labels}
    given = {key: block.model_dump(mode="json") for key, block in blocks.items()}
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[plan, *atoms],
        parameters={**given, "name": name, "columns": columns, "edge_nm": edge_nm},
        seeds={"root_seed": root_seed, "specimen": dataset.specimen},
        notes={"device": images.backend},
    ) as partial:
        electrons = electrons_per_pixel(dataset.dose_lambda, imaging.pixel_pm, imaging.detection_efficiency)
        rows = {int(row["index"]): row for row in read_plan(plan).to_dict("records")}
        found, prior, done, crystal = [], 0, set(), None
        with tqdm(total=len(structures), desc=f"ideal observer of {name}", unit="structure", mininterval=0.5) as bar:
            for frame, crystal in frames_of(atoms, structures):
                index = int(frame.info["index"])
                key = (root_seed, dataset.specimen, index)
                rng = structure_rng(*key, "geometry", COLUMN_DRAWS)
                drawn = draw_columns(frame, specimen, crystal, labels.most_atoms, columns, 1000 * edge_nm, rng)
                found += observed_columns(frame, drawn, images, crystal, electrons, key)
                wedge = smooth_wedge(rows[index], specimen, crystal, dataset.specimen, root_seed)
                prior = prior + prior_tally(frame, wedge, specimen, crystal, labels)
                done.add(index)
                bar.update()
        check_complete(structures, done, found, len(atoms), f"data set {name!r}", labels.most_atoms, edge_nm)
        facts = {"dataset": name, "specimen": dataset.specimen, "dose_lambda": dataset.dose_lambda}
        observer = _observer(facts, pd.DataFrame(found)[list(COLUMNS)], prior, crystal, specimen, structures, root_seed)
        partial.mkdir()
        write_ideal_observer(observer, partial)


def _observer(
    facts: dict[str, Any],
    table: pd.DataFrame,
    prior: np.ndarray,
    crystal: Crystal,
    specimen: Specimen,
    structures: Sequence[int],
    root_seed: int,
) -> IdealObserver:
    elements, choices = crystal.elements, 2 * specimen.count_shift_atoms + 1
    rng = np.random.default_rng((root_seed, BOOTSTRAP, hash64(facts["specimen"])))
    more = {
        "crystal": crystal.title,
        "elements": list(elements),
        "structures": len(structures),
        "columns": len(table) // table["defocus_nm"].nunique(),
    }
    return IdealObserver(
        facts=facts | more,
        metrics=metrics_table(table, prior, elements=elements, structures=structures, choices=choices, rng=rng),
        by_defocus=by_defocus(table, elements, choices),
        by_atoms=by_atoms(table, elements, choices),
        columns=table,
    )


def checked_seed(paths: Sequence[Path], specimen: Specimen, name: str) -> int:
    """The root seed of a specimen's plan and shards, which must be of this block and of one seed.

    Raises
    ------
    StoreError
        They are not, or one has no manifest.
    """
    seeds = set()
    for path in paths:
        made = read_manifest(path)
        parameters = made["parameters"]
        seeds.add(made["seeds"].get("root_seed"))
        if (parameters.get("specimen"), parameters.get("name")) != (specimen.model_dump(mode="json"), name):
            raise StoreError(f"{path}: was made for another specimen block or name than those given here")
        if len(seeds) > 1:
            raise StoreError(f"{path}: was made with another root_seed than {paths[0]}")
    return int(seeds.pop())


def frames_of(atoms: Sequence[Path], structures: Sequence[int]) -> Iterator[tuple[Atoms, Crystal]]:
    """The test structures, a shard at a time, and their crystal."""
    wanted = set(structures)
    for path in atoms:
        for position, frame in enumerate(read_atoms(path)):
            if int(frame.info["index"]) in wanted:
                crystal = FrameFacts.of(frame, position).crystal
                if crystal is None:
                    raise StoreError(f"{path}: its frames have no 'crystal'")
                yield frame, crystal


def check_complete(
    structures: Sequence[int],
    done: set[int],
    found: Sequence[dict],
    shards: int,
    name: str,
    most_atoms: int,
    edge_nm: float,
) -> None:
    """All structures were in the shards, and had columns to draw.

    Raises
    ------
    StoreError
        They were not, or had none.
    """
    if missing := sorted(set(structures) - done):
        raise StoreError(
            f"{len(missing)} of {len(structures)} test structures are in none of the {shards} shards, "
            f"the first is {missing[0]}"
        )
    if not found:
        raise StoreError(f"{name}: no column of 2 to {most_atoms - 1} atoms stands {edge_nm:g} nm inside the field")
