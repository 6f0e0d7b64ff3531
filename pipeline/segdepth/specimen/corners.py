"""Rounded corners: a surface line that a disc can roll along on both sides.

Grey-scale opening and closing with a ball (J. Serra, Image Analysis and Mathematical Morphology, 1982; a "rolling
ball"): the opening keeps what a disc of that radius reaches from below and so rounds convex corners, the closing does
the same from above to concave ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import grey_closing, grey_opening

SAMPLE_PM = 4.0
"""Step at which a line is sampled to be rounded; a vertical step becomes that wide."""


def rounded(line: Callable[[np.ndarray], np.ndarray], x_pm: np.ndarray, radius_pm: float) -> np.ndarray:
    """Height of a line at each x, its corners rounded by ``radius_pm``; unchanged if it is 0.

    A corner acts on the line up to four radii away (two by the opening, two by the closing), so the line is evaluated
    that far beyond the outermost x, and its ends are not rounded. Samples lie at whole multiples of
    ``SAMPLE_PM``, whatever the x.
    """
    if radius_pm == 0 or x_pm.size == 0:
        return line(x_pm)
    first = np.floor((x_pm.min() - 4 * radius_pm) / SAMPLE_PM) - 1
    last = np.ceil((x_pm.max() + 4 * radius_pm) / SAMPLE_PM) + 1
    sample = SAMPLE_PM * np.arange(first, last + 1)
    reach = int(radius_pm / SAMPLE_PM)
    offset = SAMPLE_PM * np.arange(-reach, reach + 1)
    ball = np.sqrt(radius_pm**2 - offset**2) - radius_pm
    opened = grey_opening(line(sample), structure=ball, mode="nearest")
    return np.interp(x_pm, sample, grey_closing(opened, structure=ball, mode="nearest"))
