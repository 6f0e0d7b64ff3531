"""Exit waves by abTEM's multislice: a plane wave through a structure, kept as Fourier coefficients.

This is the border to abTEM: Å and [x, y] outside, pm and [y, x] inside. Nothing here knows of the lens.

Grid error (image rms difference over rms contrast at C1 = 5 nm, against 2000², ``benchmarks/grid.py``): 0.15 % at
7 pm a grid point, 0.4 % at 7.6 pm (the default), 2 % at 9.4 pm, for a crystal of ten layers.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from segdepth.config import Beam, ConfigError
from segdepth.devices import DEVICES
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.simulation.potential import projected_potential


def configure_abtem(device: str) -> None:
    """Settings that make abTEM's bits repeatable, on ``cpu`` or ``gpu`` (CuPy).

    FFTW must plan by estimate: its default, measuring, gives other bits from run to run. One thread a job: the
    workflow runs jobs side by side, and the result then does not depend on the number of cores.
    """
    import abtem
    import numba

    numba.set_num_threads(1)
    abtem.config.set(
        {
            "device": device,
            "precision": "float32",
            "fft": "fftw",
            "fftw.planning_effort": "FFTW_ESTIMATE",
            "fftw.threads": 1,
            "diagnostics.progress_bar": False,
            "diagnostics.task_progress": False,
        }
    )


def abtem_device(device: str) -> str:
    """abTEM's name for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        ``cuda`` was asked for and CuPy finds no device.
    """
    if device not in DEVICES:
        raise ConfigError(f"device: got {device!r}; allowed: {', '.join(DEVICES)}")
    if device == "cpu":
        return "cpu"
    try:
        import cupy

        found = cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # cupy raises its own kinds when the driver is missing
        found = False
    if found:
        return "gpu"
    if device == "cuda":
        raise ConfigError("device: got 'cuda', but CuPy with a CUDA device is not there; allowed here: auto, cpu")
    return "cpu"


def _parametrization(beam: Beam):
    from abtem import parametrizations

    kinds = {
        "lobato": parametrizations.LobatoParametrization,
        "kirkland": parametrizations.KirklandParametrization,
        "peng": parametrizations.PengParametrization,
    }
    sigmas = {element: u_pm / 100 for element, u_pm in beam.debye_waller_pm.items()}  # rms along an axis, Å
    return kinds[beam.parametrization](sigmas=sigmas)


def exit_wave(atoms: Atoms, beam: Beam) -> np.ndarray:
    """Fourier coefficients of the wave that leaves the cell's lower face.

    Parameters
    ----------
    atoms : Å; a square cell in x and y, the beam runs along +z.
    beam : the multislice's parameters.

    Returns
    -------
    complex64 array [ky, kx] of side 2K + 1 in FFT order (0 … K, -K … -1), K the largest order inside
    ``beam.stored_angle_mrad``; coefficients beyond that angle are 0. F = fft2/N², so that vacuum is F[0, 0] = 1.
    Orders count in 1/cell; position 0 is the cell's corner. abTEM's sample i lies at i · sampling, which is what
    the discrete transform assumes, so no half-pixel shift appears here.
    """
    import abtem

    cell_pm = 100 * float(atoms.cell[0, 0])
    if abs(atoms.cell[1, 1] - atoms.cell[0, 0]) > 1e-6:
        raise ValueError(f"the cell must be square in x and y, got {atoms.cell[0, 0]} x {atoms.cell[1, 1]} Å")
    orders = stored_orders(cell_pm, beam.energy_kev, beam.stored_angle_mrad)
    points = grid_points(cell_pm, beam.pixel_pm)
    check_grid("beam", beam, cell_pm)
    if beam.projection == "infinite":
        potential = projected_potential(atoms, points, beam.slice_pm / 100, _parametrization(beam))
    else:
        potential = abtem.Potential(
            atoms,
            gpts=(points, points),
            slice_thickness=beam.slice_pm / 100,
            parametrization=_parametrization(beam),
            projection="finite",
        )
    plane = abtem.PlaneWave(energy=1000 * beam.energy_kev, tilt=tuple(beam.tilt_mrad))
    wave = plane.multislice(potential, lazy=True).compute(scheduler="synchronous", progress_bar=False)
    wave = np.asarray(wave.to_cpu().array).reshape(points, points)
    return crop_orders(np.fft.fft2(wave.T) / wave.size, orders, cell_pm, beam)


def crop_orders(spectrum: np.ndarray, orders: int, cell_pm: float, beam: Beam) -> np.ndarray:
    """Keep the orders -K … K of a spectrum in FFT order, zero beyond the stored angle, as complex64."""
    keep = np.r_[0 : orders + 1, -orders:0]
    cropped = spectrum[np.ix_(keep, keep)]
    radius = beam.stored_angle_mrad / 1000 / wavelength_pm(beam.energy_kev) * cell_pm
    cropped[keep[:, None] ** 2 + keep[None, :] ** 2 > radius**2 * (1 + 1e-12)] = 0
    return cropped.astype(np.complex64)
