"""What is known of a film's pixels, on the label pixels of a network, also where the crystal has drifted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segdepth.micrograph.film import Film
from segdepth.networks.card import NetworkCard

MORE_PM = 200.0
"""A film may drift farther than between the frames that were compared."""


def rim_of(film: Film) -> int:
    """Pixels of the file by which a film drifts at most, about."""
    most = 0 if film.calibration is None else int(np.abs(film.calibration.shifts).max())
    return most + (math.ceil(MORE_PM / film.transform.pixel_pm) if film.recording.count > 1 else 0)


def on_labels(
    values: np.ndarray,
    shape: tuple[int, int],
    film: Film,
    card: NetworkCard,
    outside: float,
    moved: Sequence[int] = (0, 0),
) -> np.ndarray:
    """What the file's pixels (y, x) are worth at the centres of label pixels, of a map of ``shape``.

    Parameters
    ----------
    values : may have a rim beside the file's pixels, as wide at each side. moved : by how many label pixels (y, x) they
        have moved.
    """
    transform, pixel = film.transform, card.label_pixel_pm

    def pixels(down: int, right: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        v, u = ((np.arange(n) + 0.5 - by) * pixel for n, by in zip(shape, (down, right)))
        return transform.pixels_at(*transform.inverse(*np.meshgrid(u, v)))

    inside = pixels(0, 0)[2]
    rim = (values.shape[0] - transform.shape[0]) // 2
    i, j = (each + rim for each in pixels(*moved)[:2])
    inside &= (i >= 0) & (i < values.shape[0]) & (j >= 0) & (j < values.shape[1])
    found = np.full(shape, outside, dtype=values.dtype)
    found[inside] = values[i[inside], j[inside]]
    return found
