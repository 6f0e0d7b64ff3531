"""Units and numbers of files' metadata: pixels in pm, energies in keV, times in s."""

from __future__ import annotations

import math
from typing import Any

PM = {"pm": 1.0, "a": 100.0, "å": 100.0, "ang": 100.0, "angstrom": 100.0, "ångström": 100.0, "nm": 1e3, "um": 1e6}
PM |= {"micron": 1e6, "µm": 1e6, "mm": 1e9, "cm": 1e10, "m": 1e12}
PM |= {"picometer": 1.0, "nanometer": 1e3, "micrometer": 1e6, "millimeter": 1e9, "meter": 1e12}
"""Lengths in pm, by the unit's name in lower case without a plural s."""

SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}

UNEQUAL = 0.01
"""Relative difference of a pixel's sides beyond which it is refused."""


def plain_unit(unit: Any) -> str:
    """A unit as the tables of this module have it: lower case, one kind of µ and Å, no brackets."""
    text = unit.decode("latin-1") if isinstance(unit, bytes) else str(unit or "")
    text = (
        text.replace("\\u00B5", "µ").replace("\\u00C5", "Å").replace("μ", "µ").replace("\u212b", "Å").replace("Â", "")
    )
    text = text.strip().strip("[]\x00").replace(" ", "").replace("_", "").lower().replace("metre", "meter")
    return text[:-1] if len(text) > 3 and text.endswith("s") else text


def is_reciprocal(unit: str) -> bool:
    """Whether a plain unit is one over a length, or an angle of scattering."""
    return unit.startswith("1/") or unit.endswith(("^-1", "**-1", "⁻¹", "-1")) or unit in ("mrad", "rad")


def seconds(value: Any, unit: Any = "s") -> float | None:
    """A time in s; None where the unit is not one of time or the value is not a positive number."""
    factor = SECONDS.get(plain_unit(unit))
    found = None if factor is None else positive(value)
    return None if found is None else found * factor


def positive(value: Any) -> float | None:
    """A finite number above zero, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def energy_kev(value: Any) -> float | None:
    """An energy that may be given in eV (or V) or in keV: electrons of microscopes have 1 to 3000 keV."""
    found = positive(value)
    if found is None:
        return None
    found = found / 1e3 if found > 3000 else found
    return found if found >= 1 else None


def pixel(y: Any, x: Any, y_unit: Any, x_unit: Any) -> tuple[float | None, str, str]:
    """A pixel in pm from the file's two sides and their units.

    Returns
    -------
    pixel_pm : the mean side; None where the file says nothing that can be.
    refusal : what the image is, where it cannot be a micrograph with square pixels.
    warning : a line where the header's pixel cannot be and is not used.
    """
    units = [plain_unit(u) for u in (y_unit, x_unit)]
    if any(is_reciprocal(u) for u in units):
        said = next(str(u) for u, p in zip((y_unit, x_unit), units) if is_reciprocal(p))
        return None, f"a diffraction pattern or a Fourier transform ({said} a pixel), not an image", ""
    if any(u in ("ev", "kev") for u in units):
        return None, "spectra (eV a channel), not images", ""
    if any(u not in PM for u in units):
        return None, "", ""
    y, x = float(y), float(x)
    sides = [y * PM[units[0]], x * PM[units[1]]]
    if not all(math.isfinite(side) and side > 0 for side in sides):
        return None, "", f"the file's pixel is {y:g} {y_unit} by {x:g} {x_unit}, which cannot be; it is not used"
    if abs(sides[0] - sides[1]) > UNEQUAL * min(sides):
        return None, f"unequal pixels, {sides[0]:.5g} pm along y and {sides[1]:.5g} pm along x; they must be square", ""
    return math.sqrt(sides[0] * sides[1]), "", ""


def times(count: int, step_s: float | None) -> tuple[float, ...] | None:
    """Starts of frames that follow each other regularly, in s; None for one frame or an unknown step."""
    return tuple(i * step_s for i in range(count)) if step_s is not None and count > 1 else None
