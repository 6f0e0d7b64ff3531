"""From values and errors to ranges of the configuration: value ± two errors, never narrower than a floor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from segdepth.fitting.result import LensFit

ERRORS = 2.0
"""Half-width of a range in standard errors."""

HELD_SHARE = 0.1
"""Half-width of the range of a value that the fit held, as a share of it."""

FLOORS = {
    "defocus_nm": 0.75,
    "c3_um": 0.5,
    "c5_mm": 0.2,
    "focal_spread_nm": 0.4,
    "convergence_mrad": 0.02,
    "image_spread_pm": 2.0,
    "contrast_factor": 0.03,
    "background": 0.02,
    "exit_share": 0.2,
    "a1_nm": 0.3,
    "b2_nm": 8.0,
    "a2_nm": 12.0,
}
"""Least half-widths. An error of a fit is that of the noise; what its model leaves out (rough faces, strain, a lens
that drifts over a film) moves values by about as much as these."""

AZIMUTH_FLOOR_DEG = 5.0
WIDEST_AZIMUTH_DEG = 90.0
"""An azimuth that is known no better is not known."""

TILT_FLOOR_DEG = 0.15
LIMITS = {
    "focal_spread_nm": (0.0, 20.0),
    "convergence_mrad": (0.0, 0.5),
    "image_spread_pm": (0.0, 100.0),
    "contrast_factor": (0.5, 1.0),
    "background": (0.0, 1.0),
    "exit_share": (0.0, 1.0),
    "a1_nm": (0.0, 100.0),
    "b2_nm": (0.0, 2000.0),
    "a2_nm": (0.0, 2000.0),
}
"""What the imaging block allows, where values of a fit may come near it."""

SMALLEST = {
    "c3_um": 0.1,
    "c5_mm": 0.01,
    "focal_spread_nm": 0.1,
    "convergence_mrad": 0.001,
    "image_spread_pm": 1.0,
    "background": 0.001,
    "a1_nm": 0.01,
    "b2_nm": 0.1,
    "a2_nm": 0.1,
}
"""Ends nearer to 0 are written as 0: the imaging block takes them for another unit (``config.fields``)."""


@dataclass(frozen=True)
class Line:
    """A key of a block, its value (plain data) and where it comes from."""

    key: str
    value: Any
    source: str = ""


def half_width(fit: LensFit, name: str) -> tuple[float, str]:
    """Half the width of the range of a fitted or held value, and in words what it is."""
    value, error = float(fit.values[name]), fit.errors.get(name)
    floor = FLOORS[name]
    if name in fit.held or error is None or not math.isfinite(error):
        wide, said = HELD_SHARE * abs(value), "not fitted, 10 % to either side"
    else:
        wide, said = ERRORS * float(error), f"fit {value:.4g} ± {error:.2g}"
    return (wide, said) if wide >= floor else (floor, f"{said}; {floor:g} to either side at least")


def value_range(fit: LensFit, name: str) -> Line:
    """The range of one value that has no direction."""
    wide, said = half_width(fit, name)
    return Line(name, _limited(name, fit.values[name] - wide, fit.values[name] + wide), said)


def moved_values(fit: LensFit) -> list[str]:
    """A line for each value of a fit outside of ``LIMITS``, whose range holds the nearest allowed one instead."""
    lines = []
    for name, (low, high) in LIMITS.items():
        value = fit.values.get(name, low)
        if not low <= value <= high:
            lines.append(
                f"{name}: the fit's {value:.3g} is outside of {low:g} to {high:g}, with which images are made; "
                f"{min(max(value, low), high):g} is taken"
            )
    return lines


def vector_range(fit: LensFit, name: str) -> list[Line]:
    """The ranges of a magnitude ``name`` and its azimuth: every azimuth where the magnitude may be 0."""
    wide, said = half_width(fit, name)
    size, azimuth_key = float(fit.values[name]), name.rpartition("_")[0] + "_azimuth_deg"
    azimuth, error = float(fit.values.get(azimuth_key, 0.0)), fit.errors.get(azimuth_key)
    known = error is not None and math.isfinite(error) and azimuth_key not in fit.held
    turn = max(ERRORS * float(error), AZIMUTH_FLOOR_DEG) if known else 180.0
    magnitude = Line(name, _limited(name, size - wide, size + wide), said)
    return [magnitude, azimuth_range(azimuth_key, azimuth, turn if size > wide else 180.0)]


def azimuth_range(key: str, azimuth_deg: float, turn_deg: float) -> Line:
    """Azimuths up to ``turn_deg`` to either side; all of them where that is more than ``WIDEST_AZIMUTH_DEG``."""
    if turn_deg > WIDEST_AZIMUTH_DEG:
        return Line(key, [0.0, 360.0], "not known")
    middle = (azimuth_deg + 180) % 360 - 180
    ends = [round(middle - turn_deg, 2), round(middle + turn_deg, 2)]
    return Line(key, ends, f"fit {middle:.4g}; {turn_deg:.2g} to either side")


def tilt_ranges(fit: LensFit, most_deg: float) -> list[Line]:
    """Magnitude and direction of the crystal's tilt: the part of a ring around the circle of the fit's errors."""
    x, y = (float(fit.values.get(f"tilt_{axis}_deg", 0.0)) for axis in "xy")
    known = [fit.errors.get(f"tilt_{axis}_deg") for axis in "xy"]
    errors = [float(e) for e in known if e is not None and math.isfinite(e)]
    wide = max([TILT_FLOOR_DEG, *(ERRORS * error for error in errors)])
    size = math.hypot(x, y)
    said = f"fit {x:.3g}, {y:.3g} along x, y; {wide:.2g} to either side"
    low, high = (min(max(end, 0.0), most_deg) for end in (size - wide, size + wide))
    turn = math.degrees(math.asin(min(1.0, wide / size))) if size > wide else 180.0
    azimuth = azimuth_range("tilt_azimuth_deg", math.degrees(math.atan2(y, x)), turn)
    return [Line("tilt_deg", [round(low, 4), round(high, 4)], said), Line(azimuth.key, azimuth.value, "its direction")]


def _limited(name: str, low: float, high: float) -> list[float]:
    """A range inside of what is allowed; ends of four significant digits beyond the given ones, so that nothing is cut
    off by rounding."""
    least, most = LIMITS.get(name, (-math.inf, math.inf))
    low, high = (min(max(end, least), most) for end in (low, high))
    low, high = _rounded(low, math.floor), _rounded(high, math.ceil)
    return [0.0 if abs(end) < SMALLEST.get(name, 0.0) else end for end in (max(low, least), min(high, most))]


def _rounded(value: float, towards: Any) -> float:
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3) if value else 1.0
    return round(towards(round(value / step, 6)) * step, 9)
