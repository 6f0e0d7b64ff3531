"""Measured values as text: no more digits than their error allows."""

from __future__ import annotations

import math


def with_error(value: float, error: float | None) -> str:
    """``value ± error``: the error with two digits, the value to the same decimal; four digits without an error."""
    if error is None:
        return f"{value:.4g}"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g} ± {error:.2g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    rounded = round(value, decimals) + 0.0  # no -0.00
    return f"{rounded:.{decimals}f} ± {error:.{decimals}f}"
