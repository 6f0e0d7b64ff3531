"""From the imaging block to lens values, fixed or drawn from ranges, and to the image former."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from segdepth.config import Imaging, check_whole_pixels
from segdepth.errors import ConfigError
from segdepth.simulation.cell import as_xy
from segdepth.simulation.optics import ImageFormer


class LensValue(NamedTuple):
    """How a field of the imaging block becomes one of the lens, and how it is labelled in a store.

    ``azimuth_of`` names the field whose azimuth it is. It is drawn only where that one is not at its default,
    unless ``always_drawn``.
    """

    field: str
    to_lens: Callable[[np.ndarray], np.ndarray]
    units: str
    long_name: str
    azimuth_of: str | None = None
    always_drawn: bool = True


def _times(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values * factor


def _oval(ratio: np.ndarray) -> np.ndarray:
    return (1 - ratio**2) / (1 + ratio**2)


LENS_VALUES = {
    "defocus_nm": LensValue("c1_pm", _times(1e3), "nm", "defocus C1, positive is overfocus"),
    "c3_um": LensValue("c3_pm", _times(1e6), "um", "spherical aberration C3"),
    "c5_mm": LensValue("c5_pm", _times(1e9), "mm", "fifth-order spherical aberration C5"),
    "focal_spread_nm": LensValue("focal_spread_pm", _times(1e3), "nm", "focal spread, 1/e half-width"),
    "convergence_mrad": LensValue("convergence_rad", _times(1e-3), "mrad", "beam convergence, 1/e half-width"),
    "image_spread_pm": LensValue("image_spread_pm", _times(1.0), "pm", "image spread, rms"),
    "a1_nm": LensValue("a1_pm", _times(1e3), "nm", "twofold astigmatism A1"),
    "a1_azimuth_deg": LensValue("a1_azimuth_rad", np.radians, "degree", "azimuth of A1, from x towards y", "a1_nm"),
    "b2_nm": LensValue("b2_pm", _times(1e3), "nm", "axial coma B2"),
    "b2_azimuth_deg": LensValue("b2_azimuth_rad", np.radians, "degree", "azimuth of B2", "b2_nm"),
    "a2_nm": LensValue("a2_pm", _times(1e3), "nm", "threefold astigmatism A2"),
    "a2_azimuth_deg": LensValue("a2_azimuth_rad", np.radians, "degree", "azimuth of A2", "a2_nm"),
    "mtf_nyquist": LensValue("mtf_decay", lambda values: -np.log(values), "1", "camera's MTF at its Nyquist frequency"),
    "contrast_factor": LensValue("blurred_share", lambda share: 1 - share, "1", "share of electrons that keep detail"),
    "background": LensValue("background", _times(1.0), "1", "uniform background, vacuum = 1"),
    "image_spread_ratio": LensValue("image_spread_oval", _oval, "1", "image spread, short axis over long axis"),
    "image_spread_azimuth_deg": LensValue(
        "image_spread_azimuth_rad",
        np.radians,
        "degree",
        "azimuth of the image spread's long axis",
        "image_spread_ratio",
        False,
    ),
    "drift_pm": LensValue("drift_pm", _times(1.0), "pm", "length of the drift"),
    "drift_azimuth_deg": LensValue(
        "drift_azimuth_rad", np.radians, "degree", "azimuth of the drift", "drift_pm", False
    ),
}
"""By field of the imaging block: field, conversion to pm or rad, units and name."""


def draw_lens_values(imaging: Imaging, defocus_nm: Sequence[float], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Lens values in the imaging block's units for each defocus: ``{"defocus_nm": …, "c3_um": …}``.

    A fixed value is repeated; from a range, a value is drawn uniformly for each defocus. The azimuth of what is not
    there is the lower end of its range, where it need not be drawn.

    Raises
    ------
    ConfigError
        A defocus is NaN or infinite.
    """
    values = {"defocus_nm": np.asarray(defocus_nm, float)}
    for value in values["defocus_nm"][~np.isfinite(values["defocus_nm"])]:
        raise ConfigError(f"defocus_nm: got {value:g}; it must be finite")
    size = len(values["defocus_nm"])
    for field in LENS_VALUES:
        if field != "defocus_nm":
            given = getattr(imaging, field)
            if isinstance(given, tuple) and not _is_drawn(imaging, field):
                given = given[0]
            values[field] = rng.uniform(*given, size) if isinstance(given, tuple) else np.full(size, float(given))
    return values


