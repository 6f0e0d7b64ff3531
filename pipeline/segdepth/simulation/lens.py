"""From the imaging block to lens values: fixed ones, ranges drawn anew, and the image former that uses them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segdepth.config import ConfigError, Imaging, check_whole_pixels
from segdepth.simulation.optics import ImageFormer

# field of the imaging block -> (field of the lens, factor to pm or rad)
LENS_VALUES = {
    "c3_um": ("c3_pm", 1e6),
    "c5_mm": ("c5_pm", 1e9),
    "focal_spread_nm": ("focal_spread_pm", 1e3),
    "convergence_mrad": ("convergence_rad", 1e-3),
    "vibration_pm": ("vibration_pm", 1.0),
}
NM = 1000.0


def draw_lens_values(imaging: Imaging, defocus_nm: Sequence[float], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of the imaging block's units for each defocus: ``{"defocus_nm": …, "c3_um": …}``.

    A fixed value is repeated, a range is drawn from uniformly, one draw for each defocus.
    """
    values = {"defocus_nm": np.asarray(defocus_nm, float)}
    for field in LENS_VALUES:
        given = getattr(imaging, field)
        size = len(values["defocus_nm"])
        values[field] = rng.uniform(*given, size) if isinstance(given, tuple) else np.full(size, float(given))
    return values


def lens_columns(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same values in the lens's own units (pm, rad), by the lens's field names."""
    columns = {"c1_pm": np.asarray(values["defocus_nm"]) * NM}
    for field, (target, factor) in LENS_VALUES.items():
        columns[target] = np.asarray(values[field]) * factor
    return columns


def image_former(
    imaging: Imaging, wave_attrs: dict, orders: int, device: torch.device | str, pixel_pm: float | None = None
) -> ImageFormer:
    """The image former for waves with these attributes (``cell_pm``, ``margin_pm``, ``wavelength_pm``).

    Raises
    ------
    ConfigError
        The aperture is larger than what was stored, or field and margin are no whole numbers of pixels.
    """
    stored = wave_attrs["stored_angle_mrad"]
    if imaging.aperture_mrad > stored:
        raise ConfigError(f"aperture_mrad: got {imaging.aperture_mrad:g}; the waves hold {stored:g} mrad at most")
    margin = wave_attrs["margin_pm"]
    check_whole_pixels("pixel_pm", pixel_pm or imaging.pixel_pm, wave_attrs["cell_pm"] - 2 * margin, margin)
    return ImageFormer(
        cell_pm=wave_attrs["cell_pm"],
        margin_pm=wave_attrs["margin_pm"],
        wavelength_pm=wave_attrs["wavelength_pm"],
        pixel_pm=pixel_pm or imaging.pixel_pm,
        orders=orders,
        aperture_rad=imaging.aperture_mrad / 1000,
        focal_samples=imaging.focal_samples,
        device=device,
    )
