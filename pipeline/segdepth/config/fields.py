"""Types of single values: names, numbers without booleans or NaN, ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from segdepth.errors import ConfigError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
BUNDLED, BUNDLED_PARTICLES = "bundled", "bundled_particles"
RESERVED = (BUNDLED, BUNDLED_PARTICLES)
"""The names of the networks that come with the package: for thin crystals, and for real particles."""

PAPER_PIXEL_PM = 5.2841796875
"""The paper's pixel: 1/1024 of its field of view (SegDepth III-B2). λ counts electrons per pixel of this side in
vacuum, and default fields and pixels are whole multiples of it."""

NETWORK_STRIDE = 64
"""Six 2 x 2 poolings: sides of a network's input must be divisible by this (SegDepth, appendix)."""


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [low, high] with low not above high, got [{pair[0]:g}, {pair[1]:g}]")
    return pair


def no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, got a boolean")
    return value


Number = Annotated[float, BeforeValidator(no_bool), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(no_bool)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Element = Annotated[str, Field(pattern=r"^[A-Z][a-z]?$", description="chemical symbol")]


def range_of(**limits: float) -> Any:
    """A closed range ``[low, high]`` with both ends within the limits."""
    end = Annotated[Number, Field(**limits)]
    return Annotated[tuple[end, end], AfterValidator(_ordered)]


def whole_range_of(**limits: int) -> Any:
    """A closed range of whole numbers ``[low, high]``."""
    end = Annotated[Count, Field(**limits)]
    return Annotated[tuple[end, end], AfterValidator(_ordered)]


def value_or_range(*, smallest: float, **limits: float) -> Any:
    """A fixed value, or a range ``[low, high]`` from which each sample draws uniformly.

    A value, and each end of a range, is 0 or at least ``smallest`` in magnitude: a smaller one was meant in another
    unit.
    """

    def not_tiny(value: float) -> float:
        if 0 < abs(value) < smallest:
            raise ValueError(f"got {value:g}; allowed: 0, or at least {smallest:g} in magnitude (is the unit right?)")
        return value

    value = Annotated[Number, Field(**limits), AfterValidator(not_tiny)]
    return value | Annotated[tuple[value, value], AfterValidator(_ordered)]


def check_whole_pixels(key: str, pixel_pm: float, field_pm: float, margin_pm: float) -> None:
    """Field and margin must be whole numbers of pixels.

    Raises
    ------
    ConfigError
        One of them is not.
    """
    for what, length in (("field_pm", field_pm), ("margin_pm", margin_pm)):
        count = length / pixel_pm
        if abs(count - round(count)) > 1e-6 * max(1.0, count):
            raise ConfigError(
                f"{key}: got {pixel_pm:g}; the specimen's {what} ({length:g}) must be a whole number of pixels, "
                f"this makes {count:.4f}"
            )
