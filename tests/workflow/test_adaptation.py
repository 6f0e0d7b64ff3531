"""Adaptations as rules, and a plan as a configuration of the workflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.workflow

TARGET = "results/adaptations/close/results/predictions/film"


def test_rules_plan_and_run_an_adaptation_of_a_fitted_micrograph(new_project):
    project = new_project(
        "adaptation",
        lens_fits={"camera": {"crystal": "ceria", "micrograph": "camera"}},
        adaptations={"close": {"lens_fit": "camera", "model": "net", "minutes": 2, "force": True}},
    )
    found = project.jobs(TARGET)
    for rule in ("fit_lens", "record_micrograph", "train_model", "plan_adaptation", "adapt_network"):
        assert found[rule] == 1, rule
    told = project.snakemake("-n", "-p", TARGET).stdout
    line = next(each for each in told.splitlines() if "segdepth adapt " in each)
    assert "--minutes 2" in line and "--force" in line and "--lens results/lens_fits/camera.json" in line
    assert '"image":"counts"' in line and '"pixel_pm":6.76375' in line


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"lens_fit": "film"}, "adaptations.close.lens_fit: no block is called 'film'"),
        ({"lens_fit": "camera", "model": "broad"}, "adaptations.close.model: no block is called 'broad'"),
        ({"lens_fit": "camera", "minutes": 0}, "adaptations.close.minutes: got 0"),
    ],
)
def test_wrong_adaptations_are_one_line(new_project, block, told):
    fits = {"camera": {"crystal": "ceria", "micrograph": "camera"}}
    done = new_project("wrong", lens_fits=fits, adaptations={"close": block}).snakemake("-n")
    assert done.returncode != 0 and told in done.stderr and "Traceback" not in done.stderr


def test_a_plan_is_made_by_the_workflow_too(tmp_path):
    """A process of its own writes the plan: its folder is then a project."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\nimport test_adaptation as t\n"
        "from segdepth.adaptation.blocks import Budget\nt.planning._measured_budget = lambda *_: Budget(8, 64)\n"
        "folder = Path(sys.argv[1]); t.write_film(folder); t.write_network(folder); t.plan(folder, folder / 'out')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(ROOT / "tests" / "unit")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    scripts = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = [str(scripts / "snakemake"), "-n", "--cores", "1", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--directory", str(tmp_path / "out")]
    planned = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    jobs = {words[0]: words[1] for words in map(str.split, planned.stdout.splitlines()) if len(words) == 2}
    wanted = {"plan_specimens": "1", "build_specimens": "2", "simulate_waves": "2", "project_depth": "2"}
    wanted |= {"train_model": "1", "predict_micrograph": "1"}
    assert wanted.items() <= jobs.items(), json.dumps(jobs)
