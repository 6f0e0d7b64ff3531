"""From a lens fit to the blocks and values that the simulation takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segdepth.config import Beam, Imaging
from segdepth.crystals import Crystal
from segdepth.fitting.result import LensFit
from segdepth.simulation.aberrations import Lens
from segdepth.simulation.beam import resolve_beam
from segdepth.simulation.lens_values import LENS_VALUES, lens_fields


def beam_of(fit: LensFit, crystal: Crystal) -> Beam:
    """The beam of a fit: its voltage and, as a tilt of the beam, the lean of the zone axis."""
    beam = Beam(energy_kev=fit.energy_kev, tilt_mrad=fit.tilt_mrad)
    return resolve_beam(beam, crystal.all_elements, crystal.debye_waller_pm, np.random.default_rng(0))


def lens_of(values: Mapping[str, float]) -> Lens:
    """One lens from values in the imaging block's units; what is not named has the block's default, or is 0."""
    given = {}
    for name in LENS_VALUES:
        default = Imaging.model_fields[name].default if name in Imaging.model_fields else 0.0
        value = values.get(name, 0.0 if not isinstance(default, int | float) else default)
        given[name] = np.array([0.0 if value is None else float(value)])
    return Lens.from_values(lens_fields(given))
