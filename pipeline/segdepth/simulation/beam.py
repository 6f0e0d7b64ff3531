"""From the beam block to the beam of one structure: what it gives as a range is drawn, and every element vibrates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import get_args

import numpy as np

from segdepth.config import Beam
from segdepth.config.beam import Parametrization
from segdepth.errors import ConfigError

PARAMETRIZATIONS: tuple[str, ...] = get_args(Parametrization)


def fixed_beam(
    beam: Beam, elements: Iterable[str], vibration_pm: Mapping[str, float], rng: np.random.Generator
) -> Beam:
    """The beam of one structure: ``drawn_beam`` with a vibration for each of its elements.

    Parameters
    ----------
    elements : chemical symbols of the structure's atoms.
    vibration_pm : rms vibration along an axis by element, of the crystal; the beam's ``debye_waller_pm`` comes before.
    rng : of the structure's stream ``beam``.

    Returns
    -------
    The block with fixed values: ``debye_waller_pm`` holds the widths u that act, with the drawn factor on B in them
    (u grows with its square root), and ``debye_waller_scale`` is 1. What was drawn is in ``drawn_beam``, which takes the
    same values from a generator in the same state.

    Raises
    ------
    ConfigError
        Neither the beam nor the crystal has the vibration of an element.
    """
    drawn = drawn_beam(beam, rng)
    known = {**vibration_pm, **(beam.debye_waller_pm or {})}
    needed = list(dict.fromkeys(elements))
    _check_widths(known, needed)
    scale = math.sqrt(drawn.debye_waller_scale)
    widths = {element: known[element] if scale == 1 else scale * known[element] for element in needed}
    return drawn.model_copy(update={"debye_waller_pm": widths, "debye_waller_scale": 1.0})


def drawn_beam(beam: Beam, rng: np.random.Generator) -> Beam:
    """The block with one value instead of each range or choice; unchanged where it has none.

    Drawn uniformly: the factor on B, magnitude and azimuth of the random tilt, which is added to ``tilt_mrad``, and one
    of several parametrizations. Each takes its own number of the stream, so that giving one range more changes no other
    draw.
    """
    share, length, turn, choice = rng.random(4)
    update = {}
    if isinstance(beam.debye_waller_scale, tuple):
        low, high = beam.debye_waller_scale
        update["debye_waller_scale"] = low + (high - low) * share
    if any(beam.random_tilt_mrad):
        low, high = beam.random_tilt_mrad
        tilt, azimuth = low + (high - low) * length, 2 * math.pi * turn
        x, y = beam.tilt_mrad
        update["tilt_mrad"] = (x + tilt * math.cos(azimuth), y + tilt * math.sin(azimuth))
        update["random_tilt_mrad"] = (0.0, 0.0)
    if not isinstance(beam.parametrization, str):
        update["parametrization"] = beam.parametrization[int(choice * len(beam.parametrization))]
    return beam.model_copy(update=update)


def check_fixed(beam: Beam, elements: Iterable[str]) -> None:
    """A multislice needs one value of everything, and a vibration for each element (``fixed_beam``).

    Raises
    ------
    ConfigError
        It is not so.
    """
    has_ranges = (
        isinstance(beam.debye_waller_scale, tuple)
        or beam.debye_waller_scale != 1
        or any(beam.random_tilt_mrad)
        or not isinstance(beam.parametrization, str)
    )
    if has_ranges:
        raise ConfigError("beam: has a range, a choice or a factor on B, of which a structure's own beam is to be made")
    _check_widths(beam.debye_waller_pm or {}, dict.fromkeys(elements))


def _check_widths(known: Mapping[str, float], needed: Iterable[str]) -> None:
    lacking = [element for element in needed if element not in known]
    if lacking:
        raise ConfigError(
            f"beam.debye_waller_pm: has no {', '.join(lacking)}, and neither has the crystal; each element of the atoms "
            "needs its rms vibration in pm (0 for atoms that stand still)"
        )
