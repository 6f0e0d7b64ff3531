"""The step ``evaluate-model``: a network against the test structures of a data set, at every stored defocus.

It writes ``evaluation.json``, ``metrics.csv``, ``by_defocus.csv``, ``by_atoms.csv``, ``by_structure.csv``,
``confusion.csv``, ``calibration.csv``, ``columns.csv`` and ``examples.zarr``: see ``segdepth.evaluation.results``.
The facts also have ``trained_lambda``, the lowest and the highest λ of the network's training.
Specimen, seed, crystal and labels are those of the stores' attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segdepth.config import Dataset, Specimen
from segdepth.devices import torch_device
from segdepth.evaluation.evaluate import evaluate
from segdepth.networks.bundled import name_of
from segdepth.networks.files import load_network
from segdepth.steps.stored_evaluation import write_evaluation
from segdepth.steps.test_images import opened_tests
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "evaluate-model"


def evaluate_model(
    dataset: Dataset,
    specimen: Specimen,
    model: Path,
    images: Sequence[Path],
    depth: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
    batch_size: int | None = None,
) -> None:
    """Evaluate the network in ``model`` on the test structures of a data set.

    Parameters
    ----------
    images, depth : the shards' stores, in the same order.
    name : the data set's.
    batch_size : images at a time; without it, as many as fit ``segdepth.evaluation.evaluate.BATCH_PIXELS``.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels, labels or another crystal.
    StoreError
        A store is missing or damaged, there are no test structures, or another version trained the network.
    """
    where = torch_device(device)
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, where)
    structures = dataset.structures_of("test", specimen)
    parameters = {"dataset": dataset.model_dump(mode="json"), "name": name, "planned_structures": specimen.structures}
    notes: dict[str, Any] = {"device": str(where)}
    with (
        opened_tests(images, depth, structures) as tests,
        write_artefact(
            out,
            command=COMMAND,
            code=code,
            inputs=[model, *images, *depth],
            parameters=parameters,
            seeds={"root_seed": tests.root_seed, "specimen": tests.specimen},
            notes=notes,
        ) as partial,
    ):
        found = evaluate(
            network, card, tests, dataset.dose_lambda, model=name_of(model), dataset=name, batch_size=batch_size
        )
        notes |= found.run
        partial.mkdir()
        facts = found.facts | {"trained_lambda": list(card.doses)}
        write_evaluation(replace(found, facts=facts), partial, parameters)
