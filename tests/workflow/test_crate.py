"""The RO-Crate of a figure that the real workflow made, read again by the library that defines it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segdepth.store.manifest import content_hash

pytestmark = pytest.mark.workflow
rocrate = pytest.importorskip("rocrate.rocrate")


def test_the_crate_of_a_figure_leads_back_to_its_atoms(finished, tmp_path):
    command = [sys.executable, "-m", "segdepth", "export-crate", "results/figures/fig1_depth.png"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "crate")], cwd=finished.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    crate = rocrate.ROCrate(tmp_path / "crate")
    made_by = {result.id: action for action in crate.get_by_type("CreateAction") for result in action["result"]}
    commands, reached, waiting = set(), set(), [crate.get("results/figures/fig1_depth.png")]
    while waiting:
        entity = waiting.pop()
        if entity.id not in reached and entity.type != "PropertyValue":
            reached.add(entity.id)
            if entity.id in made_by:
                commands.add(made_by[entity.id]["instrument"]["name"].removeprefix("segdepth "))
                waiting += made_by[entity.id]["object"]
    assert commands >= {"plot-figure", "evaluate-model", "train-model", "simulate-waves", "build-specimens"}
    assert {"data/specimens/tiny/plan.csv", "data/specimens/tiny/shard-000.extxyz"} <= reached
    for place in ("results/models/net", "data/waves/tiny/coarse/shard-000.zarr", "data/specimens/tiny/plan.csv"):
        assert content_hash(tmp_path / "crate" / place) == content_hash(finished.folder / place)
