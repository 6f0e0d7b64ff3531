"""The multislice's grid: its points, and whether it is fine enough for what is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segdepth.config import Beam, Config
from segdepth.errors import ConfigError
from segdepth.simulation.cell import as_xy
from segdepth.simulation.electron import stored_orders


def grid_points(side_pm: float, pixel_pm: float) -> int:
    """Smallest even number of points, with no factor but 2, 3, 5, whose pixel is at most ``pixel_pm``.

    More than six factors of 2 are avoided: strides near a power of two cost FFTW, which plans by estimate here, several
    times as much.
    """
    points = math.ceil(side_pm / pixel_pm - 1e-9)
    while True:
        rest, twos = points, 0
        while rest % 2 == 0:
            rest, twos = rest // 2, twos + 1
        for prime in (3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and 1 <= twos <= 6:
            return points
        points += 1


def check_grid(key: str, beam: Beam, cell_pm: float | Sequence[float]) -> None:
    """What propagates (``band_limit`` of the Nyquist frequency of the coarser side) must hold the stored angle.

    Raises
    ------
    ConfigError
        The grid is too coarse.
    """
    sides = as_xy(cell_pm)
    points = [grid_points(side, beam.pixel_pm) for side in sides]
    for side in sides:
        # 5 % for abTEM's soft edge
        needed = 2.1 * stored_orders(side, beam.energy_kev, beam.stored_angle_mrad) / beam.band_limit
        if min(count * (side / other) for count, other in zip(points, sides)) < needed:
            raise ConfigError(
                f"{key}.pixel_pm: got {beam.pixel_pm:g}, too coarse for stored_angle_mrad {beam.stored_angle_mrad:g}, "
                f"since {beam.band_limit:.3g} of the grid's band is kept; at most {side / needed:.3g} is allowed"
            )


def check_grids(config: Config) -> None:
    """``check_grid`` for every data set of a configuration."""
    for dataset in config.datasets.values():
        check_grid(f"beams.{dataset.beam}", config.beams[dataset.beam], config.specimens[dataset.specimen].cell_pm)
