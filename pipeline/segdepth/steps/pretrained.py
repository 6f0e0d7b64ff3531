"""Checks of trainings that begin with the weights of a trained network, ``models.*.init_weights``. Imports no
PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from segdepth.config import Architecture, Config, DatasetBlocks, Model
from segdepth.config.data_format import PIXEL_TOLERANCE
from segdepth.config.model import TRAINED, beginnings, planned
from segdepth.errors import ConfigError, StoreError
from segdepth.networks.bundled import bundled_folder
from segdepth.networks.card import read_card
from segdepth.networks.training_record import read_training_record, structures_seen
from segdepth.store.manifest import check_whole

MADE_BY = ("train-model", "export-model")
"""The commands that write a network's folder."""

NOT_PLAIN = "which denoises; a network whose task is depth, without a denoiser, is needed"


def check_pretrained(config: Config) -> None:
    """Networks that trainings begin with must exist and be whole, or be trained by the workflow. They must have the
    same architecture and must not have seen the new network's test structures.

    Raises
    ------
    ConfigError
        One line: the key, what it got, what is needed.
    """
    for name, model in config.models.items():
        key, behind = f"models.{name}.init_weights", [name]
        for folder, before in beginnings(model, config.models) if model.init_weights else ():
            if before is None:
                _check_place(key, folder)
                check_pretrained_network(key, folder, model.architecture)
                _check_whole(key, folder)
            elif before.task != "depth" or before.denoiser:
                raise ConfigError(f"{key}: got {folder}, {NOT_PLAIN}")
            elif before.architecture != model.architecture:
                raise ConfigError(_another(key, folder, before.architecture, model.architecture))
            behind.append(folder.name)
            if before is not None and folder.name in behind[:-1]:
                raise ConfigError(f"{key}: leads back to itself: {' <- '.join(behind)}")
        if model.denoiser is not None:
            _check_planned_denoiser(f"models.{name}.denoiser", config, model)
        for here, dataset in _measured(config, name):
            _check_unseen(here, config, model, dataset)


def _check_planned_denoiser(key: str, config: Config, model: Model) -> None:
    folder = Path(model.denoiser)
    block = planned(folder, config.models)
    dataset = config.datasets[model.datasets[0]]
    blocks = [config.specimens[dataset.specimen], config.imaging[dataset.imaging], config.labels[dataset.labels]]
    if block is None:
        _check_place(key, folder)
        check_denoiser(key, folder, DatasetBlocks(dataset, *blocks))
        _check_whole(key, folder)
    elif block.task != "denoise":
        raise ConfigError(f"{key}: got {folder}, whose task is {block.task}; a network with task denoise is needed")


def _check_place(key: str, folder: Path) -> None:
    """The folder must not be an output of the workflow under another name: Snakemake removes a job's old outputs, and
    with them the weights, before it runs."""
    where = Path(os.path.abspath(folder))
    if where.parent == Path(os.path.abspath(TRAINED)) and folder.parent != TRAINED:
        raise ConfigError(f"{key}: got {str(folder)!r}; write {TRAINED / where.name}")
    if bundled_folder().parent in where.parents:
        raise ConfigError(
            f"{key}: got {folder}, which make export replaces; copy it, with its manifest, to workflow/networks/NAME"
        )


def _check_whole(key: str, folder: Path) -> None:
    try:
        check_whole(folder, MADE_BY)
        read_training_record(folder)
    except StoreError as failure:
        raise ConfigError(f"{key}: got {str(folder)!r}; {failure}") from None


def _measured(config: Config, model: str) -> Iterator[tuple[str, str]]:
    """Key and data set of each evaluation, and of each prediction of a test structure, that the configuration asks
    for."""
    for dataset in config.evaluations.get(model, ()):
        yield f"evaluations.{model}", dataset
    for name, prediction in config.predictions.items():
        if prediction.model == model and prediction.micrograph is not None:
            yield f"predictions.{name}", config.micrographs[prediction.micrograph].dataset
    if config.paper is not None and config.paper.film is not None and config.paper.film_model == model:
        yield "paper.film", config.films[config.paper.film].dataset
    for name, table in config.tables.items():
        for row in table.rows:
            if row.dataset is not None and model in row.models:
                yield f"tables.{name}", row.dataset
    for name, matrix in config.generalization.items():
        for cell in matrix.cells:
            if cell.network == model:
                yield f"generalization.{name}", cell.dataset
    if config.export is not None and config.export.model == model:
        for dataset in config.export.card_datasets:
            yield "export.card_datasets", dataset


def _check_unseen(here: str, config: Config, model: Model, name: str) -> None:
    """The evaluation makes the same check after the training."""
    measured = config.datasets[name]
    specimen = config.specimens[measured.specimen]
    tested = set(measured.structures_of("test", specimen))
    for folder, before in beginnings(model, config.models):
        if before is None:
            seen = structures_seen(read_training_record(folder), measured.specimen, config.root_seed)
        else:
            datasets = [config.datasets[dataset] for dataset in before.datasets]
            same = [dataset for dataset in datasets if dataset.specimen == measured.specimen]
            seen = {index for dataset in same for index in dataset.structures_seen(specimen)}
        if both := sorted(seen & tested):
            raise ConfigError(
                f"{here}: {len(both)} test structures of {name!r} (the first is {both[0]}) are among those that "
                f"{folder} was trained on, which the training begins with"
            )


def check_denoiser(key: str, folder: Path, blocks: DatasetBlocks) -> None:
    """The network in ``folder`` must denoise images of this data set's pixel.

    Raises
    ------
    ConfigError
        There is none, it does not denoise, or its pixel is another one.
    """
    try:
        card = read_card(folder)
    except StoreError:
        raise ConfigError(_nothing(key, folder)) from None
    if card.task != "denoise":
        raise ConfigError(f"{key}: got {folder}, whose task is {card.task}; a network with task denoise is needed")
    pixel = blocks.imaging.pixel_pm
    if abs(card.input_pixel_pm - pixel) > PIXEL_TOLERANCE * pixel:
        raise ConfigError(
            f"{key}: got {folder}, which reads pixels of {card.input_pixel_pm:.6g} pm; the data set has {pixel:.6g} pm"
        )


def check_pretrained_network(key: str, folder: Path, architecture: Architecture) -> None:
    """The network in ``folder`` must have this architecture. Depth classes, pixels, labels and crystal may differ.

    Raises
    ------
    ConfigError
        There is none, or it is another one.
    """
    try:
        card = read_card(folder)
        found = Architecture(variant=card.variant, base_channels=card.base_channels)
    except (StoreError, ValueError):
        raise ConfigError(_nothing(key, folder)) from None
    if card.task != "depth" or card.denoiser:
        raise ConfigError(f"{key}: got {folder}, {NOT_PLAIN}")
    if found != architecture:
        raise ConfigError(_another(key, folder, found, architecture))


def _another(key: str, folder: Path, found: Architecture, wanted: Architecture) -> str:
    names = [f"{block.variant} with base_channels {block.base_channels}" for block in (found, wanted)]
    return f"{key}: got {folder}, which is {names[0]}; the network to be trained is {names[1]}"


def _nothing(key: str, folder: Path) -> str:
    return f"{key}: got {str(folder)!r}; no trained network lies there, give the folder of one"
