"""What is drawn for each recording of a yardstick: pixel, dose, quarter turn, lens, and the pixel a file states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segdepth.config import Imaging, Yardstick
from segdepth.seeds import structure_rng
from segdepth.simulation.detector import electrons_per_pixel
from segdepth.simulation.lens_values import draw_lens_values

YARDSTICKS = 20_000
"""Separates random draws of yardsticks from those of stored images, recordings and evaluations."""

TAG_ERROR = 0.03
"""Largest share that the pixel a file states is off by."""


@dataclass(frozen=True)
class DrawnRecording:
    """One recording of a structure.

    pixel_pm : side of the camera's pixel. tag_pm : what the file says of it.
    electrons : that a pixel counts in vacuum. quarter_turns : of the picture, as ``np.rot90`` counts them.
    lens : of ``draw_lens_values``, for one image.
    noise : the rest of the recording's stream, for its counts.
    facts : ``structure``, ``recording``, ``pixel_pm``, ``dose_lambda``, ``quarter_turns`` and the lens, a number each.
    """

    pixel_pm: float
    tag_pm: float
    electrons: float
    quarter_turns: int
    lens: dict[str, np.ndarray]
    noise: np.random.Generator
    facts: dict[str, Any]


def draw_recording(yardstick: Yardstick, imaging: Imaging, key: tuple[int, str, int], number: int) -> DrawnRecording:
    """Recording ``number`` (from 0) of a structure.

    Parameters
    ----------
    key : root seed, specimen and index of the structure.
    """
    rng = structure_rng(*key, "lens", YARDSTICKS, number)
    defocus = rng.uniform(*imaging.trained_defocus_nm)
    pixel, dose = (float(np.exp(rng.uniform(*np.log(each)))) for each in (yardstick.pixel_pm, yardstick.dose_lambda))
    tag, turns = pixel * (1 + rng.uniform(-TAG_ERROR, TAG_ERROR)), int(rng.integers(4))
    lens = draw_lens_values(imaging, [defocus], rng)
    facts = {"structure": key[2], "recording": number, "pixel_pm": pixel, "dose_lambda": dose, "quarter_turns": turns}
    facts |= {name: float(value[0]) for name, value in lens.items()}
    electrons = electrons_per_pixel(dose, pixel, imaging.detection_efficiency)
    return DrawnRecording(pixel, tag, electrons, turns, lens, rng, facts)
