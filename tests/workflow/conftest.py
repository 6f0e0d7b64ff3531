"""A tiny project in an empty folder: the real workflow on a config that takes a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

TINY = """
root_seed: 7
device: cpu
crystals:
  ceria: {structure: CeO2, zone_axis: [1, 1, 0], x_axis: [0, 0, 1], lattice_pm: 541.1}
specimens:
  tiny:
    {crystal: ceria, structures: 6, shard_size: 2, field_pm: 1352.75, margin_pm: 338.1875, bulk_atoms: [3, 5],
     decay_nm: [0.3, 0.6]}
beams:
  coarse: {pixel_pm: 12, slice_pm: 191.3}
  soft: {pixel_pm: 12, slice_pm: 191.3, debye_waller_pm: {Ce: 9, O: 11}}
imaging:
  lens: {defocus_nm: [2, 6], focal_steps: 5}
labels:
  rings: {core_radius_pm: {Ce: 85, O: 64}, outer_radius_pm: {Ce: 120, O: 90}}
datasets:
  small: &small
    {specimen: tiny, beam: coarse, imaging: lens, labels: rings, splits: {test: 0.4, validation: 0.15, train: 0.45}}
  small_lambda1: {<<: *small, dose_lambda: 1}
  small_soft: {<<: *small, beam: soft}
models:
  net:
    datasets: [small, small_soft]
    architecture: {base_channels: 2}
    training: {crop_pixels: 64, batch_size: 2, epoch_samples: 8, epochs: 2, precision: float32}
evaluations:
  net: [small, small_lambda1]
figures: {model: net, dataset: small, confusion_dataset: small_lambda1, montage_dataset: small}
micrographs:
  camera: {dataset: small, defocus_nm: 6, pixel_pm: 6.76375}
predictions:
  camera: {model: net, micrograph: camera, calibrate: false, pixel_pm: 6.76375, rotation_deg: 0, dose_e_per_a2: 896}
comparisons:
  camera: {dataset: small, micrograph: camera, rotation_deg: 0, dose_e_per_a2: 896}
"""


class Project:
    """A folder with a ``config.yaml`` in which the workflow runs."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.folder, self.config = folder, config
        self.write()

    def write(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    def snakemake(self, *arguments: str, cores: int | None = 2) -> subprocess.CompletedProcess:
        """Run Snakemake in the folder; ``cores=None`` leaves the option out, as a profile for a cluster does."""
        scripts = Path(sys.executable).parent
        environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST")}
        command = [str(scripts / "snakemake"), "--snakefile", str(ROOT / "workflow" / "Snakefile")]
        command += ["--directory", str(self.folder), *([] if cores is None else ["--cores", str(cores)]), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900)

    def jobs(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run lists."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, int] = {}
        table = False
        for line in (done.stdout + done.stderr).splitlines():
            words = line.split()
            if words[:2] == ["job", "count"]:
                table = True
            elif table and len(words) == 2 and words[1].isdigit():
                found[words[0]] = int(words[1])
                table = words[0] != "total"
        return found


@pytest.fixture(scope="session")
def new_project(tmp_path_factory):
    def make(name: str, **changes) -> Project:
        config = yaml.safe_load(TINY)
        for section, value in changes.items():
            config[section] = value
        return Project(tmp_path_factory.mktemp(name), config)

    return make


@pytest.fixture(scope="session")
def finished(new_project) -> Project:
    """The tiny project after `snakemake --cores 2`."""
    project = new_project("finished")
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return project
