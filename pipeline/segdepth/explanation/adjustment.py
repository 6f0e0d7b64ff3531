"""What a frame itself says of defocus, tilt and places, within the errors of the lens fit.

One step of Gauss and Newton on the frame's χ²: the columns' places by a smooth distortion (a polynomial of second
degree), since places that are off by 5 pm spoil counts, the vacuum level, and defocus and tilt, held to the fit's
values by its errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from segdepth.crystals import Crystal
from segdepth.explanation.columns import ColumnStacks, stacked
from segdepth.explanation.model import FrameModel
from segdepth.fitting.result import MRAD_PER_DEGREE
from segdepth.simulation.aberrations import Lens

EXIT_SHARES = (0.0, 0.5, 1.0)
"""Shapes of the faces that are tried: of what the crystal lacks towards its thickest part, the exit face's share."""

FARTHEST_PM = 20.0
"""Columns are moved by so much in one step at most."""

DISTORTION_PM = 10.0
"""What a coefficient of the distortion is thought to be in one step, rms: few columns do not tell it."""

TILT_STEP_MRAD = 2.0
DEFOCUS_STEP_PM = 200.0
LEVEL_ERROR = 0.01
"""Relative error of the vacuum level."""


@dataclass(frozen=True)
class Adjusted:
    """Columns, lens and beam after a step, their exit wave before it, and expected electrons (row, column) to first
    order. misfit : χ² and what holds lens and beam to the fit."""

    stacks: ColumnStacks
    lens: Lens
    model: FrameModel
    wave: torch.Tensor
    expected: np.ndarray
    misfit: float


