"""The functions of ``import segdepth``: read, calibrate, predict, fit_lens, explain, load_network, simulate,
crystal. They take arrays and write no files.

Heavy packages are imported by the function that needs them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segdepth.crystals import make_crystal as crystal

__all__ = [
    "Explained",
    "Predicted",
    "calibrate",
    "crystal",
    "explain",
    "fit_lens",
    "load_network",
    "predict",
    "read",
    "simulate",
]

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from ase import Atoms
    from torch import nn

    from segdepth.config import Beam, Imaging
    from segdepth.crystals import Crystal
    from segdepth.fitting.result import LensFit
    from segdepth.micrograph.calibration.calibrate import Calibration
    from segdepth.micrograph.files.recording import Recording
    from segdepth.networks.card import NetworkCard


class Predicted(NamedTuple):
    """What ``predict`` found.

    maps : on the network's grid, over (frame, row, column): ``probabilities``, ``depth``, ``confidence``, ``counts``,
        ``valid``, with units, coordinates in pm and the affine map to the micrograph's pixels; see
        ``segdepth.micrograph.results.maps``. Attribute ``warnings``: lines for the user.
    columns : one row per column and frame: ``frame``, ``column``, ``x_pm``, ``y_pm``, ``x_px``, ``y_px``, ``element``,
        ``depth``, ``confidence``, ``depth_low``, ``depth_high``, ``at_least``, ``llr``, ``q_value``, ``reliable``; see
        ``segdepth.micrograph.results.tables``.
    """

    maps: xr.Dataset
    columns: pd.DataFrame


class Explained(NamedTuple):
    """What ``explain`` found.

    maps : counts, expected electrons and standardized residuals, before and after refining, over (frame, row, column);
        attribute ``warnings``: lines for the user, χ² among them.
    columns : a row per column and frame: ``depth``, refined ``count``, … (``segdepth.explanation.explain.COLUMNS``).
    """

    maps: xr.Dataset
    columns: pd.DataFrame


def explain(predicted: Predicted, lens: LensFit | str | Path, *, force: bool = False, device: str = "cpu") -> Explained:
    """Compare predicted columns with the recorded electrons through the fitted lens, and refine their counts.

    Parameters
    ----------
    predicted : result of ``predict``. lens : of ``fit_lens``, or the JSON file of ``segdepth fit-lens``.
    force : accept a fit that does not explain its film.

    Raises
    ------
    SegDepthError
        The fit is not explained, is of another crystal or film, or no frame has columns.
    """
    import pandas as pd

    from segdepth.errors import MicrographError
    from segdepth.explanation.explain import NOT_EXPLAINED_LINE, Explainer, explained_maps
    from segdepth.explanation.layers import all_explained
    from segdepth.fitting.result import LensFit, read_lens_fit
    from segdepth.fitting.same_film import check_same_film
    from segdepth.micrograph.results.maps import dose_of
    from segdepth.simulation.exit_wave import abtem_device

    abtem_device(device)
    fit = lens if isinstance(lens, LensFit) else read_lens_fit(lens)
    if not fit.explained and not force:
        raise MicrographError("lens: the fit does not explain its film; force=True goes on all the same")
    attrs = predicted.maps.attrs
    check_same_film("lens", fit, "the film", dose_of(predicted.maps), attrs.get("energy_kev"), attrs.get("pixel_pm"))
    explainer = Explainer(*predicted, fit, device)
    frames, lines = all_explained(explainer)
    if not fit.explained:
        warnings.warn(NOT_EXPLAINED_LINE, stacklevel=2)
    maps = explained_maps(explainer, frames, lines)
    return Explained(maps, pd.concat([one.table for one in frames], ignore_index=True))


def read(path: str | Path, *, image: str | None = None) -> Recording:
    """Open a micrograph or a film, as a camera or another program wrote it.

    Parameters
    ----------
    path : dm3, dm4, mrc, ser, emi, emd, tif, hspy, zspy, mib, tvips, npy or npz.
    image : name or number (from 0) of one of several images in the file; by default the largest.

    Returns
    -------
    Recording with ``shape`` (y, x), ``count`` frames, ``read_frame(number)``, and what the file says: ``pixel_pm``,
    ``exposure_s``, ``energy_kev``, ``times_s``. A context manager, which closes the file.

    Raises
    ------
    MicrographError
        The file is missing, damaged, too large, or holds no micrograph.
    """
    from segdepth.micrograph.files import open_recording

    return open_recording(path, image)


def calibrate(
    counts: np.ndarray | Recording,
    crystal: Crystal,
    *,
    pixel_pm: float | None = None,
    invalid: float | None = None,
) -> Calibration:
    """Find a crystal's lattice in a micrograph: pixel, rotation, distortion, and where the crystal is.

    Parameters
    ----------
    counts : (y, x) or (frame, y, x), in any linear unit, or the result of ``read``.
    crystal : result of ``segdepth.crystal``.
    pixel_pm : approximate side of a pixel (within 30 %); by default from the file.
    invalid : value of pixels to mask.

    Returns
    -------
    Calibration with ``pixel_pm``, ``pixel_error_pm``, ``rotation_deg``, ``rotation_error_deg``, ``elongation``,
    ``area`` and ``others`` (y, x) bool, and ``lines``.

    Raises
    ------
    MicrographError
        The lattice was not found; the message says what was found instead.
    """
    from segdepth.micrograph.calibration.calibrate import calibrate as find
    from segdepth.micrograph.film import sample_frames

    recording = _recording(counts)
    frames = [(frame.values, frame.usable) for frame in sample_frames(recording, invalid)]
    return find(frames, crystal, pixel_pm=pixel_pm or recording.pixel_pm)


def _recording(counts: np.ndarray | Recording) -> Recording:
    import numpy as np

    from segdepth.errors import MicrographError
    from segdepth.micrograph.files.recording import Recording, recording_of

    if isinstance(counts, Recording):
        return counts
    try:
        array = np.asarray(counts)
    except ValueError as failure:
        raise MicrographError(f"array: is no image or film ({failure})") from None
    return recording_of(array)


def load_network(path: str | Path | None = None, *, device: str = "auto") -> tuple[nn.Module, NetworkCard]:
    """Load a trained network for many predictions, and its card.

    Parameters
    ----------
    path : its folder, or the name of one that comes with the package: ``bundled`` (the default) or
        ``bundled_particles``.

    Raises
    ------
    StoreError, ConfigError
        Its files are missing or do not fit each other; there is no such device.
    """
    from segdepth.devices import torch_device
    from segdepth.networks.files import load_network as load

    return load(path, torch_device(device))


def predict(
    counts: np.ndarray | Recording,
    *,
    network: str | Path | tuple[nn.Module, NetworkCard] | None = None,
    familiarity: str | Path | None = None,
    lens: LensFit | str | Path | None = None,
    device: str = "auto",
    **options: Any,
) -> Predicted:
    """Count the atoms behind every pixel and in every column of a micrograph, or of each frame of a film.

    Parameters
    ----------
    counts : (y, x) or (frame, y, x), or the result of ``read``.
    network : folder of a trained network, ``bundled`` or ``bundled_particles``, or the result of ``load_network``; by
        default the one of these two whose training images are more like the film.
    familiarity : JSON file of ``measure-familiarity``; not needed for the two bundled networks. Given without a
        network it is used for ``bundled``.
    lens : result of ``fit_lens`` on the same counts, or its JSON file; its thickness is joined with the counts.
    device : ``auto``, ``cpu`` or ``cuda``; a loaded network stays on its device.
    options : values that replace those of the file and the lattice: ``pixel_pm``, ``rotation_deg``, ``flip``,
        ``calibrate`` (False: take pixel and rotation as given), ``invalid`` (value of pixels to mask), ``gain``,
        ``offset``, ``dose_e_per_a2``, ``false_discovery``, ``precision``, ``flip_average``: the keys of a block
        ``predictions`` of the configuration.

    Returns
    -------
    ``maps, columns``, with all frames in memory. ``maps.attrs["warnings"]`` says what was found. If a frame is unlike
    the training images, or if that is not known, there is a ``UserWarning`` too.

    Raises
    ------
    SegDepthError
        One line that says what is wrong with the counts, an option or the network.
    """
    from segdepth.config import PredictionOptions, validate
    from segdepth.devices import shared_cores, torch_device
    from segdepth.errors import ConfigError
    from segdepth.fitting.known_thickness import known_thickness
    from segdepth.fitting.result import read_lens_fit
    from segdepth.micrograph.choice import load_candidates, predict_chosen
    from segdepth.micrograph.familiarity.judgement import read_familiarity
    from segdepth.micrograph.predict import NOT_KNOWN, predict_recording
    from segdepth.micrograph.results.facts import NOT_RELIABLE
    from segdepth.networks.bundled import familiarity_for, network_folders

    chosen = validate(PredictionOptions, options, "predict")
    if network is not None and not isinstance(network, str | Path | tuple):
        raise ConfigError(f"network: got {type(network).__name__}; a folder, or what load_network gave, is needed")
    recording, fit = _recording(counts), read_lens_fit(lens) if isinstance(lens, str | Path) else lens
    known_lens = partial(known_thickness, fit=fit, name="lens") if fit else None
    if isinstance(network, tuple):
        trained, card = network
        known = familiarity or familiarity_for(card)
        learnt = None if known is None else read_familiarity(known, card)
        with shared_cores():
            maps, columns = predict_recording(trained, card, recording, chosen, learnt, "given", known_lens)
    else:
        candidates = load_candidates(network_folders(network), chosen, torch_device(device), familiarity)
        with shared_cores():
            maps, columns = predict_chosen(candidates, recording, chosen, known_lens)
    for line in maps.attrs["warnings"]:
        if line.startswith((NOT_RELIABLE, NOT_KNOWN)):
            warnings.warn(line, stacklevel=2)
    return Predicted(maps, columns)


def fit_lens(counts: np.ndarray | Recording, crystal: Crystal, **options: Any) -> LensFit:
    """Fit lens, tilt and thickness to the average unit cells of a micrograph or film, all frames together.

    Parameters
    ----------
    counts : (y, x) or (frame, y, x), or the result of ``read``. A part of the field must be vacuum.
    crystal : result of ``segdepth.crystal``, with ``debye_waller_pm``.
    options : ``energy_kev`` (needed unless the file has it), values that are held instead of fitted (``c3_um``,
        ``c5_mm``, ``focal_spread_nm``, ``convergence_mrad``, ``image_spread_pm``, ``contrast_factor``, ``background``),
        and how the micrograph is read (``pixel_pm``, ``rotation_deg``, ``invalid``, …): the keys of a block
        ``lens_fits`` of the configuration.

    Returns
    -------
    LensFit with ``values`` and ``errors`` by name, ``bins`` (thickness by distance from the edge), ``chi2``, ``dof``,
    ``explained``, ``rivals`` and ``lines``. If ``explained`` is False, no value can be relied on, and a ``UserWarning``
    says so.

    Raises
    ------
    SegDepthError
        One line: no lattice, no vacuum, too few unit cells, no voltage, or an option that is not allowed.
    """
    from segdepth.config import LensFitOptions, validate
    from segdepth.devices import one_thread
    from segdepth.fitting.film_fit import NOT_EXPLAINED_PREFIX, fit_film
    from segdepth.steps.fit_lens import table_code

    chosen = validate(LensFitOptions, options, "fit_lens")
    with one_thread():
        found = fit_film(_recording(counts), crystal, chosen, table_code=table_code())
    if not found.fit.explained:
        warnings.warn(next(line for line in found.fit.lines if line.startswith(NOT_EXPLAINED_PREFIX)), stacklevel=2)
    return found.fit


def simulate(
    atoms: Atoms,
    *,
    beam: Beam | Mapping[str, Any] | None = None,
    imaging: Imaging | Mapping[str, Any] | None = None,
    defocus_nm: float | Sequence[float] | None = None,
    pixel_pm: float | None = None,
    electrons_per_pixel: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> xr.DataArray:
    """TEM images of a structure at each defocus: multislice, lens and optional shot noise.

    Parameters
    ----------
    atoms : ASE atoms in Å in a cell with sides along x, y and z; the beam runs along +z. ``info`` may have
        ``exit_face_pm``, ``margin_pm`` (cut off at each side of the image) and ``crystal``, as the specimens of this
        package do.
    beam, imaging : blocks of the configuration, or their fields; defaults as in ``config.yaml``'s schema. The rms
        vibration of each element comes from ``beam``'s ``debye_waller_pm`` or from the crystal.
    defocus_nm : C1, positive is overfocus; by default from the imaging block.
    pixel_pm : pixel of the image, any size; by default from the imaging block.
    electrons_per_pixel : electrons in vacuum; the image is then in Poisson-distributed counts.
    seed : of all random draws: ranges of the blocks, frozen phonons, noise.
    device : for the multislice: ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    (defocus, y, x) with coordinates in nm and pm; intensity with vacuum = 1, or counts in electrons.

    Raises
    ------
    SegDepthError
        A field of a block is not allowed, the vibration of an element is not known, the aperture is larger than the
        angle that is kept, or the cell is no box.
    """
    import numpy as np
    from ase import Atoms

    from segdepth.config import Beam, Imaging, SimulationOptions, validate
    from segdepth.errors import ConfigError
    from segdepth.seeds import structure_rng
    from segdepth.simulation.arbitrary_pixel import form_at_pixel
    from segdepth.simulation.configurations import stored_weights
    from segdepth.simulation.datasets import structure_beams, waves_dataset
    from segdepth.simulation.exit_wave import abtem_device, configure_abtem, exit_waves
    from segdepth.simulation.lens_values import draw_lens_values
    from segdepth.specimen.frame_facts import frame_facts

    if not isinstance(atoms, Atoms):
        raise ConfigError(f"atoms: got {type(atoms).__name__}; ase.Atoms are needed")
    given_beam = beam if isinstance(beam, Beam) else validate(Beam, {} if beam is None else beam, "beam")
    lens = imaging if isinstance(imaging, Imaging) else validate(Imaging, {} if imaging is None else imaging, "imaging")
    defoci = None if defocus_nm is None else np.ravel(defocus_nm).tolist()
    given = {"defocus_nm": defoci, "pixel_pm": pixel_pm, "electrons_per_pixel": electrons_per_pixel, "seed": seed}
    options = validate(SimulationOptions, given, "simulate")
    values = options.defocus_nm or lens.defocus_values_nm
    pixel = options.pixel_pm or lens.pixel_pm
    facts = frame_facts([atoms], square=False)
    (fixed,) = structure_beams(given_beam, [atoms], facts)
    configure_abtem(abtem_device(device))

    def rng(stream: str) -> np.random.Generator:
        return structure_rng(seed, facts[0].specimen, facts[0].index, stream)

    wave = exit_waves(atoms, fixed, rng("phonons"))
    stored = waves_dataset(wave[None], [atoms], facts, [fixed])
    drawn, attrs = draw_lens_values(lens, values, rng("lens")), stored.attrs
    images = form_at_pixel(lens, attrs, wave, drawn, pixel, stored_weights(stored))
    attrs = {"energy_kev": fixed.energy_kev, "crystal": attrs["crystal"]}
    if electrons_per_pixel is not None:
        images = rng("noise").poisson(np.maximum(images, 0) * electrons_per_pixel)
        attrs["electrons_per_pixel"] = electrons_per_pixel
    return _image_array(images, values, pixel, attrs)


def _image_array(
    images: np.ndarray, defocus_nm: Sequence[float], pixel_pm: float, attrs: dict[str, Any]
) -> xr.DataArray:
    """Images (defocus, y, x), with names, units and coordinates."""
    import numpy as np
    import xarray as xr

    text = {"units": "1", "long_name": "image intensity, vacuum = 1"}
    if "electrons_per_pixel" in attrs:
        text = {"units": "electrons", "long_name": "counts"}
    rows, columns = ((np.arange(count) + 0.5) * pixel_pm for count in images.shape[-2:])
    return xr.DataArray(
        images,
        dims=("defocus", "y", "x"),
        coords={
            "defocus": ("defocus", list(defocus_nm), {"units": "nm", "long_name": "defocus C1, positive is overfocus"}),
            "y": ("y", rows, {"units": "pm", "long_name": "pixel centre along y"}),
            "x": ("x", columns, {"units": "pm", "long_name": "pixel centre along x"}),
        },
        name="image",
        attrs={**text, "pixel_pm": pixel_pm, **attrs},
    )
