"""What the tests of columns share: ideal depth maps of wedges."""

from __future__ import annotations

import numpy as np
from conftest import CERIA, RINGS

from segdepth.config import Labels, Specimen
from segdepth.labels.depth import depth_maps
from segdepth.specimen.wedge import build_wedge

CLASSES = RINGS.classes


def ideal(surface, index=0, crystal=CERIA, labels=RINGS):
    """Depth map [y, x] and column table of one wedge."""
    block = Specimen(crystal="any")
    row = {
        "id": "t", "index": index, "seed": 1, "surface": surface,
        "origin_x_pm": 100.0 + 37 * index, "origin_y_pm": 50.0,
        "vacuum_fraction": 0.3, "bulk_atoms": 8, "surface_atoms": 2, "decay_pm": 1500.0,
        "exit_fraction": 0.5, "entrance_phase": 0.2,
    }  # fmt: skip
    maps, columns = depth_maps(build_wedge(row, block, crystal, "t", 0), labels, block.margin_pm, block.field_pm)
    inside = columns["x_pm"].between(0, block.field_pm) & columns["y_pm"].between(0, block.field_pm)
    return maps["depth"], columns[inside]


def one_hot(depth):
    return np.moveaxis(np.eye(CLASSES, dtype=np.float32)[depth], -1, 0)


def radii(strontium, titanium, oxygen):
    core = {"Sr": strontium, "Ti": titanium, "O": oxygen}
    return Labels(core_radius_pm=core, outer_radius_pm={element: radius + 30 for element, radius in core.items()})