class Adjustment:
    """Of one frame; arguments as for ``Refinement``."""

    def __init__(
        self, model: FrameModel, counts: np.ndarray, valid: np.ndarray, errors: Mapping[str, float | None]
    ) -> None:
        self.model, self.counts, self.valid = model, counts, valid
        self.defocus_error_pm = 1000 * float(errors.get("defocus_nm") or 0.0)
        self.tilt_errors_mrad = [MRAD_PER_DEGREE * float(errors.get(f"tilt_{a}_deg") or 0.0) for a in "xy"]
        self._by_tilt: dict[int, np.ndarray] = {}
        self._centre: Lens | None = None

    @property
    def parameters(self) -> int:
        """How many are adjusted: distortion, vacuum level, defocus, tilt."""
        return 13 + (self.defocus_error_pm > 0) + sum(error > 0 for error in self.tilt_errors_mrad)

    def start(
        self, crystal: Crystal, x_pm: np.ndarray, y_pm: np.ndarray, kind: np.ndarray, count: np.ndarray, lens: Lens
    ) -> tuple[float, Adjusted]:
        """The shape of the faces that fits best, and the first step with it; columns where their images are."""
        tried = []
        for share in EXIT_SHARES:
            stacks = stacked(crystal, x_pm, y_pm, kind, count, share, self.model.beam.tilt_mrad)
            tried.append((share, self.of(stacks, lens, self.model)))
        return min(tried, key=lambda one: one[1].misfit)

    def of(self, stacks: ColumnStacks, lens: Lens, model: FrameModel) -> Adjusted:
        """One step from these columns, lens and beam."""
        self._centre = self._centre or lens
        wave, electrons = model.wave(stacks), model.grid.electrons
        expected = model.image(wave, lens)[0] * electrons
        terms = self._distortions(expected)
        scale, pulls = [DISTORTION_PM] * len(terms), [0.0] * len(terms)
        terms.append(expected), scale.append(LEVEL_ERROR), pulls.append(0.0)
        if self.defocus_error_pm > 0:
            off = replace(lens, c1_pm=lens.c1_pm + DEFOCUS_STEP_PM)
            terms.append((model.image(wave, off)[0] * electrons - expected) / DEFOCUS_STEP_PM)
            scale.append(self.defocus_error_pm), pulls.append(float(lens.c1_pm - self._centre.c1_pm))
        tilted = [axis for axis in (0, 1) if self.tilt_errors_mrad[axis] > 0]
        for axis in tilted:
            if axis not in self._by_tilt:
                other = self._leaning(model, axis, TILT_STEP_MRAD)
                self._by_tilt[axis] = (other.expected(stacks, lens) - expected) / TILT_STEP_MRAD
            terms.append(self._by_tilt[axis]), scale.append(self.tilt_errors_mrad[axis])
            pulls.append(model.beam.tilt_mrad[axis] - self.model.beam.tilt_mrad[axis])
        step, misfit, after = self._solved(expected, terms, np.array(scale), np.array(pulls))
        places = self._moved(stacks, step)
        if self.defocus_error_pm > 0:
            lens = replace(lens, c1_pm=lens.c1_pm + float(step[13]))
        for place, axis in enumerate(tilted, start=len(terms) - len(tilted)):
            model = self._leaning(model, axis, float(step[place]))
        return Adjusted(places, lens, model, wave, after, misfit)

    def _leaning(self, model: FrameModel, axis: int, more_mrad: float) -> FrameModel:
        tilt = list(model.beam.tilt_mrad)
        tilt[axis] += more_mrad
        return model.with_beam(model.beam.model_copy(update={"tilt_mrad": tuple(tilt)}))

    def _powers(self, x_pm: np.ndarray, y_pm: np.ndarray) -> list[np.ndarray]:
        """1, x, y, x², xy, y² from the frame's middle, in units of half its sides."""
        rows, columns = self.model.grid.shape
        u, v = (2 * at / (n * self.model.grid.pixel_pm) - 1 for at, n in ((x_pm, columns), (y_pm, rows)))
        return [np.ones_like(u * v), u + 0 * v, v + 0 * u, u * u + 0 * v, u * v, v * v + 0 * u]

    def _distortions(self, expected: np.ndarray) -> list[np.ndarray]:
        """Change of the image with each coefficient of the distortion, along x and along y, a pm."""
        pixel, (rows, columns) = self.model.grid.pixel_pm, self.model.grid.shape
        y, x = (np.arange(rows)[:, None] + 0.5) * pixel, (np.arange(columns) + 0.5) * pixel
        down, across = np.gradient(expected, pixel)
        return [-slope * power for slope in (across, down) for power in self._powers(x, y)]

    def _moved(self, stacks: ColumnStacks, step: np.ndarray) -> ColumnStacks:
        powers = np.stack(self._powers(stacks.x_pm, stacks.y_pm))
        off = [np.clip(step[first : first + 6] @ powers, -FARTHEST_PM, FARTHEST_PM) for first in (0, 6)]
        return replace(stacks, x_pm=stacks.x_pm + off[0], y_pm=stacks.y_pm + off[1])

    def _solved(
        self, expected: np.ndarray, terms: list[np.ndarray], scale: np.ndarray, pulls: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """The step, the misfit after it, and the expected electrons."""
        mu = np.maximum(expected, 1e-3)
        weight = np.where(self.valid, 1 / np.sqrt(mu), 0.0).ravel()
        design = np.stack([term.ravel() * weight for term in terms], axis=1)
        residual = (self.counts - expected).ravel() * weight
        units = np.maximum(np.linalg.norm(design, axis=0), 1e-12)
        held = 1 / scale  # 0 where nothing holds it
        matrix = np.vstack([design / units, np.diag(held / units)])
        target = np.concatenate([residual, -pulls * held])
        # the normal equations: few unknowns, many pixels
        step = np.linalg.solve(matrix.T @ matrix + 1e-9 * np.eye(len(units)), matrix.T @ target) / units
        left = target - matrix @ (step * units)
        after = expected + np.tensordot(step, np.stack(terms), axes=1)
        return step, float(left @ left), np.maximum(after, 1e-3)
