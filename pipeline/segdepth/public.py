"""The functions of ``import segdepth``: read, predict, load_network, simulate, crystal. On arrays; nothing is written.

Heavy packages are imported by the function that needs them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segdepth.crystals import make_crystal as crystal

__all__ = ["Predicted", "crystal", "load_network", "predict", "read", "simulate"]

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from ase import Atoms
    from torch import nn

    from segdepth.config import Beam, Imaging
    from segdepth.micrograph.readers import Recording
    from segdepth.networks.card import NetworkCard


class Predicted(NamedTuple):
    """What ``predict`` found.

    maps : ``depth``, ``confidence``, ``probabilities``, ``counts``, ``valid`` over (frame, y, x), with units and
        coordinates in pm; see ``segdepth.micrograph.maps``. Attribute ``warnings``: lines for the user.
    columns : one row a column: ``frame``, ``x_pm``, ``y_pm``, ``element``, ``depth``, ``confidence``.
    """

    maps: xr.Dataset
    columns: pd.DataFrame


def read(path: str | Path, *, key: str | None = None) -> Recording:
    """A micrograph or a movie from ``.npy``, ``.npz`` or ``.tif``.

    Parameters
    ----------
    key : array name inside an ``.npz``; not needed where only one array has two or three dimensions.

    Returns
    -------
    Recording with ``frames``, float32 (frame, y, x), row 0 as in the file.

    Raises
    ------
    MicrographError
        The file is missing, damaged, too large, or holds no counts.
    """
    from segdepth.micrograph.readers import read_micrograph

    return read_micrograph(path, key)


def load_network(path: str | Path | None = None, *, device: str = "auto") -> tuple[nn.Module, NetworkCard]:
    """A trained network, ready to predict, and its card; without ``path`` the one that comes with the package.

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
    pixel_pm: float,
    *,
    network: str | Path | tuple[nn.Module, NetworkCard] | None = None,
    invalid: float | None = None,
    rotation_deg: float = 0.0,
    flip: bool = False,
    vacuum_counts: float | None = None,
    precision: str = "auto",
    flip_average: bool = True,
    device: str = "auto",
) -> Predicted:
    """The number of atoms behind every pixel, and the atomic columns, of a micrograph or of each frame of a movie.

    Parameters
    ----------
    counts : (y, x) or (frame, y, x), electron counts or what ``read`` gave.
    pixel_pm : side of the camera's pixel on the specimen.
    network : folder of a trained network or what ``load_network`` gave; without it the one that comes with the package.
    invalid : value of masked pixels; NaN masks all that is not finite.
    rotation_deg, flip : bring the crystal upright (its x axis along x, the vacuum at large rows): the frame is mirrored
        along x if ``flip``, then turned counter-clockwise as seen with row 0 at the bottom.
    vacuum_counts : counts per pixel in vacuum; measured in each frame if not given.
    precision : ``auto``, ``float32`` or ``bfloat16``.
    flip_average : average over the frame and its mirror image, if the network was trained for it.
    device : ``auto``, ``cpu`` or ``cuda``; a network that is given stays on its own.

    Returns
    -------
    ``maps, columns``. Warnings are issued (``UserWarning``) and kept in ``maps.attrs["warnings"]``.

    Raises
    ------
    SegDepthError
        One line on what is wrong with the counts, an option or the network.
    """
    import numpy as np

    from segdepth.config import PredictionOptions, validate
    from segdepth.errors import ConfigError
    from segdepth.micrograph.maps import empty_maps, joined_columns, put_frame
    from segdepth.micrograph.predict import check_recording, predict_recording, serve
    from segdepth.micrograph.readers import Recording, recording_of

    given = {
        "pixel_pm": pixel_pm,
        "invalid": invalid,
        "rotation_deg": rotation_deg,
        "flip": flip,
        "vacuum_counts": vacuum_counts,
        "precision": precision,
        "flip_average": flip_average,
    }
    options = validate(PredictionOptions, given, "predict")
    recording = counts if isinstance(counts, Recording) else recording_of(counts)
    if network is not None and not isinstance(network, str | Path | tuple):
        raise ConfigError(f"network: got {type(network).__name__}; a folder, or what load_network gave, is needed")
    trained, card = network if isinstance(network, tuple) else load_network(network, device=device)
    served = serve(trained, options)
    task = check_recording(recording, card, options)
    maps = empty_maps(task)
    arrays = {name: np.zeros(maps[name].shape, maps[name].dtype) for name in maps.data_vars if "y" in maps[name].dims}
    lines, tables = list(task.warnings), []
    for i, found in enumerate(predict_recording(served, task)):
        put_frame(arrays, i, found)
        tables.append(found.columns)
        lines += found.warnings
    for line in lines:
        warnings.warn(line, stacklevel=2)
    filled = {name: (maps[name].dims, values, maps[name].attrs) for name, values in arrays.items()}
    return Predicted(maps.assign(filled).assign_attrs(warnings=lines), joined_columns(tables))


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
    defocus_nm : C1, positive is overfocus; without it the imaging block's.
    pixel_pm : of the image, any; without it the imaging block's.
    electrons_per_pixel : vacuum level; the image is then counts, Poisson distributed.
    seed : of all random draws: ranges of the blocks, frozen phonons, noise.
    device : of the multislice: ``auto``, ``cpu`` or ``cuda``.

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
    attrs = waves_dataset(wave[None], [atoms], facts, [fixed]).attrs
    images = form_at_pixel(lens, attrs, wave, draw_lens_values(lens, values, rng("lens")), pixel)
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
