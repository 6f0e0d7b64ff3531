"""The step ``measure-denoiser``: PSNR and SSIM of every test image of a data set; see
``segdepth.evaluation.denoising``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdepth.config import Dataset, Specimen
from segdepth.devices import torch_device
from segdepth.evaluation.denoising import measure_denoising
from segdepth.evaluation.tested_network import check_tested
from segdepth.networks.bundled import name_of
from segdepth.networks.files import load_denoiser
from segdepth.steps.test_images import opened_tests
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "measure-denoiser"


def measure_denoiser(
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
) -> None:
    """Measure the denoiser in ``model`` (the first of two networks in a row, or the network itself) on the test
    structures of a data set; writes a CSV.

    Raises
    ------
    ConfigError
        The network does not denoise, was trained on one of the structures, or for other pixels.
    StoreError
        A store is missing or damaged.
    """
    check_whole(model, "train-model")
    denoiser, card = load_denoiser(model, torch_device(device))
    with opened_tests(images, depth, dataset.structures_of("test", specimen)) as tests:
        check_tested(card, tests, model=name_of(model), dataset=name)
        parameters = {"dataset": dataset.model_dump(mode="json"), "name": name}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[model, *images, *depth], parameters=parameters
        ) as partial:
            table = measure_denoising(denoiser, tests, dataset.dose_lambda)
            table.to_csv(partial, **CSV)
