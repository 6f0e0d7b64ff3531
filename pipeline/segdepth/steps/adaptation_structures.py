"""The structures of an adaptation: shards of atoms, waves and depth maps, several at a time."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from tqdm import tqdm

from segdepth.adaptation.names import NAME
from segdepth.config import Beam, Config, CrystalBlock, Labels, Specimen
from segdepth.crystals import load_crystal
from segdepth.errors import SegDepthError
from segdepth.steps.build_specimens import build_specimens
from segdepth.steps.layout import Layout
from segdepth.steps.plan_specimens import plan_parameters
from segdepth.steps.project_depth import project_depth
from segdepth.steps.simulate_waves import simulate_waves
from segdepth.store.claims import release_all
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import manifest_path, read_manifest
from segdepth.store.verify import check

QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
"""Environment of the processes that make structures: one thread each, and one bar for all."""

PACKAGES = str(Path(__file__).resolve().parents[2])
START = "import sys; sys.path.append({root!r}); from {module} import make_given_shard; make_given_shard()"
"""Code of such a process, which -P keeps from importing what lies in the current folder."""

REFUSED = 2
"""Exit status of such a process whose last line says what a user can mend."""


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
    running = _Running()
    with ThreadPoolExecutor(processes) as pool:
        jobs = [pool.submit(running.make, shard) for shard in shards]
        try:
            for done in as_completed(jobs):
                yield done.result()
        except BaseException:
            for job in jobs:
                job.cancel()
            running.stop()
            raise


class _Running:
    """Shards that are being made, each by a process of its own."""

    def __init__(self) -> None:
        self._lock, self._stopped = Lock(), False
        self._processes: list[subprocess.Popen] = []

    def make(self, shard: _Shard) -> int:
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with self._lock:
            if self._stopped:
                return 0
            command = [sys.executable, "-P", "-c", START.format(root=PACKAGES, module=__name__)]
            process = subprocess.Popen(command, **pipe, env=os.environ | QUIET)
            self._processes.append(process)
        with suppress(BrokenPipeError):  # one that has ended says why
            process.stdin.write(pickle.dumps(shard))
            process.stdin.flush()  # and stays open: its end tells that this process is no more
        said = process.stderr.read().decode(errors="replace").strip()
        process.wait()
        process.stderr.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
        if process.returncode == REFUSED:
            raise SegDepthError(said.splitlines()[-1])
        if process.returncode:
            raise RuntimeError(f"shard {shard.number}: exit status {process.returncode}\n{said}")
        return shard.structures

    def stop(self) -> None:
        """End all processes, and start no other."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def make_given_shard() -> None:
    """Make the shard that standard input holds; the whole of a process that ``make_structures`` starts. It ends with
    standard input, which the other keeps open as long as it lives."""
    status = 0
    try:
        shard = pickle.load(sys.stdin.buffer)
        Thread(target=_end_with_input, daemon=True).start()
        shard.make()
    except SegDepthError as failure:
        print(failure, file=sys.stderr)
        status = REFUSED
    except BaseException:
        traceback.print_exc()
        status = 1
    release_all()
    sys.stderr.flush()
    os._exit(status)  # all is written: threads of libraries, which may not end, are not waited for
