"""Each scale of the paper's tables and figures in the real DAG: the preset is accepted, and every item is made."""

from __future__ import annotations

import pytest

from segdepth.config import PAPER_ITEMS, read_yaml

from .conftest import ROOT, Project

pytestmark = pytest.mark.workflow

PRESETS = ROOT / "workflow" / "presets"
SCALES = {"quick": (), "workstation": ("paper_workstation",), "paper": ("paper",)}
FIGURES = ("fig6_confusion", "fig7_calibration", "fig8_gradients", "fig9_doses", "fig11_boundary_camera")
TRAINED = {"quick": 11, "workstation": 11, "paper": 14}
"""Networks, the denoiser among them."""


@pytest.mark.parametrize("scale", SCALES)
def test_every_item_of_the_paper_is_planned_at_every_scale(tmp_path, scale):
    project = Project(tmp_path, read_yaml(ROOT / "config.yaml"))
    files = [str(PRESETS / f"{name}.yaml") for name in ("paper_quick", *SCALES[scale])]
    done = project.snakemake("-n", "--configfile", *files, "--", "paper")
    assert done.returncode == 0, done.stderr
    planned = done.stdout
    for name in ("paper", *PAPER_ITEMS):
        assert f"results/tables/{name}.csv," in planned, name
    for name in FIGURES:
        assert f"results/figures/{name}.png" in planned, name
    assert "results/predictions/camera" in planned
    assert planned.count("rule train_model:") == TRAINED[scale]
