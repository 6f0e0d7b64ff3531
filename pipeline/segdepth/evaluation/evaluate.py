"""The job ``evaluate-model``: a network against the test structures of a data set.

The directory it writes:

- ``metrics.json``, flat: ``model``, ``dataset``, ``specimen``, ``images``, ``structures``, ``columns`` (how many were
  counted, over all images), ``dose_lambda``, ``electrons_per_square_angstrom``, ``parameters`` (of the network),
  ``base_channels``, ``variant``; every metric of ``segdepth.evaluation.metrics.NAMES``, over both elements and ending
  in ``_Ce`` and ``_O``, each with a 95 % bootstrap interval over structures in ``<metric>_interval`` ([low, high]);
  ``expected_calibration_error`` over all pixels and ``expected_calibration_error_columns`` over those with a true depth
  above 0, each with its interval, too. A pixel's element is that of its nearest column. What cannot be told is null.
- ``by_defocus.csv``: every metric at each defocus, ``columns_exact`` and ``centre_accuracy`` with their interval in
  ``<metric>_low`` and ``<metric>_high``.
- ``by_atoms.csv``: what becomes of columns that hold 1 to 10 atoms, for Ce, O and both; see ``Tallies.by_atoms``.
- ``by_structure.csv``: see ``Tallies.by_structure``.
- ``confusion.csv``: pixels; rows the true depth, columns the estimated one.
- ``calibration.csv``: reliability in bins of confidence.
- ``columns.csv``: one row a column and image: ``structure``, ``defocus_nm``, ``x_pm``, ``y_pm``, ``element``, ``atoms``
  (true), ``depth`` and ``confidence`` (of the mean probability over its core). Columns whose core leaves the field do
  not count.
- ``examples.zarr``: see ``segdepth.evaluation.examples``.

Noise depends on root seed, specimen, structure and defocus only. Computed in float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from segdepth.config import ELEMENTS, NETWORK_STRIDE, Dataset, Labels
from segdepth.devices import torch_device
from segdepth.errors import ConfigError
from segdepth.evaluation.examples import Examples
from segdepth.evaluation.stored import EXAMPLES, METRICS
from segdepth.evaluation.tallies import Tallies
from segdepth.evaluation.test_images import Sample, TestSet
from segdepth.networks.bundled import name_of
from segdepth.networks.files import NetworkCard, load_network
from segdepth.networks.training_record import structures_seen
from segdepth.networks.unet import count_parameters
from segdepth.seeds import hash64
from segdepth.simulation.detector import electrons_per_square_angstrom
from segdepth.store.manifest import writing

COMMAND = "evaluate-model"
BATCH_PIXELS = 8 * 256**2
"""Of a batch, so that memory does not grow with the frames."""

COLUMNS = ("structure", "defocus_nm", "x_pm", "y_pm", "element", "atoms", "depth", "confidence")


def evaluate_model(
    *,
    model: Path,
    images: Sequence[Path],
    depth: Sequence[Path],
    structures: Sequence[int],
    dataset: Dataset,
    dataset_name: str,
    specimen_name: str,
    root_seed: int,
    out: Path,
    code: str,
    device: str = "auto",
    batch_size: int | None = None,
) -> None:
    """Evaluate ``model`` on ``structures`` (the test split) at every stored defocus.

    ``images`` and ``depth`` are the shards' stores, in the same order. Without ``batch_size``, as many images at a time
    as make up ``BATCH_PIXELS``.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels or labels.
    StoreError
        A store is missing or damaged, no structures are left, or another version trained the network.
    """
    where = torch_device(device)
    _check_unseen(model, structures, specimen_name, root_seed)
    network, card = load_network(model, where)
    tests = TestSet(images, depth, structures)
    _check_fits(card, tests, model, dataset_name)
    batch_size = batch_size or max(1, BATCH_PIXELS // tests.pixels**2)
    tallies = Tallies(len(tests.structures), len(tests.defocus_nm))
    examples = Examples(tests.structures, tests.defocus_nm)
    parameters = {
        "dataset": dataset.model_dump(mode="json"),
        "dataset_name": dataset_name,
        "structures": tests.structures,
    }
    with writing(
        out,
        command=COMMAND,
        code=code,
        inputs=[model, *images, *depth],
        parameters=parameters,
        seeds={"root_seed": root_seed, "specimen": specimen_name},
        notes={"device": str(where), "batch_size": batch_size},
    ) as partial:
        partial.mkdir()
        pd.DataFrame(columns=COLUMNS).to_csv(partial / "columns.csv", index=False, lineterminator="\n")
        samples = tests.samples(dataset.dose_lambda, specimen_name, root_seed)
        with tqdm(total=len(tests), desc=f"evaluating {name_of(model)} on {dataset_name}", unit="image") as progress:
            for batch in _batches(samples, batch_size):
                for sample, probabilities in zip(batch, _probabilities(network, batch, where)):
                    found = tallies.add(sample.place, sample.defocus, sample.truth, probabilities)
                    examples.offer(sample, probabilities)
                    _append_columns(partial / "columns.csv", found, sample)
                progress.update(len(batch))
        facts = {
            "model": name_of(model),
            "dataset": dataset_name,
            "specimen": specimen_name,
            "images": len(tests),
            "structures": len(tests.structures),
            "columns": int(tallies.columns[..., -1].sum()),
            "dose_lambda": dataset.dose_lambda,
            "electrons_per_square_angstrom": electrons_per_square_angstrom(dataset.dose_lambda),
            "parameters": count_parameters(network),
            "base_channels": card.base_channels,
            "variant": card.variant,
        }
        seed = (root_seed, hash64("bootstrap"), hash64(specimen_name))
        facts |= tallies.report(np.random.default_rng(seed))
        (partial / METRICS).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        tallies.write_tables(partial, tests.structures, tests.defocus_nm, seed)
        attributes = {
            "pixel_pm": tests.pixel_pm,
            "label_pixel_pm": tests.label_pixel_pm,
            "field_pm": tests.field_pm,
            "dose_lambda": dataset.dose_lambda,
        }
        examples.write(partial / EXAMPLES, attributes, parameters)


def _check_unseen(model: Path, structures: Sequence[int], specimen_name: str, root_seed: int) -> None:
    """A network must not be judged on what it learned from."""
    both = structures_seen(model, specimen_name, root_seed) & set(structures)
    if both:
        raise ConfigError(
            f"{model}: was trained on {len(both)} of the {len(set(structures))} structures of specimen "
            f"{specimen_name!r} that it would be tested on (the first is {min(both)}); "
            "evaluate it on structures that it has not seen"
        )


def _check_fits(card: NetworkCard, tests: TestSet, model: Path, dataset_name: str) -> None:
    for what, wanted, got in (
        ("images", card.input_pixel_pm, tests.pixel_pm),
        ("labels", card.label_pixel_pm, tests.label_pixel_pm),
    ):
        if abs(wanted - got) > 1e-6 * wanted:
            raise ConfigError(
                f"{model}: needs {what} with a pixel of {wanted:.6g} pm; "
                f"those of data set {dataset_name!r} have {got:.6g} pm"
            )
    if difference := tests.labels.difference(Labels.model_validate(card.labels)):
        raise ConfigError(
            f"{model}: the labels of data set {dataset_name!r} are not those it learned from: {difference}"
        )
    if tests.pixels % NETWORK_STRIDE:
        raise ConfigError(
            f"data set {dataset_name!r}: its images have {tests.pixels} pixels a side; "
            f"the network needs a multiple of {NETWORK_STRIDE}"
        )


def _batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.inference_mode()
def _probabilities(network: nn.Module, batch: list[Sample], device: torch.device) -> np.ndarray:
    """Softmax of the logits, float32 (image, class, y, x) (eq. 3)."""
    inputs = torch.from_numpy(np.stack([sample.noisy for sample in batch])[:, None]).to(device)
    return network(inputs.contiguous(memory_format=torch.channels_last)).softmax(dim=1).contiguous().cpu().numpy()


def _append_columns(path: Path, found: pd.DataFrame, sample: Sample) -> None:
    table = found.assign(
        structure=sample.structure,
        defocus_nm=sample.defocus_nm,
        x_pm=found["x_pm"].round(2),
        y_pm=found["y_pm"].round(2),
        element=np.array(ELEMENTS, dtype=object)[found["element"].to_numpy()],
        confidence=found["confidence"].round(5),
    )
    table[list(COLUMNS)].to_csv(path, mode="a", header=False, index=False, lineterminator="\n")
