"""The step ``measure-denoiser``: PSNR and SSIM of every test image of a data set; see
``segdepth.evaluation.denoising``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from segdepth.config import Dataset, Specimen
from segdepth.devices import torch_device
from segdepth.evaluation.denoising import measure_denoising
from segdepth.evaluation.noisy_images import NoisyImages
from segdepth.networks.bundled import name_of
from segdepth.networks.compatibility import check_network_fits, check_unseen
from segdepth.networks.files import load_denoiser
from segdepth.store.manifest import check_whole, write_artefact
from segdepth.store.zarr_store import open_zarr

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
    with ExitStack() as opened:
        shards = [
            [opened.enter_context(open_zarr(path, command)) for path in paths]
            for paths, command in ((images, "form-images"), (depth, "project-depth"))
        ]
        tests = NoisyImages(*shards, dataset.structures_of("test", specimen))
        names = {"network": repr(name_of(model)), "name": f"data set {name!r}"}
        check_network_fits(card, tests.format, **names)
        check_unseen(card, tests.structures, tests.specimen, tests.root_seed, **names)
        parameters = {"dataset": dataset.model_dump(mode="json"), "name": name}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=[model, *images, *depth], parameters=parameters
        ) as partial:
            table = measure_denoising(denoiser, tests, dataset.dose_lambda)
            table.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
