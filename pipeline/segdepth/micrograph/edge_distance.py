"""How far each pixel of a crystal is from the vacuum."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from segdepth.errors import MicrographError
from segdepth.micrograph.film import Film


def edge_distance(film: Film, usable: np.ndarray | None = None) -> np.ndarray:
    """Distance in pm from the vacuum, (y, x) of the file, NaN outside of the crystal.

    Parameters
    ----------
    usable : (y, x) bool; without it every pixel is.

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
    usable = np.ones(film.crystal_area.shape, dtype=bool) if usable is None else usable
    outside = usable & ~film.crystal_area
    if film.calibration is not None:
        outside &= ~film.calibration.others
    distance = ndimage.distance_transform_edt(~outside) * film.transform.pixel_pm
    return np.where(film.crystal_area & usable, distance, np.nan)
