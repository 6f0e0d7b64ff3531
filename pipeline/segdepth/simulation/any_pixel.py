"""Images at a pixel that need not divide the simulated cell: what a camera of any magnification would record.

``ImageFormer`` folds the intensity's spectrum onto a grid that fits the cell. Here the image of the whole cell is
formed once on a grid fine enough to hold that spectrum, and its Fourier series is then summed at the camera's own
pixel centres, each pixel integrated over its area. The series is finite, so this is exact: no interpolation.
Must not know whose camera it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from segdepth.config import Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.lens import image_former, lens_columns
from segdepth.simulation.optics import Lens, smooth_size


def field_pixels(wave_attrs: Mapping[str, float], pixel_pm: float) -> int:
    """Whole pixels of side ``pixel_pm`` along the field of view."""
    return int((wave_attrs["cell_pm"] - 2 * wave_attrs["margin_pm"]) / pixel_pm + 1e-6)


def form_at_pixel(
    imaging: Imaging,
    wave_attrs: Mapping[str, float],
    wave: np.ndarray,
    lens_values: Mapping[str, Sequence[float]],
    pixel_pm: float,
) -> np.ndarray:
    """Noise-free images (image, y, x) float32 of one wave, vacuum = 1, centred in the field of view.

    Parameters
    ----------
    wave_attrs : of the waves' store (``cell_pm``, ``margin_pm``, ``wavelength_pm``, ``stored_angle_mrad``).
    wave : (ky, kx) as stored, or (configuration, ky, kx), whose images are averaged.
    lens_values : of ``lens.draw_lens_values``, one an image.
    pixel_pm : side of the camera's pixel, any; the MTF refers to it.

    Raises
    ------
    ConfigError
        The field holds no pixel of this side, or the aperture is larger than what was stored.
    """
    side, cell, orders = field_pixels(wave_attrs, pixel_pm), wave_attrs["cell_pm"], wave.shape[-1] // 2
    if side < 1:
        raise ConfigError(f"pixel_pm: got {pixel_pm:g}; the field of view is smaller")
    points = smooth_size(4 * orders + 2)
    fine = imaging.model_copy(update={"pixel_pm": cell / points, "camera_pixel_pm": pixel_pm})
    whole = image_former(fine, {**wave_attrs, "margin_pm": 0.0}, orders, "cpu")
    columns = lens_columns(dict(lens_values))
    waves = torch.as_tensor(wave)[None].expand(len(columns["c1_pm"]), *np.shape(wave))
    formed = whole.form(waves, Lens.from_columns(columns)).numpy()
    n = np.fft.fftfreq(points, 1 / points)
    kept = np.abs(n) <= 2 * orders
    n = n[kept]
    # the fine pixel's box out, the camera's in; the fine pixel [0] has its centre at half a fine pixel
    box = np.sinc(n * pixel_pm / cell) / np.sinc(n / points)
    first = (cell - side * pixel_pm) / 2 + pixel_pm / 2 - cell / points / 2
    places = first + np.arange(side) * pixel_pm
    series = np.exp(2j * np.pi * np.outer(places, n) / cell) * box
    images = np.empty((len(formed), side, side), dtype=np.float32)
    for image, one in zip(images, formed):
        spectrum = np.fft.fft2(one.astype(np.float64)) / points**2
        image[:] = (series @ spectrum[np.ix_(kept, kept)] @ series.T).real
    return images
