"""Simulated micrographs as one camera would have recorded them: its pixel, its dose, its size, as much vacuum.

Simulated structures have their vacuum at large y; how far a specimen block has turned their lattice in the plane is
found in the image that shows it best, before noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from segdepth.config import Imaging
from segdepth.crystals import Crystal
from segdepth.errors import MicrographError
from segdepth.micrograph.lattice_peaks import upright_rotation
from segdepth.seeds import structure_rng
from segdepth.simulation.arbitrary_pixel import form_at_pixel
from segdepth.simulation.configurations import stored_weights
from segdepth.simulation.lens_values import draw_lens_values

NOISE_OF_COMPARISONS = 20_000
"""Separates this noise from that of images and recordings."""

SURFACE_SHARE = 0.1
"""The surface is where the rows' spread has fallen to this share of its largest."""


@dataclass(frozen=True)
class Camera:
    """pixel_pm : side of its pixel. electrons : per pixel in vacuum. shape : (rows, columns) of the upright frame.
    vacuum_share : of the frame that is vacuum."""

    pixel_pm: float
    electrons: float
    shape: tuple[int, int]
    vacuum_share: float


@dataclass(frozen=True)
class View:
    """structure : index in the plan. defocus_nm : C1. counts : (y, x) electrons. rotation_deg : turns it upright."""

    structure: int
    defocus_nm: float
    counts: np.ndarray
    rotation_deg: float


def surface_row(image: np.ndarray) -> int:
    """The row (of a noise-free image with vacuum at large y) above which there is vacuum."""
    spread = image.std(axis=1)
    return int(np.flatnonzero(spread > SURFACE_SHARE * spread.max())[-1]) + 1


def crop_window(surface: int, field: tuple[int, int], camera: Camera) -> tuple[slice, slice]:
    """Rows and columns of a field of (rows, columns) pixels: the camera's shape where the field is as large, in the
    middle along x, with the camera's share of vacuum as far as the field has it."""
    rows, columns = (min(size, side) for size, side in zip(camera.shape, field))
    top = min(max(surface + round(camera.vacuum_share * rows), rows), field[0])
    left = (field[1] - columns) // 2
    return slice(top - rows, top), slice(left, left + columns)


@dataclass(frozen=True)
class SimulatedWaves:
    """A shard of exit waves: ``wave`` (structure, configuration, ky, kx) with the coordinate ``structure``, index in
    the plan, and attributes of the simulation."""

    waves: xr.Dataset

    @property
    def attrs(self) -> Mapping[str, Any]:
        return self.waves.attrs

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal that was simulated.

        Raises
        ------
        MicrographError
            The waves have no such attribute.
        """
        try:
            return Crystal.from_dict(json.loads(self.attrs["crystal"]))
        except (KeyError, TypeError, ValueError) as failure:
            raise MicrographError(
                "the waves have no attribute 'crystal'; simulate them again from atoms that have one"
            ) from failure

    @cached_property
    def structures(self) -> list[int]:
        """Indices in the plan."""
        return [int(index) for index in self.waves["structure"].values]

    def rng(self, structure: int, *stream: Any) -> np.random.Generator:
        return structure_rng(
            int(self.attrs.get("root_seed", 0)), str(self.attrs.get("specimen", "")), structure, *stream
        )


def simulated_views(
    simulated: SimulatedWaves, imaging: Imaging, camera: Camera, defocus_nm: Sequence[float]
) -> Iterator[View]:
    """Views of all structures of a shard, one after the other, each at every defocus.

    The lens of a structure is drawn as for the stored images; the noise depends on root seed, specimen, structure and
    the place of the defocus in the list.
    """
    weights = stored_weights(simulated.waves)
    for row, index in enumerate(simulated.structures):
        lens = draw_lens_values(imaging, defocus_nm, simulated.rng(index, "lens"))
        wave = simulated.waves["wave"][row].values
        images = form_at_pixel(imaging, simulated.attrs, wave, lens, camera.pixel_pm, weights)
        images = images[:, *crop_window(max(surface_row(image) for image in images), images.shape[1:], camera)]
        clearest = max(images, key=np.std)
        rotation = upright_rotation(clearest, camera.pixel_pm, simulated.crystal)
        for place, (value, image) in enumerate(zip(defocus_nm, images)):
            rng = simulated.rng(index, "noise", NOISE_OF_COMPARISONS, place)
            counts = rng.poisson(np.maximum(image, 0) * camera.electrons)
            yield View(index, float(value), counts, rotation)
