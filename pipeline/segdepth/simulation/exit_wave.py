"""Exit waves by abTEM's multislice: a plane wave through a structure, kept as Fourier coefficients.

The interface to abTEM: Å and [x, y] there, pm and [y, x] here. ``study_convergence`` measures accuracy and cost of
grid, slices and other choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from segdepth.config import Beam
from segdepth.devices import DEVICES
from segdepth.errors import ConfigError
from segdepth.simulation.beam import check_resolved, tilted_with_crystal, vibrations_pm
from segdepth.simulation.cell import as_xy, sides_pm
from segdepth.simulation.electron import stored_orders, wavelength_pm
from segdepth.simulation.grid import check_grid, grid_points
from segdepth.simulation.phonons import displace_atoms, displace_in_plane
from segdepth.simulation.potential import Slice, SlicedPotential
from segdepth.simulation.scattered_atoms import ScatteredPotential
from segdepth.simulation.scattering import parametrization

if TYPE_CHECKING:
    from ase import Atoms


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
        ``cuda`` is given and CuPy finds no device.
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


def exit_waves(atoms: Atoms, beam: Beam, rng: np.random.Generator) -> np.ndarray:
    """``exit_wave`` of each configuration of the beam, [configuration, ky, kx]: frozen phonons; or the undisplaced
    atoms, and with ``diffuse_snapshots`` behind them the difference of each snapshot's wave from theirs
    (``configurations``). ``rng`` draws the displacements."""
    check_resolved(beam, atoms.get_chemical_symbols())
    if beam.frozen_phonons:
        drawn = (displace_atoms(atoms, vibrations_pm(beam), rng) for _ in range(beam.frozen_phonons))
        return np.stack([exit_wave(each, beam) for each in drawn])
    coherent = exit_wave(atoms, beam)
    drawn = (displace_in_plane(atoms, vibrations_pm(beam), rng) for _ in range(beam.diffuse_snapshots))
    sharp = beam.model_copy(update={"frozen_phonons": 1, "diffuse_snapshots": 0})
    return np.stack([coherent, *(_wave(each, sharp, ScatteredPotential) - coherent for each in drawn)])


def exit_wave(atoms: Atoms, beam: Beam) -> np.ndarray:
    """Fourier coefficients of the wave at the crystal's exit face.

    Parameters
    ----------
    atoms : Å; a cell with sides along x, y and z, the beam runs along +z. ``info["exit_face_pm"]`` is the height from
    which defocus is measured; without it, the cell's lower face. beam : the multislice's parameters, without ranges and
    with a vibration for each element (``beam.resolve_beam``).

    Returns
    -------
    complex array [ky, kx] of sides 2K + 1 in FFT order (0 … K, -K … -1), K the largest order along each axis inside
    ``beam.stored_angle_mrad``; coefficients beyond that angle are 0. complex64, or complex128 with
    ``precision: float64``. F = fft2/N², so that vacuum is F[0, 0] = 1. Orders count in 1/side of the cell; position 0
    is the cell's corner. abTEM's sample i lies at i · sampling, which is what the discrete transform assumes, so no
    half-pixel shift appears here.

    The beam's own tilt, and that of a crystal whose atoms stay upright (``specimen.frame_facts.lean_deg``), are put
    into the propagator (Dr. Probe's way); the wave is then moved back, so that atoms halfway between the first and the
    last stay in place.

    Raises
    ------
    ConfigError
        The cell is no box, the grid is too coarse, the beam has ranges or lacks an element's vibration.
    """
    return _wave(atoms, beam, SlicedPotential)


def _wave(atoms: Atoms, beam: Beam, kind: type[SlicedPotential]) -> np.ndarray:
    import abtem

    cell_pm = sides_pm(atoms)
    check_resolved(beam, atoms.get_chemical_symbols())
    check_grid("beam", beam, cell_pm)
    beam = tilted_with_crystal(beam, atoms)
    potential = kind(
        atoms,
        [grid_points(side, beam.pixel_pm) for side in cell_pm],
        beam.slice_pm / 100,
        parametrization(beam),
        energy_ev=1000 * beam.energy_kev if beam.absorption else None,
        finite=beam.projection == "finite",
        device="cuda" if abtem.config.get("device") == "gpu" and torch.cuda.is_available() else "cpu",
        dtype=torch.float64 if beam.precision == "float64" else torch.float32,
    )
    with abtem.config.set({"precision": beam.precision, "antialias.cutoff": beam.band_limit}):
        spectrum = _multislice(potential, beam)
    orders = wave_orders(cell_pm, beam)
    face_pm = atoms.info.get("exit_face_pm", 100 * float(atoms.cell[2, 2]))
    end_pm, middle_pm = 100 * potential.end, 100 * potential.middle
    cropped = crop_orders(spectrum, orders, cell_pm, beam)
    cropped = cropped * propagate_free_space(orders, cell_pm, beam, face_pm - end_pm, end_pm - middle_pm)
    return cropped.astype(np.complex128 if beam.precision == "float64" else np.complex64)


def wave_orders(cell_pm: float | Sequence[float], beam: Beam) -> tuple[int, int]:
    """Largest stored order along x and y."""
    x, y = (stored_orders(side, beam.energy_kev, beam.stored_angle_mrad) for side in as_xy(cell_pm))
    return x, y


def _multislice(potential: SlicedPotential, beam: Beam) -> np.ndarray:
    """F = fft2/N² [ky, kx] of the wave behind the last slice."""
    import abtem
    from abtem.multislice import AntialiasAperture, FresnelPropagator, conventional_multislice_step

    energy, extent = 1000 * beam.energy_kev, potential.sides
    plane = abtem.PlaneWave(energy=energy, gpts=potential.points, extent=extent, tilt=tuple(beam.tilt_mrad))
    waves = plane.build(lazy=False)
    propagator, aperture = FresnelPropagator(), AntialiasAperture()
    for piece in potential:
        # as a transmission function, which spares the two FFTs that would limit its band: the grid's own limit serves
        transmission = _transmission(piece, energy, extent)
        waves = conventional_multislice_step(waves, transmission, propagator, aperture)
    wave = np.asarray(waves.to_cpu().array)
    wave = wave.reshape(wave.shape[-2:])
    return np.fft.fft2(wave.T) / wave.size  # abTEM's arrays are [x, y]


def _transmission(piece: Slice, energy_ev: float, extent: tuple[float, float]):
    """abTEM's transmission function of a slice, exp(iσV), times what is absorbed, exp(-σW)."""
    import abtem
    from abtem.core.energy import energy2sigma

    one = abtem.PotentialArray(_at_abtem(piece.potential)[None], slice_thickness=piece.thickness, extent=extent)
    transmission = one.transmission_function(energy_ev)
    if piece.absorption is not None:
        transmission.array[0] *= _at_abtem(torch.exp(-energy2sigma(energy_ev) * piece.absorption))
    return transmission


def _at_abtem(potential: torch.Tensor):
    """The array where abTEM computes: numpy's, or CuPy's (without a copy if it is on the GPU already)."""
    import abtem

    if abtem.config.get("device") == "cpu":
        return potential.numpy()
    import cupy

    return cupy.from_dlpack(potential) if potential.device.type == "cuda" else cupy.asarray(potential.numpy())


def propagate_free_space(
    orders: int | Sequence[int], cell_pm: float | Sequence[float], beam: Beam, distance_pm: float, tilted_pm: float
) -> np.ndarray:
    """Phase factors of free space over ``distance_pm`` (may be negative) and of the shift that undoes a tilted beam's
    drift.

    Since the middle of the crystal, a beam tilted by t has drifted sideways by tan(t) · ``tilted_pm``.
    """
    qx, qy = (in_fft_order(most) / side for most, side in zip(as_xy(orders), as_xy(cell_pm)))
    free = -np.pi * wavelength_pm(beam.energy_kev) * distance_pm * (qy[:, None] ** 2 + qx[None, :] ** 2)
    drift_x, drift_y = (tilted_pm * np.tan(t / 1000) for t in beam.tilt_mrad)
    return np.exp(1j * (free + 2 * np.pi * (qy[:, None] * drift_y + qx[None, :] * drift_x)))


def crop_orders(
    spectrum: np.ndarray, orders: int | Sequence[int], cell_pm: float | Sequence[float], beam: Beam
) -> np.ndarray:
    """Keep the orders -K … K along each axis of a spectrum [ky, kx] in FFT order, zero beyond the stored angle."""
    kx, ky = (in_fft_order(most) for most in as_xy(orders))
    cropped = spectrum[np.ix_(ky, kx)]
    side, other = as_xy(cell_pm)
    radius = beam.stored_angle_mrad / 1000 / wavelength_pm(beam.energy_kev) * side
    cropped[(side / other * ky[:, None]) ** 2 + kx[None, :] ** 2 > radius**2 * (1 + 1e-12)] = 0
    return cropped


def in_fft_order(orders: int) -> np.ndarray:
    """0 … K, -K … -1."""
    return np.r_[0 : orders + 1, -orders:0]
