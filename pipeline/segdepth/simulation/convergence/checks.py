"""Checks of the blocks of a convergence study."""

from __future__ import annotations

from segdepth.config import Beam, Imaging
from segdepth.errors import ConfigError
from segdepth.simulation.lens_values import LENS_VALUES, has_azimuth


def check_study(beam: Beam, imaging: Imaging, beam_key: str = "beam", imaging_key: str = "imaging") -> None:
    """The convergence study needs fixed lens and beam values, no tilt, and an aperture within the stored angle.

    Raises
    ------
    ConfigError
        A block has something else.
    """
    if any(beam.tilt_mrad):
        raise ConfigError(
            f"{beam_key}.tilt_mrad: got [{beam.tilt_mrad[0]:g}, {beam.tilt_mrad[1]:g}]; the convergence study needs a "
            "beam without tilt"
        )
    if any(beam.random_tilt_mrad):
        raise ConfigError(
            f"{beam_key}.random_tilt_mrad: got the range [{beam.random_tilt_mrad[0]:g}, {beam.random_tilt_mrad[1]:g}]; "
            "the convergence study needs a beam without tilt"
        )
    for field in ("debye_waller_scale", "parametrization"):
        if isinstance(getattr(beam, field), tuple):
            several = ", ".join(map(str, getattr(beam, field)))
            raise ConfigError(f"{beam_key}.{field}: got [{several}]; the convergence study needs one value")
    for field in [name for name in LENS_VALUES if name != "defocus_nm"]:
        value = getattr(imaging, field)
        if not isinstance(value, tuple) or value[0] == value[1]:
            continue
        if LENS_VALUES[field].azimuth_of is None or has_azimuth(imaging, field):  # else it does not matter
            raise ConfigError(
                f"{imaging_key}.{field}: got the range [{value[0]:g}, {value[1]:g}]; the convergence study needs fixed "
                "values"
            )
    for field, most in (("aperture_mrad", 80.0), ("convergence_mrad", 0.5), ("focal_spread_nm", 7.0)):
        value = getattr(imaging, field)
        value = value[0] if isinstance(value, tuple) else value
        if value > most:
            raise ConfigError(
                f"{imaging_key}.{field}: got {value:g}; at most {most:g} is allowed in the convergence study, whose "
                "reference has an aperture of 80 mrad and focal modes"
            )
    if imaging.aperture_mrad > beam.stored_angle_mrad:
        raise ConfigError(
            f"{imaging_key}.aperture_mrad: got {imaging.aperture_mrad:g}; at most {beam_key}.stored_angle_mrad "
            f"({beam.stored_angle_mrad:g}) is stored"
        )
