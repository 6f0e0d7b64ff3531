"""From the beam block to the beam of one structure: ranges are sampled, and each element gets its vibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, get_args

import numpy as np

from segdepth.config import Beam
from segdepth.config.beam import Parametrization
from segdepth.errors import ConfigError
from segdepth.specimen.frame_facts import lean_deg

if TYPE_CHECKING:
    from ase import Atoms

PARAMETRIZATIONS: tuple[str, ...] = get_args(Parametrization)


def resolve_beam(
    beam: Beam, elements: Iterable[str], vibration_pm: Mapping[str, float], rng: np.random.Generator
) -> Beam:
    """The beam of one structure: without ranges, and with the vibration of each of its elements.

    Parameters
    ----------
    elements : chemical symbols of the structure's atoms.
    vibration_pm : the crystal's rms vibration along an axis by element; values of the block's ``debye_waller_pm``
        replace it.
    rng : of the structure's stream ``beam``.

    Raises
    ------
    ConfigError
        Neither the block nor the crystal has the vibration of an element.
    """
    known = {**vibration_pm, **(beam.debye_waller_pm or {})}
    needed = list(dict.fromkeys(elements))
    _check_vibration(known, needed)
    return sample_beam(beam, rng).model_copy(
        update={"debye_waller_pm": {element: known[element] for element in needed}}
    )


def vibrations_pm(beam: Beam) -> dict[str, float]:
    """Rms vibration u along an axis by element of a structure's own beam: ``debye_waller_scale`` is a factor on
    B = 8π²u²."""
    widths, scale = beam.debye_waller_pm or {}, beam.debye_waller_scale
    return dict(widths) if scale == 1 else {element: math.sqrt(scale) * u for element, u in widths.items()}


def sample_beam(beam: Beam, rng: np.random.Generator) -> Beam:
    """The block with a value drawn from each range or choice.

    Drawn uniformly: the factor on B, magnitude and azimuth of the random tilt, which is added to ``tilt_mrad``, and one
    of several parametrizations. Each uses its own number of the stream, so that a further range changes no other draw.
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


def tilted_with_crystal(beam: Beam, atoms: Atoms) -> Beam:
    """The beam with the tilt that upright atoms stand for (``frame_facts.lean_deg``) added to its own: a crystal that
    leans by +1° is one that a beam tilted by -17.4533 mrad passes."""
    own = (0.0 - 1000 * math.radians(lean) for lean in lean_deg(atoms.info))
    tilt = tuple(mine + more for mine, more in zip(beam.tilt_mrad, own))
    return beam.model_copy(update={"tilt_mrad": tilt})


def check_resolved(beam: Beam, elements: Iterable[str]) -> None:
    """The beam must have no ranges, and a vibration for each element (see ``resolve_beam``).

    Raises
    ------
    ConfigError
        The block has a range, or lacks an element.
    """
    for key, has_range in (
        ("debye_waller_scale", isinstance(beam.debye_waller_scale, tuple)),
        ("random_tilt_mrad", any(beam.random_tilt_mrad)),
        ("parametrization", not isinstance(beam.parametrization, str)),
    ):
        if has_range:
            raise ConfigError(f"beam.{key}: got {getattr(beam, key)}; one structure needs one value")
    _check_vibration(beam.debye_waller_pm or {}, dict.fromkeys(elements))


def _check_vibration(known: Mapping[str, float], needed: Iterable[str]) -> None:
    lacking = [element for element in needed if element not in known]
    if lacking:
        raise ConfigError(
            f"beam.debye_waller_pm: has no {', '.join(lacking)}, and neither has the crystal; each element of "
            "the atoms needs its rms vibration in pm (0 for no vibration)"
        )
