"""Waves of the perfect crystal by thickness and tilt: made once for a crystal and a voltage, and kept on disk.

One projected cell, periodic, goes through the project's potential; the wave is kept after every period along the beam,
so that one multislice makes all thicknesses. All tilts of the grid go at once. In between, thickness and tilt are
interpolated by cubic B-splines, whose coefficients are what is kept. A wave is that at the crystal's own exit face,
atoms halfway between its first and last plane in place (as in ``simulation.exit_wave``). Lengths in pm.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from segdepth.config import Beam
from segdepth.crystals import Crystal
from segdepth.crystals.elements import ATOMIC_NUMBER
from segdepth.errors import StoreError
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.grid import grid_points
from segdepth.simulation.potential import SlicedPotential
from segdepth.simulation.scattering import parametrization

if TYPE_CHECKING:
    from ase import Atoms

THICKEST = 40
"""Largest thickness, periods along the beam."""

MOST_TILT_MRAD = 50.0
TILT_STEP_MRAD = 3.0
PADDING = 2
"""Points beyond the largest tilt and thickness, so that the splines' ends are out of sight."""

BEAM_ANGLE_MRAD = 36.0
"""Beams up to this angle are kept."""

LEAST_KEV, MOST_KEV = 60.0, 300.0


@dataclass(frozen=True)
class WaveTable:
    """Spline coefficients of exit waves.

    orders : (beam, 2) whole, (h, k) of each beam in waves per projected period along x and y.
    coefficients : complex64 (thickness, tilt x, tilt y, beam); vacuum is 1 in the beam (0, 0).
    first_thickness : periods at index 0. tilts_mrad : tilt of the beam at the grid's points along either axis.
    """

    crystal: Crystal
    energy_kev: float
    orders: np.ndarray
    coefficients: Tensor
    first_thickness: int
    tilts_mrad: np.ndarray

    @property
    def wavelength_pm(self) -> float:
        return wavelength_pm(self.energy_kev)

    @property
    def thickest(self) -> int:
        """Largest thickness, periods along the beam."""
        return self.first_thickness + len(self.coefficients) - 1 - PADDING

    @property
    def most_tilt_mrad(self) -> float:
        """Largest tilt along either axis."""
        return float(self.tilts_mrad[-1 - PADDING])

    def weights(self, position: Tensor, points: int) -> tuple[Tensor, Tensor, Tensor]:
        """First of four neighbours (…), and the B-spline's weights and their slopes (…, 4) at positions in steps."""
        low = position.detach().floor().clamp(1, points - 3).long()
        t = (position - low)[..., None]
        one = torch.ones_like(t)
        weights = torch.cat([(one - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], dim=-1)
        slopes = torch.cat([-3 * (one - t) ** 2, 9 * t**2 - 12 * t, -9 * t**2 + 6 * t + 3, 3 * t**2], dim=-1)
        return low - 1, weights / 6, slopes / 6

    def waves(self, thickness: Tensor, tilt_mrad: Tensor) -> tuple[Tensor, Tensor]:
        """Waves (start, bin, beam), and their slopes (start, bin, 3, beam) by thickness, tilt x and tilt y.

        Parameters
        ----------
        thickness : (start, bin), periods along the beam. tilt_mrad : (start, 2), tilt of the beam along x and y.
        """
        real, step = thickness.dtype, float(self.tilts_mrad[1] - self.tilts_mrad[0])
        rows, columns, more, beams = self.coefficients.shape
        n, wn, dn = self.weights(thickness - self.first_thickness, rows)
        place = (tilt_mrad - float(self.tilts_mrad[0])) / step
        x, wx, dx = self.weights(place[:, 0], columns)
        y, wy, dy = self.weights(place[:, 1], more)
        four = torch.arange(4)
        index = (n[..., None, None, None] + four[:, None, None]) * (columns * more)
        index = index + ((x[:, None] + four) * more)[:, None, None, :, None] + (y[:, None] + four)[:, None, None, None]
        taken = self.coefficients.reshape(-1, beams)[index.flatten(2)]
        parts = [(wn, wx, wy), (dn, wx, wy), (wn, dx / step, wy), (wn, wx, dy / step)]
        weight = torch.stack([torch.einsum("skn,sx,sy->sknxy", *part).flatten(2) for part in parts], dim=2)
        kind = torch.complex64 if real == torch.float32 else torch.complex128
        found = torch.matmul(weight.to(kind), taken.to(kind))
        return found[:, :, 0], found[:, :, 1:]


def table_path(crystal: Crystal, energy_kev: float, folder: Path | None = None) -> Path:
    """Where a table is kept: in ``folder``, else in the user's cache."""
    folder = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segdepth" / "waves"
    said = [
        crystal.to_dict(),
        energy_kev,
        THICKEST,
        MOST_TILT_MRAD,
        TILT_STEP_MRAD,
        PADDING,
        BEAM_ANGLE_MRAD,
    ]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]
    return folder / f"{key}.npz"