def _is_drawn(imaging: Imaging, field: str) -> bool:
    return LENS_VALUES[field].always_drawn or has_azimuth(imaging, field)


def has_azimuth(imaging: Imaging, field: str) -> bool:
    """Whether the block has that whose azimuth a field gives."""
    name = LENS_VALUES[field].azimuth_of
    absent = Imaging.model_fields[name].default
    return getattr(imaging, name) not in (absent, (absent, absent))


def lens_fields(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values in the units of ``Lens`` (pm, rad), by its field names."""
    return {LENS_VALUES[name].field: LENS_VALUES[name].to_lens(np.asarray(given)) for name, given in values.items()}


def orders_of(wave: np.ndarray | torch.Tensor) -> tuple[int, int]:
    """K along x and y of waves (…, ky, kx)."""
    return wave.shape[-1] // 2, wave.shape[-2] // 2


def image_former(
    imaging: Imaging,
    wave_attrs: Mapping[str, Any],
    orders: int | Sequence[int],
    device: torch.device | str,
    pixel_pm: float | None = None,
) -> ImageFormer:
    """The image former for waves with these attributes (``cell_pm``, ``margin_pm``, ``wavelength_pm``,
    ``stored_angle_mrad``).

    Parameters
    ----------
    orders : K of the waves' orders -K … K, along x and y or one number for both (``orders_of``).
    pixel_pm : of another camera than the imaging block's: the image's pixel, and the one that the MTF refers to.

    Raises
    ------
    ConfigError
        The aperture is larger than what was stored, or field and margin are no whole numbers of pixels.
    """
    _check_aperture(imaging, wave_attrs)
    margin = wave_attrs["margin_pm"]
    pixel, camera = (imaging.pixel_pm, imaging.camera_pixel_pm) if pixel_pm is None else (pixel_pm, pixel_pm)
    for side in as_xy(wave_attrs["cell_pm"]):
        check_whole_pixels("pixel_pm", pixel, side - 2 * margin, margin)
    return _former(imaging, wave_attrs, orders, device, margin_pm=margin, pixel_pm=pixel, camera_pixel_pm=camera)


def full_cell_image_former(
    imaging: Imaging,
    wave_attrs: Mapping[str, Any],
    orders: Sequence[int],
    points: Sequence[int],
    camera_pixel_pm: float,
) -> ImageFormer:
    """The same for the whole cell, margins included, in ``points`` pixels along x and y; on the CPU.

    Raises
    ------
    ConfigError
        The aperture is larger than what was stored.
    """
    _check_aperture(imaging, wave_attrs)
    pixel = [side / count for side, count in zip(as_xy(wave_attrs["cell_pm"]), points)]
    return _former(imaging, wave_attrs, orders, "cpu", margin_pm=0.0, pixel_pm=pixel, camera_pixel_pm=camera_pixel_pm)


def _former(
    imaging: Imaging, wave_attrs: Mapping[str, Any], orders: int | Sequence[int], device: torch.device | str, **grid
) -> ImageFormer:
    return ImageFormer(
        cell_pm=wave_attrs["cell_pm"],
        wavelength_pm=wave_attrs["wavelength_pm"],
        orders=orders,
        aperture_rad=imaging.aperture_mrad / 1000,
        focal_steps=imaging.focal_steps,
        least_image_spread_pm=imaging.least_image_spread_pm,
        mtf_exponent=imaging.mtf_exponent,
        device=device,
        **grid,
    )


def _check_aperture(imaging: Imaging, wave_attrs: Mapping[str, Any]) -> None:
    stored = wave_attrs["stored_angle_mrad"]
    if imaging.aperture_mrad > stored:
        raise ConfigError(f"aperture_mrad: got {imaging.aperture_mrad:g}; the waves hold {stored:g} mrad at most")
