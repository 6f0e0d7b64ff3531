"""Images at an arbitrary pixel, which need not divide the simulated cell.

``ImageFormer`` folds the intensity's spectrum onto a grid that fits the cell. Here the image of the whole cell is
formed once on a grid fine enough to hold that spectrum, and its Fourier series is then summed at the camera's own
pixel centres, each pixel integrated over its area. The series is finite, so this is exact: no interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from segdepth.config import Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.cell import as_xy
from segdepth.simulation.lens_values import full_cell_image_former, lens_fields, orders_of
from segdepth.simulation.optics import Lens, smooth_size


def field_shape(wave_attrs: Mapping[str, Any], pixel_pm: float) -> tuple[int, int]:
    """Whole pixels of side ``pixel_pm`` in the field of view, (y, x)."""
    x, y = (int((side - 2 * wave_attrs["margin_pm"]) / pixel_pm + 1e-6) for side in as_xy(wave_attrs["cell_pm"]))
    return y, x


def field_pixels(wave_attrs: Mapping[str, Any], pixel_pm: float) -> int:
    """The same along the shorter side."""
    return min(field_shape(wave_attrs, pixel_pm))


def form_at_pixel(
    imaging: Imaging,
    wave_attrs: Mapping[str, Any],
    wave: np.ndarray,
    lens_values: Mapping[str, Sequence[float]],
    pixel_pm: float,
    weights: Sequence[float] | None = None,
) -> np.ndarray:
    """Noise-free images (image, y, x) float32 of one wave, vacuum = 1, centred in the field of view.

    Parameters
    ----------
    wave_attrs : of the waves' store (``cell_pm``, ``margin_pm``, ``wavelength_pm``, ``stored_angle_mrad``).
    wave : (ky, kx) as stored, or (configuration, ky, kx).
    lens_values : of ``lens_values.draw_lens_values``, one an image.
    pixel_pm : side of the camera's pixel, any; the MTF refers to it.
    weights : of the configurations (``configurations.stored_weights``); None: their mean.

    Raises
    ------
    ConfigError
        The pixel has no size, or the field holds none, or the aperture is larger than what was stored.
    """
    if not pixel_pm > 0:
        raise ConfigError(f"pixel_pm: got {pixel_pm:g}; it must be above 0")
    shape, cell, orders = field_shape(wave_attrs, pixel_pm), as_xy(wave_attrs["cell_pm"]), orders_of(wave)
    if min(shape) < 1:
        raise ConfigError(f"pixel_pm: got {pixel_pm:g}; the field of view is smaller")
    points = [smooth_size(4 * most + 2) for most in orders]
    former = full_cell_image_former(imaging, wave_attrs, orders, points, pixel_pm)
    columns = lens_fields(dict(lens_values))
    waves = torch.as_tensor(wave)[None].expand(len(columns["c1_pm"]), *np.shape(wave))
    formed = former.form(waves, Lens.from_values(columns), weights).numpy()
    (kept_x, series_x), (kept_y, series_y) = (
        _series(*of_a_side, pixel_pm) for of_a_side in zip(cell, orders, points, reversed(shape))
    )
    images = np.empty((len(formed), *shape), dtype=np.float32)
    for image, one in zip(images, formed):
        spectrum = np.fft.fft2(one.astype(np.float64)) / one.size
        image[:] = (series_y @ spectrum[np.ix_(kept_y, kept_x)] @ series_x.T).real
    return images


def _series(side_pm: float, orders: int, points: int, pixels: int, pixel_pm: float) -> tuple[np.ndarray, np.ndarray]:
    """Which orders of a transform of ``points`` are kept along a side of the cell, and the matrix (pixel, order) that
    sums their series over each of ``pixels`` in the side's middle."""
    n = np.fft.fftfreq(points, 1 / points)
    kept = np.abs(n) <= 2 * orders
    n = n[kept]
    # the fine pixel's box out, the camera's in; the fine pixel [0] has its centre at half a fine pixel
    box = np.sinc(n * pixel_pm / side_pm) / np.sinc(n / points)
    first = (side_pm - pixels * pixel_pm) / 2 + pixel_pm / 2 - side_pm / points / 2
    places = first + np.arange(pixels) * pixel_pm
    return kept, np.exp(2j * np.pi * np.outer(places, n) / side_pm) * box
