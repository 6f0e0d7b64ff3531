"""The step ``measure-gradients``: gradients of the class probabilities with respect to a test image at several doses.

It writes ``gradients.zarr`` (``segdepth.evaluation.gradients``), maps of one structure, and ``radii.csv``
(``segdepth.evaluation.gradient_reach``), of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from segdepth.config import Dataset, Specimen
from segdepth.devices import torch_device
from segdepth.evaluation.gradients import gradients_at_doses, radii_of_image
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
    images: Sequence[Path],
    depth: Sequence[Path],
    out: Path,
    *,
    name: str,
    structures: Sequence[int],
    doses: Sequence[float],
    atoms: int,
    code: str,
    device: str = "auto",
) -> None:
    """Gradients of the network in ``model`` on test structures at the middle of their defocus values.

    Parameters
    ----------
    images, depth : the shards that hold the structures, in the same order.
    structures : indices in the plan, of test structures. Maps are of the first; radii of all.
    atoms : count of the column whose gradients are kept as maps, or the nearest.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels, labels or another crystal.
    StoreError
        A store is missing or damaged, or lacks one of the structures.
    """
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, torch_device(device))
    network.requires_grad_(False)
    parameters = {
        "dataset": dataset.model_dump(mode="json"), "name": name, "structures": list(structures), "doses": list(doses),
        "atoms": atoms, "planned_structures": specimen.structures,
    }  # fmt: skip
    with opened_tests(images, depth, structures) as tests:
        check_tested(card, tests, model=name_of(model), dataset=name)
        middle = sorted(tests.defocus_nm)[len(tests.defocus_nm) // 2]
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[model, *images, *depth], parameters=parameters
        ) as partial:
            pixels = {"pixel_pm": tests.pixel_pm, "label_pixel_pm": tests.label_pixel_pm}
            mapped, radii = [], []
            for dose in doses:
                for sample in (s for s in tests.samples(dose) if s.defocus_nm == middle):
                    radii.append(radii_of_image(network, sample, dose, elements=tests.crystal.elements, **pixels))
                    mapped += [sample] if sample.structure == structures[0] else []
            found = gradients_at_doses(network, mapped, doses, atoms=atoms, **pixels)
            facts = {"model": name_of(model), "dataset": name, "structure": structures[0], "defocus_nm": middle}
            facts |= {"classes": tests.labels.classes, "trained_lambda": list(card.doses)}
            partial.mkdir()
            written = found.assign_attrs(facts | {"base_channels": card.base_channels, "variant": card.variant})
            write_zarr(written, partial / GRADIENTS, leading=("place", "dose"), parameters=parameters)
            pd.concat(radii).to_csv(partial / RADII, **CSV)
