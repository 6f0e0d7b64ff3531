"""The step ``train-model``: shards of waves and depth maps in, a trained network out.

``results/models/<model>/`` holds ``weights.safetensors``, ``network.json`` (``segdepth.networks.card``) and
``curve.csv``; the record of the run beside it has the facts of the training (``segdepth.steps.training_facts``).
Checkpoints are in
``results/checkpoints/<model>/<fingerprint>/`` until the training is done; a stopped training resumes from its last
epoch if nothing that determines it has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from segdepth.config import DatasetBlocks, Model, check_trainable
from segdepth.devices import torch_device
from segdepth.errors import ConfigError
from segdepth.learning.training import check_devices, train_network
from segdepth.learning.training_sets import TrainingSet
from segdepth.networks.training_record import read_training_record
from segdepth.steps.pretrained import MADE_BY, check_denoiser, check_pretrained_network
from segdepth.steps.training_facts import NOTE
from segdepth.store.manifest import check_target, check_whole, read_manifest, write_artefact
from segdepth.store.run_record import commit_of, versions
from segdepth.store.zarr_store import open_zarr

COMMAND = "train-model"


def train_model(
    model: Model,
    blocks: Sequence[DatasetBlocks],
    waves: Sequence[Path],
    depth: Sequence[Path],
    out: Path,
    *,
    name: str,
    root_seed: int,
    checkpoints: Path,
    code: str,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train one network and write its folder.

    Parameters
    ----------
    blocks : those of the data sets of ``model.datasets``, in their order.
    waves, depth : the shards of all data sets, one data set after another.
    name : the model block's.
    checkpoints : folder under which checkpoints are kept.

    With ``training.devices`` above 1 this function runs in one process for each device; the first one writes.
    """
    key = f"models.{name}"
    check_trainable(key, model, blocks)
    shards = part_shards(blocks, waves, depth)
    where = torch_device(device)
    check_devices(model.training.devices, where)
    if threads:
        torch.set_num_threads(threads)
    inputs = list(dict.fromkeys(path for pair in shards for paths in pair for path in paths))
    earlier_record = []
    if model.init_weights is not None:
        check_pretrained_network(f"{key}.init_weights", Path(model.init_weights), model.architecture)
    if model.denoiser is not None:
        check_denoiser(f"{key}.denoiser", Path(model.denoiser), blocks[0])
    for first in map(Path, model.starts_from):
        check_whole(first, MADE_BY)
        earlier_record = read_training_record(first)
        inputs.append(first)
    check_target(out, COMMAND, inputs)
    contents = [read_manifest(path)["content"] for path in inputs]
    given = [each.as_json() for each in blocks]
    folder = checkpoints / _fingerprint(name, model.as_json(), given, root_seed, contents, code)
    with ExitStack() as opened:
        training_sets = [
            TrainingSet(
                each,
                [opened.enter_context(open_zarr(path, "simulate-waves")) for path in pair[0]],
                [opened.enter_context(open_zarr(path, "project-depth")) for path in pair[1]],
            )
            for each, pair in zip(blocks, shards)
        ]
        trained = train_network(
            name,
            model,
            training_sets,
            root_seed=root_seed,
            checkpoints=folder,
            device=where,
            facts={"commit": commit_of(Path(__file__).parent), "versions": versions()},
            earlier_record=earlier_record,
        )
    if trained is None:
        return
    with write_artefact(
        out,
        command=COMMAND,
        code=code,
        inputs=inputs,
        parameters={"model": model.model_dump(mode="json"), "training_sets": given},
        seeds={"root_seed": root_seed, "training": model.training.seed},
        notes={NOTE: trained.facts},
    ) as partial:
        partial.mkdir()
        trained.write(partial)
    _remove_checkpoints(checkpoints)


def part_shards(
    blocks: Sequence[DatasetBlocks], waves: Sequence[Path], depth: Sequence[Path]
) -> list[tuple[list[Path], list[Path]]]:
    """The shards of all data sets, one data set after another, split by data set: waves and depth maps.

    Raises
    ------
    ConfigError
        There are not as many as the specimens have.
    """
    wanted = sum(each.specimen.shards for each in blocks)
    for name, paths in (("waves", waves), ("depth", depth)):
        if len(paths) != wanted:
            raise ConfigError(f"--{name}: got {len(paths)} shards; the specimens have {wanted}")
    parted, first = [], 0
    for each in blocks:
        here = slice(first, first + each.specimen.shards)
        parted.append((list(waves[here]), list(depth[here])))
        first = here.stop
    return parted


def _fingerprint(*determining: object) -> str:
    """Hash of all that determines a training; a stopped one resumes only if it is the same."""
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()[:16]


def _remove_checkpoints(checkpoints: Path) -> None:
    """Remove checkpoints of this and of other stopped trainings: folders named as ours that hold checkpoints only."""
    for folder in checkpoints.iterdir():
        ours = folder.is_dir() and re.fullmatch(r"[0-9a-f]{16}", folder.name)
        if ours and all(path.suffix == ".ckpt" for path in folder.iterdir()):
            shutil.rmtree(folder)
