"""The step ``measure-sets``: sets of counts with a promised coverage, calibrated on half of a data set's test
structures and measured on the other half, and on other data sets (shifts).

Every data set is measured on every other of its test structures, beginning with the second, without those of the
calibration. It writes a CSV: ``dataset``, ``element``, ``columns``, ``promised``, ``coverage``, ``low``, ``high``,
``size``, ``single`` (``segdepth.evaluation.conformal``), ``threshold`` (of the element's scores).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from segdepth.config import Dataset, PredictionSets, Specimen
from segdepth.devices import torch_device
from segdepth.errors import ConfigError, StoreError
from segdepth.evaluation.column_probabilities import ColumnProbabilities, column_probabilities
from segdepth.evaluation.conformal import coverage_rows, sets, split_structures, spread, thresholds
from segdepth.evaluation.noisy_images import NoisyImages, Sample
from segdepth.evaluation.tested_network import check_tested
from segdepth.networks.bundled import name_of
from segdepth.networks.files import load_network
from segdepth.steps.test_images import opened_tests
from segdepth.steps.written_tables import CSV
from segdepth.store.manifest import check_whole, write_artefact

COMMAND = "measure-sets"


def measure_sets(
    block: PredictionSets,
    datasets: Sequence[tuple[Dataset, Specimen]],
    model: Path,
    images: Sequence[Path],
    depth: Sequence[Path],
    out: Path,
    *,
    name: str,
    code: str,
    device: str = "auto",
) -> None:
    """Calibrate and measure.

    Parameters
    ----------
    datasets : of ``block.datasets``, in that order. images, depth : the shards of all of them, one data set after
        another.
    name : of the block.

    Raises
    ------
    ConfigError
        The network was trained on one of the structures, or for other pixels, labels or another crystal.
    StoreError
        A store is missing or damaged; a data set has fewer than two test structures.
    """
    _check_numbers(block, datasets, images, depth, name)
    where = torch_device(device)
    check_whole(model, ("train-model", "export-model"))
    network, card = load_network(model, where)
    given = {"datasets": {n: d.model_dump(mode="json") for n, (d, _) in zip(block.datasets, datasets)}}
    parameters = {"prediction_sets": block.model_dump(mode="json"), "name": name, **given}

    def columns_of(number: int, structures: Sequence[int]) -> ColumnProbabilities:
        first = sum(specimen.shards for _, specimen in datasets[:number])
        dataset, specimen = datasets[number]
        mine = slice(first, first + specimen.shards)
        with opened_tests(images[mine], depth[mine], structures) as tests:
            check_tested(card, tests, model=name_of(model), dataset=block.datasets[number])
            return column_probabilities(
                network, card, _chosen(tests, dataset.dose_lambda, block.images), tests.crystal.elements
            )

    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=[model, *images, *depth],
        parameters=parameters,
        notes={"device": str(where)},
    ) as partial:
        rows, limits = [], {}
        for number, dataset in enumerate(tqdm(block.datasets, desc=f"sets of {name}", unit="dataset")):
            half, test = _halves(*datasets[number], dataset)
            if number == 0:
                calibration = half
                found = columns_of(0, calibration)
                limits = thresholds(found.probabilities, found.true, found.element, block.coverage)
            if datasets[number][0].specimen == datasets[0][0].specimen:  # perhaps of other splits
                test = _unseen(test, calibration, dataset)
            found = columns_of(number, test)
            held = sets(found.probabilities, found.element, limits)
            for row in coverage_rows(held, found.true, found.element, found.structure):
                more = {"promised": block.coverage, "threshold": limits.get(row["element"])}
                rows.append({"dataset": dataset} | row | more)
        order = ["dataset", "element", "columns", "promised", "coverage", "low", "high", "size", "single", "threshold"]
        pd.DataFrame(rows)[order].to_csv(partial, **CSV)


def _check_numbers(
    block: PredictionSets,
    datasets: Sequence[tuple[Dataset, Specimen]],
    images: Sequence[Path],
    depth: Sequence[Path],
    name: str,
) -> None:
    shards = sum(specimen.shards for _, specimen in datasets)
    for what, got, needed in (
        ("data sets", len(datasets), len(block.datasets)),
        ("shards of images", len(images), shards),
        ("shards of depth maps", len(depth), shards),
    ):
        if got != needed:
            raise ConfigError(f"prediction_sets.{name}: got {got} {what}, {needed} are needed")


def _halves(dataset: Dataset, specimen: Specimen, name: str) -> tuple[list[int], list[int]]:
    structures = dataset.structures_of("test", specimen)
    if len(structures) < 2:
        raise StoreError(f"data set {name!r}: has {len(structures)} test structures; sets need at least 2")
    return split_structures(structures)


def _unseen(structures: list[int], calibration: list[int], name: str) -> list[int]:
    left = sorted(set(structures) - set(calibration))
    if not left:
        raise StoreError(f"data set {name!r}: sets are calibrated on all structures that it would be measured on")
    return left


def _chosen(tests: NoisyImages, dose_lambda: float, count: int) -> Iterator[Sample]:
    """Samples at defocus values spread over the stored ones."""
    kept = set(spread(count, len(tests.defocus_nm)).tolist())
    return (sample for sample in tests.samples(dose_lambda) if sample.defocus in kept)
