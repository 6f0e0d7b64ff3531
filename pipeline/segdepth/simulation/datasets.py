"""Exit waves and images of structures as data sets with their coordinates, units and attributes.

Attributes of both: ``cell_pm``, ``margin_pm``, ``field_pm``, ``energy_kev``, ``wavelength_pm``, ``stored_angle_mrad``,
``grid_points`` (of the multislice), ``specimen`` and ``root_seed`` (with the index they make a structure's random
streams), ``crystal`` (JSON, empty where it is not known). Sizes are one number for a square, else [x, y].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from segdepth.config import Beam, Imaging
from segdepth.crystals import Crystal
from segdepth.crystals.crystal import direction
from segdepth.seeds import structure_rng
from segdepth.simulation.beam import PARAMETRIZATIONS, resolve_beam, tilted_with_crystal
from segdepth.simulation.cell import collapse_square, sides_pm
from segdepth.simulation.configurations import WEIGHT, configuration_weights
from segdepth.simulation.electron import wavelength_pm
from segdepth.simulation.exit_wave import in_fft_order, wave_orders
from segdepth.simulation.grid import grid_points
from segdepth.simulation.lens_values import LENS_VALUES
from segdepth.specimen.frame_facts import FrameFacts, crystal_of, crystal_text

if TYPE_CHECKING:
    from ase import Atoms

STRUCTURE = {"units": "1", "long_name": "index in the plan"}


def structure_beams(beam: Beam, frames: Sequence[Atoms], facts: Sequence[FrameFacts]) -> list[Beam]:
    """The beam of each structure, its ranges drawn from the structure's stream ``beam``.

    Raises
    ------
    ConfigError
        The vibration of an element is not known.
    """
    return [
        resolve_beam(
            beam,
            frame.get_chemical_symbols(),
            one.crystal.debye_waller_pm if one.crystal else {},
            structure_rng(one.root_seed, one.specimen, one.index, "beam"),
        )
        for frame, one in zip(frames, facts)
    ]


def waves_dataset(
    waves: Any, frames: Sequence[Atoms], facts: Sequence[FrameFacts], beams: Sequence[Beam]
) -> xr.Dataset:
    """``wave(structure, configuration, ky, kx)``, dimensionless (vacuum F00 = 1), of one file's structures.

    Coordinates ``structure`` (index in the plan), ``ky``, ``kx`` (orders, in units of 1/side of the cell), and the
    values of each structure's beam: ``tilt_x_mrad``, ``tilt_y_mrad`` (with that of a crystal whose atoms stay upright,
    ``specimen.frame_facts.lean_deg``), ``debye_waller_scale``,
    ``parametrization`` (its ``flag_meanings`` name the numbers). ``configuration`` counts frozen phonons, or the
    coherent wave and the differences from it (``simulation.configurations``); without them it is 1.
    ``configuration_weight`` is how much the image of each counts.

    Parameters
    ----------
    waves : array (structure, configuration, ky, kx), may be lazy.
    beams : of ``structure_beams``.
    """
    cell, beam, first = sides_pm(frames[0]), beams[0], facts[0]
    tilts = [tilted_with_crystal(each, frame).tilt_mrad for each, frame in zip(beams, frames)]
    kx, ky = map(in_fft_order, wave_orders(cell, beam))
    drawn = {
        "tilt_x_mrad": ([x for x, _ in tilts], "mrad", "tilt of the beam along x"),
        "tilt_y_mrad": ([y for _, y in tilts], "mrad", "tilt of the beam along y"),
        "debye_waller_scale": ([each.debye_waller_scale for each in beams], "1", "factor on the Debye-Waller B"),
    }
    kinds = np.array([PARAMETRIZATIONS.index(each.parametrization) for each in beams], np.uint8)
    flags = {"flag_values": list(range(len(PARAMETRIZATIONS))), "flag_meanings": " ".join(PARAMETRIZATIONS)}
    text = {"units": "1", "long_name": "Fourier coefficients of the exit wave"}
    return xr.Dataset(
        {"wave": (("structure", "configuration", "ky", "kx"), waves, text)},
        coords={
            "structure": ("structure", [one.index for one in facts], STRUCTURE),
            "ky": ("ky", ky, {"units": "1/cell", "long_name": "Fourier order along y"}),
            "kx": ("kx", kx, {"units": "1/cell", "long_name": "Fourier order along x"}),
            **{
                name: ("structure", np.array(values, float), {"units": units, "long_name": long_name})
                for name, (values, units, long_name) in drawn.items()
            },
            WEIGHT: (
                "configuration",
                configuration_weights(beam),
                {"units": "1", "long_name": "weight of the configuration's image"},
            ),
            "parametrization": ("structure", kinds, {"units": "1", "long_name": "scattering factors", **flags}),
        },
        attrs={
            "title": _title("exit waves", first.crystal),
            "cell_pm": collapse_square(cell),
            "margin_pm": first.margin_pm,
            "field_pm": collapse_square(first.field_pm),
            "energy_kev": beam.energy_kev,
            "wavelength_pm": wavelength_pm(beam.energy_kev),
            "stored_angle_mrad": beam.stored_angle_mrad,
            "grid_points": collapse_square([grid_points(side, beam.pixel_pm) for side in cell]),
            "specimen": first.specimen,
            "root_seed": first.root_seed,
            "crystal": crystal_text(first.crystal) if first.crystal else "",
        },
    )


KEPT = (
    *("cell_pm", "margin_pm", "energy_kev", "wavelength_pm", "stored_angle_mrad", "grid_points"),
    *("specimen", "root_seed", "crystal"),
)
"""Attributes that images copy from their waves."""


def images_dataset(
    images: Any,
    imaging: Imaging,
    wave_attrs: Mapping[str, Any],
    indices: Sequence[int],
    lenses: Sequence[Mapping[str, np.ndarray]],
) -> xr.Dataset:
    """``intensity(structure, defocus, y, x)``, vacuum = 1, without noise; row 0 is at the low end of y.

    Coordinates ``structure``, ``y``, ``x`` (pixel centres, pm from the corner of pixel [0, 0]) and the lens values of
    each image, (structure, defocus), named as the imaging block names them. Attributes of the waves and ``pixel_pm``,
    ``detection_efficiency``.

    Parameters
    ----------
    images : array (structure, defocus, y, x), may be lazy.
    wave_attrs : attributes of the waves.
    indices : of the structures.
    lenses : of ``lens_values.draw_lens_values``, one a structure.
    """
    crystal = crystal_of(wave_attrs["crystal"]) if wave_attrs["crystal"] else None
    along_x, along_y = (f", {direction(a)}" for a in (crystal.x_axis, crystal.y_axis)) if crystal else ("", "")
    rows, columns = ((np.arange(count) + 0.5) * imaging.pixel_pm for count in images.shape[-2:])
    values = {
        name: (
            ("structure", "defocus"),
            np.stack([lens[name] for lens in lenses]),
            {"units": value.units, "long_name": value.long_name},
        )
        for name, value in LENS_VALUES.items()
    }
    text = {"units": "1", "long_name": "image intensity, vacuum = 1"}
    return xr.Dataset(
        {"intensity": (("structure", "defocus", "y", "x"), images, text)},
        coords={
            "structure": ("structure", indices, STRUCTURE),
            "y": ("y", rows, {"units": "pm", "long_name": f"pixel centre along y{along_y}"}),
            "x": ("x", columns, {"units": "pm", "long_name": f"pixel centre along x{along_x}"}),
            **values,
        },
        attrs={
            "title": _title("noise-free TEM images", crystal),
            **{name: wave_attrs[name] for name in KEPT},
            "field_pm": collapse_square([count * imaging.pixel_pm for count in reversed(images.shape[-2:])]),
            "pixel_pm": imaging.pixel_pm,
            "detection_efficiency": imaging.detection_efficiency,
        },
    )


def _title(what: str, crystal: Crystal | None) -> str:
    return f"{what} of {crystal.title}" if crystal else what
