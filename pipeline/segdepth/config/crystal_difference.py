"""Whether two crystals are the same, seen along the same axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERIOD_TOLERANCE = 0.03
"""Relative: lattice constants of one substance, its strains included, differ by less."""


def crystals_differ(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Why these are not the same, in words; None where they are, or one of them is not known.

    Parameters
    ----------
    mine, other : ``Crystal.to_dict()``, or empty.
    """
    if not mine or not other:
        return None
    for key in ("formula", "zone_axis", "x_axis"):
        first, second = _plain(mine.get(key)), _plain(other.get(key))
        if first != second:
            return f"the crystal's {key} is {first}, not {second}"
    for first, second in zip(mine.get("periods_pm", ()), other.get("periods_pm", ())):
        if abs(first - second) > PERIOD_TOLERANCE * second:
            return f"a period of the crystal is {first:.5g} pm, not {second:.5g} pm"
    return None


def _plain(value: Any) -> Any:
    """Tuples become lists, as in JSON."""
    return list(value) if isinstance(value, tuple) else value
