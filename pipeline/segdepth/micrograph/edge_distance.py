"""How far each pixel of a crystal is from the vacuum, where it is in the first frame of a film."""

from __future__ import annotations

import contextlib

import numpy as np
from scipy import ndimage

from segdepth.errors import MicrographError
from segdepth.micrograph.files.recording import FrameLost
from segdepth.micrograph.film import Film
from segdepth.micrograph.phase_analysis import WINDOW_PM

BESIDE_PM = 2 * WINDOW_PM
"""So near to masked pixels a crystal may show no lattice, which is sought in a window of this standard deviation."""


def edge_distance(film: Film, rim: int = 0) -> np.ndarray:
    """Distance in pm from the vacuum, (y, x) of the file, NaN outside of the crystal and where pixels are masked.

    Parameters
    ----------
    rim : pixels beside the frame, at each side, that are told of too: as deep as they lie if the crystal goes on there
        and there is no other vacuum.

    Masked pixels, those of the first frame that can be read, are no vacuum. Nor are pixels beside them, where too
    little of the lattice is left to be seen, unless vacuum was found there.

    Raises
    ------
    MicrographError
        There is no vacuum, or no lattice was sought.
    """
    name = film.recording.source
    if film.crystal_area is None:
        raise MicrographError(f"{name}: no lattice was sought; the distance from the crystal's edge needs it")
    if film.vacuum is None:
        raise MicrographError(
            f"{name}: no vacuum is in the field: neither the dose nor the distance from the edge is "
            "known; a fit needs both"
        )
    usable = _usable(film)
    outside = usable & ~film.crystal_area
    if not usable.all():
        beside = ndimage.distance_transform_edt(usable) * film.transform.pixel_pm < BESIDE_PM
        outside &= film.vacuum | ~beside
    if film.calibration is not None:
        outside &= ~film.calibration.others
    distance = ndimage.distance_transform_edt(~np.pad(outside, rim)) * film.transform.pixel_pm
    return np.where(np.pad(film.crystal_area & usable, rim, mode="edge"), distance, np.nan)


def _usable(film: Film) -> np.ndarray:
    """(y, x) bool: pixels that are not masked, in the first frame that can be read."""
    for number in range(film.recording.count):
        with contextlib.suppress(FrameLost):
            return film.electrons_of(film.recording.read_frame(number))[1].usable
    return np.ones(film.crystal_area.shape, dtype=bool)
