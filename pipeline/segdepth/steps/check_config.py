"""Checks of a whole configuration before any job."""

from __future__ import annotations

from segdepth.config import Config, check_files
from segdepth.labels.checks import check_labels
from segdepth.networks.bundled import check_bundled
from segdepth.simulation.checks import check_beams
from segdepth.simulation.grid import check_grids
from segdepth.specimen.checks import check_specimens
from segdepth.steps.pretrained import check_pretrained


def check_config(config: Config) -> None:
    """Check blocks against each other: files exist, crystals load, margins, vibrations, grids, labels and
    networks fit.

    Raises
    ------
    SegDepthError
        One line: the key, what it got, what is needed.
    """
    blocks = check_specimens, check_labels, check_beams, check_grids
    for check in (check_files, *blocks, check_bundled, check_pretrained):
        check(config)
