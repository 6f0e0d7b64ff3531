"""The step ``adapt-network``: what ``plan-adaptation`` has planned is made, with the steps, paths and manifests of the
workflow: plan, atoms, waves, depth maps, network, prediction. What is whole is not made again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segdepth.adaptation.blocks import FILM, NAME
from segdepth.config import Beam, Config, CrystalBlock, DatasetBlocks, Labels, Specimen, load_config
from segdepth.crystals import load_crystal
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.layout import Layout
from segdepth.steps.plan_adaptation import COMMAND as PLANNED
from segdepth.steps.plan_adaptation import CONFIG
from segdepth.steps.plan_specimens import plan_parameters, plan_specimens
from segdepth.steps.predict_micrograph import predict_micrograph
from segdepth.steps.project_depth import project_depth
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.steps.train_model import train_model
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import check_whole, manifest_path, read_manifest
from segdepth.store.verify import check

QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
"""Environment of the processes that make structures: one thread each, and one bar for all."""

PREDICT_COMMAND = "predict-micrograph"
"""What manifests call the command ``predict``."""


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
    check_whole(out / CONFIG, PLANNED)
    config, cores = load_config(out / CONFIG), cores or os.cpu_count() or 1
    layout = Layout(config)
    _make_plan(config, out)
    _make_structures(config, layout, out, cores, device)
    network = out / layout.network_of(NAME)
    _train(config, layout, out, network, cores, device, tell)
    return _predict(config, out, network, device, tell)


def is_whole(path: Path, command: str, code: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an artefact is as its manifest says, made by this command, code and parameters of what is there now."""
    if not manifest_path(path).exists() or check(path) is not None:
        return False
    found = read_manifest(path)
    same = all(found["parameters"].get(key) == value for key, value in parameters.items())
    return found["command"] == command and found["code"] == code and same


def _make_plan(config: Config, out: Path) -> None:
    specimen, path = config.specimens[NAME], out / Layout(config).plan_of(NAME)
    crystal = config.crystals[specimen.crystal]
    code = code_hash("plan-specimens")
    parameters = plan_parameters(specimen, load_crystal(crystal, specimen.crystal), NAME)
    if not is_whole(path, "plan-specimens", code, parameters):
        plan_specimens(specimen, crystal, NAME, config.root_seed, path, code=code)


@dataclass(frozen=True)
class _Shard:
    """What makes one shard of structures: blocks and paths."""

    number: int
    specimen: Specimen
    crystal: CrystalBlock
    beam: Beam
    labels: Labels
    root_seed: int
    plan: Path
    atoms: Path
    waves: Path
    depth: Path
    device: str

    @property
    def structures(self) -> int:
        size = self.specimen.shard_size
        return min(size, self.specimen.structures - self.number * size)

    def make(self) -> int:
        """Atoms, waves and depth maps that are not there; returns how many structures these are."""
        loaded = load_crystal(self.crystal, self.specimen.crystal)
        parameters = plan_parameters(self.specimen, loaded, NAME) | {"shard": self.number}
        code = code_hash("build-specimens")
        if not is_whole(self.atoms, "build-specimens", code, parameters):
            given = self.specimen, self.crystal, NAME, self.root_seed, self.number, self.plan, self.atoms
            build_specimens(*given, code=code)
        code = code_hash("project-depth")
        if not is_whole(self.depth, "project-depth", code, {"labels": self.labels.model_dump(mode="json")}):
            project_depth(self.labels, self.atoms, self.depth, code=code)
        code = code_hash("simulate-waves")
        if not is_whole(self.waves, "simulate-waves", code, {"beam": self.beam.model_dump(mode="json")}):
            simulate_waves(self.beam, self.atoms, self.waves, code=code, device=self.device)
        return self.structures


def _make_structures(config: Config, layout: Layout, out: Path, cores: int, device: str) -> None:
    """Every shard, several at a time; a bar counts structures."""
    specimen, paths = config.specimens[NAME], zip(*(shards(NAME) for shards in _shards(layout)))
    shared = specimen, config.crystals[specimen.crystal], config.beams[NAME], config.labels[NAME], config.root_seed
    shards = [
        _Shard(number, *shared, out / layout.plan_of(NAME), *(out / path for path in each), device)
        for number, each in enumerate(paths)
    ]
    with tqdm(total=specimen.structures, desc="structures and waves", unit="structure") as bar:
        for done in _made(shards, min(cores, len(shards))):
            bar.update(done)


def _shards(layout: Layout) -> tuple[Callable[[str], list[str]], ...]:
    return layout.atoms_shards, layout.wave_shards, layout.depth_shards


def _made(shards: list[_Shard], processes: int) -> Iterator[int]:
    """Structures of each shard as it is finished."""
    with _environment(QUIET), ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(shard.make) for shard in shards]):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment of the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


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
