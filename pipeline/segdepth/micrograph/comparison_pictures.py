"""The pictures of a comparison: upright, smoothed, and their Fourier transforms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage

from segdepth.crystals import Crystal
from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.measurement import Frame, Measured
from segdepth.micrograph.preparation import Preparation

SMOOTHING_PM = 25.0
SPECTRUM_LIMIT_PER_NM = 8.0
SPECTRUM_POINTS = 1024


def crop_shape(transform: FrameTransform) -> tuple[int, int]:
    """Pixels (rows, columns) of the largest upright rectangle of the frame's proportions within the turned frame."""
    rows, columns = transform.shape
    c, s = (abs(part) for part in transform.turn)
    if s > c:  # nearer to a quarter turn
        rows, columns, c, s = columns, rows, s, c
    scale = min(1 / (c + s * rows / columns), 1 / (c + s * columns / rows))
    return int(rows * scale + 1e-9), int(columns * scale + 1e-9)


def comparison_pictures(sides: Mapping[str, Measured], crystal: Crystal) -> xr.Dataset:
    """The data set of ``comparison.zarr`` (see ``segdepth.steps.compare_micrograph``).

    Parameters
    ----------
    sides : by name, ``micrograph`` among them.
    """
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for side, one in sides.items():
        pixel = one.frame.pixel_pm
        counts = _upright(one.frame)
        smooth = _smoothed(counts, SMOOTHING_PM / pixel)
        spectrum, frequencies = _spectrum(counts, pixel, one.frame.level / one.frame.gain)
        for axis, n in zip("yx", counts.shape):
            places = (np.arange(n) + 0.5) * pixel
            coordinates[f"{side}_{axis}"] = _variable([f"{side}_{axis}"], places, "pm", f"pixel centre along {axis}")
        for axis in "vu":
            name = f"{side}_{axis}"
            coordinates[name] = _variable([name], frequencies, "1/nm", f"frequency along {'xy'[axis == 'v']}")
        plane, fourier = [f"{side}_y", f"{side}_x"], [f"{side}_v", f"{side}_u"]
        cell = one.contrast.cell.astype(np.float32)
        variables |= {
            f"{side}_counts": _variable(plane, counts.astype(np.float32), "1", "counts, vacuum = 1"),
            f"{side}_smooth": _variable(plane, smooth.astype(np.float32), "1", "counts smoothed by 25 pm, vacuum = 1"),
            f"{side}_spectrum": _variable(fourier, spectrum, "1", "log10 of the Fourier modulus over the noise's"),
            f"{side}_cell": _variable(["cell_y", "cell_x"], cell, "1", "average unit cell, vacuum = 1"),
        }
    attrs = {
        "title": "a micrograph beside the simulation",
        "pixel_pm": sides["micrograph"].frame.pixel_pm,
        "crystal": json.dumps(crystal.to_dict(), sort_keys=True),
    }
    return xr.Dataset(variables, coords=coordinates, attrs=attrs)


def _variable(dims: Sequence[str], values: np.ndarray, units: str, text: str) -> tuple:
    return tuple(dims), values, {"units": units, "long_name": text}


def _upright(frame: Frame) -> np.ndarray:
    """Counts over the vacuum's, turned upright on the same pixel and cropped to the frame's inside; NaN where masked.

    Electrons are sent to their new pixels one by one, so that they stay Poisson distributed; quarter turns move none.
    """
    preparation = Preparation(frame.transform, frame.usable, whole=frame.gain == 1.0)
    prepared = preparation.frame(frame.counts, frame.level)
    image = np.where(prepared.valid, prepared.image, np.nan)
    offsets = [(size - kept) // 2 for size, kept in zip(image.shape, crop_shape(frame.transform))]
    return image[tuple(np.s_[o : o + kept] for o, kept in zip(offsets, crop_shape(frame.transform)))]


def _smoothed(image: np.ndarray, width: float) -> np.ndarray:
    """Gaussian mean of the pixels that are not NaN."""
    there = np.isfinite(image)
    total = ndimage.gaussian_filter(np.where(there, image, 0.0), width, mode="nearest")
    weight = ndimage.gaussian_filter(there.astype(float), width, mode="nearest")
    return np.where(there, total / np.maximum(weight, 1e-9), np.nan)


def _spectrum(image: np.ndarray, pixel_pm: float, electrons: float) -> tuple[np.ndarray, np.ndarray]:
    """log10 of |FFT| of the Hann-windowed picture over the modulus of its shot noise, and the frequencies in 1/nm."""
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    filled = np.where(np.isfinite(image), image, np.nanmean(image))
    points = max(SPECTRUM_POINTS, *image.shape)
    modulus = np.abs(np.fft.fftshift(np.fft.fft2((filled - filled.mean()) * window, s=(points, points))))
    noise = np.sqrt((window**2 * filled).sum() / electrons)
    frequencies = np.fft.fftshift(np.fft.fftfreq(points, pixel_pm / 1000))
    kept = np.abs(frequencies) <= SPECTRUM_LIMIT_PER_NM
    return np.log10(np.maximum(modulus[np.ix_(kept, kept)] / noise, 1e-3)).astype(np.float32), frequencies[kept]
