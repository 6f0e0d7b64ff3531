"""The step ``measure-gradients``: gradients of the class probabilities with respect to a test image at several doses.

It writes ``gradients.zarr`` and ``radii.csv``: see ``segdepth.evaluation.gradients``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdepth.config import Dataset, Specimen
from segdepth.devices import torch_device
from segdepth.evaluation.gradients import gradients_at_doses
from segdepth.evaluation.tested_network import check_tested
from segdepth.networks.bundled import name_of
from segdepth.networks.files import load_network
from segdepth.steps.test_images import opened_tests
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import check_whole, write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "measure-gradients"
GRADIENTS, RADII = "gradients.zarr", "radii.csv"


def measure_gradients(
    dataset: Dataset,
    specimen: Specimen,
    model: Path,
    images: Path,
    depth: Path,
    out: Path,
    *,
    name: str,
    structure: int,
    doses: Sequence[float],
    atoms: int,
    code: str,
    device: str = "auto",
) -> None:
    """Gradients of the network in ``model`` on one structure at the middle of its defocus values.

    Parameters
    ----------
    images, depth : the shard that holds the structure.
    structure : index in the plan; a test structure.
    atoms : count of the column whose gradients are kept as maps, or the nearest.

    Raises
    ------
    ConfigError
        The network was trained on the structure, or for other pixels, labels or another crystal.
    StoreError
        A store is missing or damaged, or lacks the structure.
    """
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, torch_device(device))
    network.requires_grad_(False)
    parameters = {
        "dataset": dataset.model_dump(mode="json"), "name": name, "structure": structure, "doses": list(doses),
        "atoms": atoms, "planned_structures": specimen.structures,
    }  # fmt: skip
    with opened_tests([images], [depth], [structure]) as tests:
        check_tested(card, tests, model=name_of(model), dataset=name)
        middle = sorted(tests.defocus_nm)[len(tests.defocus_nm) // 2]
        samples = [next(s for s in tests.samples(dose) if s.defocus_nm == middle) for dose in doses]
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[model, images, depth], parameters=parameters
        ) as partial:
            found, radii = gradients_at_doses(
                network,
                samples,
                doses,
                pixel_pm=tests.pixel_pm,
                label_pixel_pm=tests.label_pixel_pm,
                elements=tests.crystal.elements,
                atoms=atoms,
            )
            facts = {"model": name_of(model), "dataset": name, "structure": structure, "defocus_nm": middle}
            facts |= {"classes": tests.labels.classes, "trained_lambda": list(card.doses)}
            partial.mkdir()
            written = found.assign_attrs(facts | {"base_channels": card.base_channels, "variant": card.variant})
            write_zarr(written, partial / GRADIENTS, leading=("place", "dose"), parameters=parameters)
            radii.to_csv(partial / RADII, **CSV)
