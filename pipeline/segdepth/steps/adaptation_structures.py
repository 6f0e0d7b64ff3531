"""The structures of an adaptation: shards of atoms, waves and depth maps, several at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segdepth.adaptation.names import NAME
from segdepth.config import Beam, Config, CrystalBlock, Labels, Specimen
from segdepth.crystals import load_crystal
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.layout import Layout
from segdepth.steps.plan_specimens import plan_parameters
from segdepth.steps.project_depth import project_depth
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import manifest_path, read_manifest
from segdepth.store.verify import check

QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
"""Environment of the processes that make structures: one thread each, and one bar for all."""


def is_whole(path: Path, command: str, code: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an artefact is as its manifest says, made by this command, code and parameters of what is there now."""
    if not manifest_path(path).exists() or check(path) is not None:
        return False
    found = read_manifest(path)
    same = all(found["parameters"].get(key) == value for key, value in parameters.items())
    return found["command"] == command and found["code"] == code and same


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


def make_structures(config: Config, layout: Layout, out: Path, cores: int, device: str) -> None:
    """Every shard below ``out`` that is not whole, on so many cores; a bar counts structures."""
    specimen = config.specimens[NAME]
    shared = specimen, config.crystals[specimen.crystal], config.beams[NAME], config.labels[NAME], config.root_seed
    paths = zip(layout.atoms_shards(NAME), layout.wave_shards(NAME), layout.depth_shards(NAME))
    shards = [
        _Shard(number, *shared, out / layout.plan_of(NAME), *(out / path for path in each), device)
        for number, each in enumerate(paths)
    ]
    with tqdm(total=specimen.structures, desc="structures and waves", unit="structure") as bar:
        for done in _made(shards, min(cores, len(shards))):
            bar.update(done)


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
