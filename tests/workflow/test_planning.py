"""What Snakemake does before any job: it parses, plans and unlocks without ``--cores`` and without heavy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.workflow

SLURM = ("--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm"))
HEAVY = ("torch", "lightning", "matplotlib", "scipy", "xarray", "zarr", "ase", "abtem")


def test_parsing_and_planning_import_nothing_heavy(new_project):
    project = new_project("imports")
    command = [sys.executable, "-X", "importtime", "-m", "snakemake", "-n", "--cores", "2"]
    command += ["--snakefile", str(ROOT / "workflow" / "Snakefile")]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert done.returncode == 0 and "train_model" in done.stdout, done.stderr
    assert "segdepth.steps.layout" in imported and not imported & set(HEAVY)


def test_the_slurm_profile_plans_without_cores(new_project):
    done = new_project("slurm").snakemake("-n", *SLURM, cores=None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulate_waves" in done.stdout


def test_the_slurm_profile_gets_as_far_as_submitting_without_cores(new_project):
    """A dry run sets the cores itself; a real one does not, and stops here for want of SLURM alone."""
    done = new_project("submit").snakemake(*SLURM, "--retries", "0", "data/specimens/tiny/plan.csv", cores=None)
    told = done.stdout + done.stderr
    assert "rule plan_specimens" in told or "plan_specimens" in told, told
    assert "cores" not in told.replace("Provided cores", "")


@pytest.mark.parametrize("profile", [(), SLURM])
def test_a_folder_is_unlocked_without_cores(new_project, profile):
    project = new_project("unlock")
    done = project.snakemake("--unlock", *profile, cores=None)
    assert done.returncode == 0, done.stderr


def test_the_convergence_study_has_all_cores_to_itself(new_project):
    """It takes times."""
    project = new_project("study")
    project.config["convergence"] = {"dataset": "small"}
    project.write()
    done = project.snakemake("-n", "results/tables/study_convergence.csv", cores=7)
    assert done.returncode == 0, done.stderr
    block = done.stdout[done.stdout.index("rule study_convergence:") :].split("\n\n")[0]
    assert "threads: 7" in block


def test_the_gpu_profile_is_laid_over_the_other_one(new_project):
    """Account and retries of the lower one, device and partition of the upper one; what needs no GPU asks for none."""
    gpu = ("--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm-gpu"))
    done = new_project("gpus").snakemake("-n", "--profile", SLURM[1], *gpu, "results/models/net", cores=None)
    assert done.returncode == 0, done.stdout + done.stderr

    def resources(rule: str) -> str:
        block = done.stdout[done.stdout.index(f"rule {rule}:") :].split("\n\n")[0]
        return next(line for line in block.splitlines() if "resources:" in line)

    for rule in ("train_model", "simulate_waves"):
        for word in ("slurm_account=YOUR_ACCOUNT", "slurm_partition=YOUR_GPU_PARTITION", "device=cuda", "gpu=1"):
            assert word in resources(rule), resources(rule)
    assert "slurm_partition=YOUR_PARTITION" in resources("project_depth") and "gpu=" not in resources("project_depth")
