"""The step ``adapt-network``: what ``plan-adaptation`` has planned is made, with the steps, paths and manifests of the
workflow: plan, atoms, waves, depth maps, network, prediction. What is whole is not made again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from segdepth.adaptation.names import FILM, NAME
from segdepth.config import Config, DatasetBlocks, load_config
from segdepth.crystals import load_crystal
from segdepth.devices import torch_device
from segdepth.simulation.exit_wave import abtem_device
from segdepth.steps.adaptation_structures import is_whole, make_structures
from segdepth.steps.layout import Layout
from segdepth.steps.plan_adaptation import COMMAND as PLANNED
from segdepth.steps.plan_adaptation import CONFIG
from segdepth.steps.plan_specimens import plan_parameters, plan_specimens
from segdepth.steps.predict_micrograph import predict_micrograph
from segdepth.steps.train_model import train_model
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import check_whole

PREDICT_COMMAND = "predict-micrograph"
"""What manifests call the command ``predict``."""


def check_device(device: str) -> None:
    """Refuse a device that waves or network could not use; for callers that plan first.

    Raises
    ------
    ConfigError
        It is not there.
    """
    abtem_device(device)
    torch_device(device)


def adapt_network(
    out: Path, *, cores: int | None = None, device: str = "auto", tell: Callable[[str], None] = lambda line: None
) -> tuple[str, ...]:
    """Make what ``out/config.yaml`` plans; returns the lines of the prediction.

    Parameters
    ----------
    cores : processes for structures, and threads of the training; by default all.
    tell : called with each line for the user.

    Raises
    ------
    SegDepthError
        ``out`` holds no plan, or what is there cannot be replaced.
    """
    check_device(device)
    check_whole(out / CONFIG, PLANNED)
    config, cores = load_config(out / CONFIG), cores or os.cpu_count() or 1
    layout = Layout(config)
    _make_plan(config, out)
    make_structures(config, layout, out, cores, device)
    network = out / layout.network_of(NAME)
    _train(config, layout, out, network, cores, device, tell)
    return _predict(config, out, network, device, tell)


def _make_plan(config: Config, out: Path) -> None:
    specimen, path = config.specimens[NAME], out / Layout(config).plan_of(NAME)
    crystal = config.crystals[specimen.crystal]
    code = code_hash("plan-specimens")
    parameters = plan_parameters(specimen, load_crystal(crystal, specimen.crystal), NAME)
    if not is_whole(path, "plan-specimens", code, parameters):
        plan_specimens(specimen, crystal, NAME, config.root_seed, path, code=code)


def _train(
    config: Config,
    layout: Layout,
    out: Path,
    network: Path,
    cores: int,
    device: str,
    tell: Callable[[str], None],
) -> None:
    dataset, model = config.datasets[NAME], config.models[NAME]
    blocks = [DatasetBlocks(dataset, config.specimens[NAME], config.imaging[NAME], config.labels[NAME])]
    parameters = {"model": model.model_dump(mode="json"), "training_sets": [each.as_json() for each in blocks]}
    code = code_hash("train-model")
    if is_whole(network, "train-model", code, parameters):
        tell(f"{network} is there already and is kept")
        return
    waves, depth = ([out / path for path in shards(NAME)] for shards in (layout.wave_shards, layout.depth_shards))
    train_model(
        model,
        blocks,
        waves,
        depth,
        network,
        name=NAME,
        root_seed=config.root_seed,
        checkpoints=out / "results" / "checkpoints" / NAME,
        code=code,
        device=device,
        threads=cores,
    )


def _predict(config: Config, out: Path, network: Path, device: str, tell: Callable[[str], None]) -> tuple[str, ...]:
    block, folder, code = config.predictions[FILM], out / "results" / "predictions" / FILM, code_hash("predict")
    options = block.options()
    if is_whole(folder, PREDICT_COMMAND, code, options.parameters):
        tell(f"{folder} is there already and is kept")
        return ()
    return predict_micrograph(options, Path(block.input), network, folder, code=code, device=device, tell=tell)