def wave_table(crystal: Crystal, energy_kev: float, code: str, folder: Path | None = None) -> WaveTable:
    """The table of a crystal and a voltage, from disk or made and kept there.

    Parameters
    ----------
    code : hash of the code that makes tables; one that other code made is replaced.
    folder : where tables are kept; without it the user's cache.

    Raises
    ------
    StoreError
        The energy is outside of what is known, or the crystal has no vibration of an element.
    """
    if not LEAST_KEV <= energy_kev <= MOST_KEV:
        raise StoreError(f"energy_kev: got {energy_kev:g}; allowed: {LEAST_KEV:g} to {MOST_KEV:g}")
    path = table_path(crystal, energy_kev, folder)
    tilts = _tilts()
    try:
        with np.load(path) as kept:
            if str(kept["code"]) != code:
                raise ValueError(f"made by other code: {kept['code']}")
            orders, coefficients = kept["orders"], torch.from_numpy(kept["coefficients"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        orders, coefficients = _coefficients(crystal, energy_kev, tilts)
        _keep(path, code, orders, coefficients)
    return WaveTable(crystal, energy_kev, orders, coefficients, -PADDING, tilts)


def _tilts() -> np.ndarray:
    most = int(np.ceil(MOST_TILT_MRAD / TILT_STEP_MRAD)) + PADDING
    return TILT_STEP_MRAD * np.arange(-most, most + 1)


def _keep(path: Path, code: str, orders: np.ndarray, coefficients: Tensor) -> None:
    """Write by another name first, so that a table is whole or not there; a folder that cannot be written keeps
    none."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.savez(stream, code=np.array(code), orders=orders, coefficients=coefficients.numpy())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def fixed_beam(crystal: Crystal, energy_kev: float) -> Beam:
    """The multislice's parameters of a table.

    Raises
    ------
    StoreError
        The crystal does not know the vibration of its elements.
    """
    lacking = [element for element in crystal.all_elements if element not in crystal.debye_waller_pm]
    if lacking:
        raise StoreError(
            f"crystal {crystal.name}: has no vibration of {', '.join(lacking)}; give debye_waller_pm in its block"
        )
    return Beam(energy_kev=energy_kev, debye_waller_pm=dict(crystal.debye_waller_pm))


def in_projection(crystal: Crystal, orders: np.ndarray) -> np.ndarray:
    """Which orders (order, 2) the centring of the projected cell allows; a tilted beam brings in others, weakly."""
    places = {(column.label, round(column.x % 1, 4) % 1, round(column.y % 1, 4) % 1) for column in crystal.columns}
    first, allowed = crystal.columns[0], np.ones(len(orders), bool)
    for other in crystal.columns[1:]:
        x, y = other.x - first.x, other.y - first.y
        moved = {(label, round((u + x) % 1, 4) % 1, round((v + y) % 1, 4) % 1) for label, u, v in places}
        if moved == places:
            waves = orders @ np.array([x, y])
            allowed &= np.abs(waves - np.rint(waves)) < 1e-3
    return allowed


def cell_atoms(crystal: Crystal, periods: int) -> Atoms:
    """One projected cell, ``periods`` thick, Å; its exit face is the cell's lower face."""
    from ase import Atoms

    numbers, places = [], []
    for column in crystal.columns:
        step = 1 / column.per_period
        for rank in range(column.per_period * periods):
            z = column.z + rank * step
            for symbol, above in ((column.element, 0.0), *column.companions):
                numbers.append(ATOMIC_NUMBER[symbol])
                places.append((column.x, column.y, (z + above) % periods))
    sides = np.array([*crystal.periods_pm[:2], periods * crystal.periods_pm[2]]) / 100
    scale = np.array([sides[0], sides[1], crystal.periods_pm[2] / 100])
    return Atoms(numbers=numbers, positions=np.array(places) * scale, cell=sides, pbc=(True, True, False))


def _coefficients(crystal: Crystal, energy_kev: float, tilts_mrad: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Orders and spline coefficients."""
    orders, waves = exit_waves_of_cell(crystal, energy_kev, tilts_mrad, THICKEST + PADDING)
    rows = list(waves)
    for _ in range(PADDING):  # below no thickness the waves go on as they begin, for the spline's sake
        rows.insert(0, 3 * rows[0] - 3 * rows[1] + rows[2])
    waves = np.stack(rows)
    for axis in range(3):
        waves = _filtered(waves.real, axis) + 1j * _filtered(waves.imag, axis)
    return orders, torch.from_numpy(waves.astype(np.complex64))


def _filtered(values: np.ndarray, axis: int) -> np.ndarray:
    return ndimage.spline_filter1d(values, 3, axis, output=np.float32, mode="mirror")


def exit_waves_of_cell(
    crystal: Crystal, energy_kev: float, tilts_mrad: np.ndarray, periods: int
) -> tuple[np.ndarray, np.ndarray]:
    """Orders (beam, 2) and waves complex64 (thickness 0 … periods, tilt x, tilt y, beam), interpolation apart."""
    beam = fixed_beam(crystal, energy_kev)
    sides, wavelength = crystal.periods_pm[:2], wavelength_pm(energy_kev)
    points = tuple(grid_points(side, beam.pixel_pm) for side in sides)
    atoms = cell_atoms(crystal, 1)
    sliced = SlicedPotential(
        atoms, points, beam.slice_pm / 100, parametrization(beam), energy_ev=1000 * energy_kev, dtype=torch.float64
    )
    pieces = [(_transmission(piece, energy_kev), 100 * piece.thickness) for piece in sliced]
    levels = 100 * np.asarray(sliced.levels)
    period, first, last = crystal.periods_pm[2], levels[0], levels[-1]
    gaps = [*np.diff(levels), first + period - last]
    qx, qy = (np.fft.fftfreq(n, side / n) for n, side in zip(points, sides))
    square = torch.as_tensor(qx[:, None] ** 2 + qy[None, :] ** 2)
    inside = square.numpy() <= (BEAM_ANGLE_MRAD / 1000 / wavelength) ** 2
    kept = torch.as_tensor(np.flatnonzero(inside))
    tangent = torch.tan(torch.as_tensor(tilts_mrad) / 1000)
    drift = tangent[:, None, None, None] * torch.as_tensor(qx)[:, None] + tangent[:, None, None] * torch.as_tensor(qy)
    limit = (square <= (min(points[0] / sides[0], points[1] / sides[1]) / 2) ** 2).to(torch.complex64)

    def free(distance: float, tilted: float) -> Tensor:
        """Propagation over a distance, of a beam that drifts over another one."""
        phase = -np.pi * wavelength * distance * square - 2 * np.pi * tilted * drift
        return torch.polar(torch.ones(()), phase.to(torch.float32))

    steps = [free(gap, gap) * limit for gap in gaps]
    wave = torch.zeros((len(tilts_mrad), len(tilts_mrad), *points), dtype=torch.complex64)
    wave[..., 0, 0] = 1
    found = [wave.flatten(2)[..., kept]]
    for n in range(1, periods + 1):
        for (transmission, _), step in zip(pieces, steps):
            wave = torch.fft.fft2(torch.fft.ifft2(wave, norm="forward") * transmission, norm="forward") * step
        end, middle = first + n * period, (first + last + (n - 1) * period) / 2
        # the exit face lies halfway between the last plane and the one that would follow
        back = free(-gaps[-1] / 2, middle - end)
        found.append((wave * back).flatten(2)[..., kept])
    waves = torch.stack(found).numpy()
    h, k = np.divmod(kept.numpy(), points[1])
    orders = np.stack([np.fft.fftfreq(n, 1 / n)[i] for n, i in zip(points, (h, k))], axis=1).round().astype(int)
    seen = in_projection(crystal, orders)
    return orders[seen], np.ascontiguousarray(waves[..., seen])


def _transmission(piece, energy_kev: float) -> Tensor:
    """exp(iσV - σW) on [x, y]."""
    from abtem.core.energy import energy2sigma

    sigma = energy2sigma(1000 * energy_kev)
    lost = 0 if piece.absorption is None else piece.absorption
    return torch.exp(1j * sigma * piece.potential - sigma * lost).to(torch.complex64)
