"""Explanations as rules."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.workflow

TARGET = "results/explanations/camera/camera"


@pytest.mark.parametrize("force", [False, True])
def test_a_fit_that_is_not_explained_is_forced_by_its_block(new_project, force):
    block = {"crystal": "ceria", "micrograph": "camera"} | ({"force_explanation": True} if force else {})
    project = new_project(f"explanation{force}", lens_fits={"camera": block})
    told = project.snakemake("-n", "-p", TARGET).stdout
    line = next(each for each in told.splitlines() if "segdepth explain " in each)
    assert "--lens results/lens_fits/camera.json" in line and ("--force" in line) is force
    fit = next(each for each in told.splitlines() if "segdepth fit-lens " in each)
    assert "force" not in fit
