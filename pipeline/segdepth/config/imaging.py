"""The section ``imaging``: the lens, the camera and the pixel."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import PAPER_PIXEL_PM, Count, Number, range_of, value_or_range

MOST_DEFOCUS_VALUES = 1000


class DefocusSteps(Block):
    """``start, start + step, … stop`` in nm; positive is overfocus."""

    start: Annotated[Number, Field(ge=-100, le=100)] = Field(description="first C1, nm")
    stop: Annotated[Number, Field(ge=-100, le=100)] = Field(description="last C1, nm")
    step: Annotated[Number, Field(gt=0, le=100)] = Field(description="step of C1, nm")

    @model_validator(mode="after")
    def _order(self) -> DefocusSteps:
        if self.stop < self.start:
            raise ValueError(f"stop ({self.stop:g} nm) lies below start ({self.start:g} nm)")
        if (self.stop - self.start) / self.step >= MOST_DEFOCUS_VALUES:
            raise ValueError(f"step {self.step:g} makes too many values; at most {MOST_DEFOCUS_VALUES} are allowed")
        return self

    @property
    def count(self) -> int:
        return int(math.floor((self.stop - self.start) / self.step + 1e-9)) + 1

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(round(self.start + i * self.step, 9) for i in range(self.count))


AZIMUTH = range_of(ge=-360, le=360)

WIDEST_CONVERGENCE_MRAD = 0.5
"""Largest convergence for focal modes, which neglect its coupling to the focal step."""

LARGEST_SPREAD_ANGLE = 45_000.0
"""Focal spread times aperture squared, nm mrad²: beyond it hundreds of focal modes would be needed."""


DEFOCUS_MARGIN_NM = 0.5
"""Training draws the defocus this far beyond the stored values, so that these are not at the edge of its range."""


class Imaging(Block):
    """The lens, the camera and the pixel. From a range in brackets, each image draws a value."""

    defocus_nm: (
        DefocusSteps
        | Annotated[
            tuple[Annotated[Number, Field(ge=-100, le=100)], ...], Field(min_length=1, max_length=MOST_DEFOCUS_VALUES)
        ]
    ) = Field(
        DefocusSteps(start=1, stop=9, step=1),
        description="C1 of the stored images, measured from the crystal's exit face; training draws from the lowest to "
        f"the highest value and {DEFOCUS_MARGIN_NM:g} nm beyond",
    )
    c3_um: value_or_range(smallest=0.1, ge=-5000, le=5000) = Field(-9.0, description="spherical aberration C3")
    c5_mm: value_or_range(smallest=0.01, ge=-100, le=100) = Field(
        5.0, description="fifth-order spherical aberration C5"
    )
    a1_nm: value_or_range(smallest=0.01, ge=0, le=100) = Field(0.0, description="twofold astigmatism A1")
    a1_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="azimuth of A1, from x towards y; [30, 30] is fixed")
    b2_nm: value_or_range(smallest=0.1, ge=0, le=2000) = Field(0.0, description="axial coma B2 (C21 = 3 B2)")
    b2_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="azimuth of B2, from x towards y")
    a2_nm: value_or_range(smallest=0.1, ge=0, le=2000) = Field(0.0, description="threefold astigmatism A2")
    a2_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="azimuth of A2, from x towards y")
    focal_spread_nm: value_or_range(smallest=0.1, ge=0, le=20) = Field(
        4.0, description="focal spread: 1/e half-width of the Gaussian over which intensities are averaged"
    )
    focal_steps: Annotated[Count, Field(ge=1, le=201)] | None = Field(
        None,
        description="number of equal focal steps over ±2 half-widths to average over (odd, as in Dr. Probe); default: "
        "as many eigenmodes of the focal kernel as are needed",
    )
    convergence_mrad: value_or_range(smallest=0.001, ge=0, le=5) = Field(
        0.2, description="semi-convergence angle, 1/e half-width; an envelope on the wave"
    )
    aperture_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(
        45.0, description="semi-angle of the hard objective aperture"
    )
    image_spread_pm: value_or_range(smallest=1, ge=0, le=100) = Field(20.0, description="rms image spread")
    pixel_pm: Annotated[Number, Field(ge=2, le=60)] = Field(4 * PAPER_PIXEL_PM, description="side of an image pixel")
    camera_pixel_pm: Annotated[Number, Field(ge=1, le=60)] = Field(
        PAPER_PIXEL_PM, description="the camera's own pixel, whose Nyquist frequency the MTF refers to"
    )
    mtf_nyquist: value_or_range(smallest=0.01, gt=0, le=1) = Field(
        1.0, description="the camera's MTF at its Nyquist frequency, in addition to the pixel's box; 1: none"
    )
    mtf_exponent: Annotated[Number, Field(ge=0.3, le=4)] = Field(
        1.0, description="MTF(q) = mtf_nyquist ^ ((q / Nyquist) ^ mtf_exponent)"
    )
    detection_efficiency: Annotated[Number, Field(gt=0, le=1)] = Field(
        1.0, description="share of the electrons that are counted: the DQE at zero frequency"
    )

    contrast_factor: value_or_range(smallest=0.01, ge=0.5, le=1) = Field(
        1.0,
        description="share of the electrons whose image keeps its detail; that of the rest, scattered inelastically, "
        "is blurred by 0.4 nm rms",
    )
    background: value_or_range(smallest=0.001, ge=0, le=1) = Field(
        0.0, description="electrons that carry no image, uniform, as a share b of vacuum: (I + b) / (1 + b)"
    )
    image_spread_ratio: value_or_range(smallest=0.01, ge=0.1, le=1) = Field(
        1.0,
        description="image spread along its short axis over that along its long one, image_spread_pm being their "
        "quadratic mean; 1: isotropic",
    )
    image_spread_azimuth_deg: AZIMUTH = Field(
        (0.0, 360.0), description="azimuth of the image spread's long axis, from x towards y; drawn where it has one"
    )
    drift_pm: value_or_range(smallest=1, ge=0, le=500) = Field(
        0.0, description="length of a straight, even drift during the exposure"
    )
    drift_azimuth_deg: AZIMUTH = Field(
        (0.0, 360.0), description="azimuth of the drift, from x towards y; drawn where there is one"
    )

    @property
    def trained_defocus_nm(self) -> tuple[float, float]:
        """Lowest and highest C1 that training draws."""
        low, high = min(self.defocus_values_nm), max(self.defocus_values_nm)
        margin = DEFOCUS_MARGIN_NM if high > low else 0.0
        return low - margin, high + margin

    @property
    def defocus_values_nm(self) -> tuple[float, ...]:
        return self.defocus_nm.values if isinstance(self.defocus_nm, DefocusSteps) else tuple(self.defocus_nm)

    @model_validator(mode="after")
    def _distinct(self) -> Imaging:
        values = self.defocus_values_nm
        if len(set(values)) != len(values):
            raise ValueError("defocus_nm names a value twice")
        return self

    @model_validator(mode="after")
    def _focal_average(self) -> Imaging:
        if self.focal_steps is not None and self.focal_steps % 2 == 0:
            raise ValueError(f"focal_steps: got {self.focal_steps}; an odd number is needed, so that one is in focus")
        widest = self.convergence_mrad[1] if isinstance(self.convergence_mrad, tuple) else self.convergence_mrad
        if self.focal_steps is None and widest > WIDEST_CONVERGENCE_MRAD:
            raise ValueError(
                f"convergence_mrad: got {widest:g}; above {WIDEST_CONVERGENCE_MRAD:g} focal modes are too inaccurate: "
                "give focal_steps"
            )
        spread = self.focal_spread_nm[1] if isinstance(self.focal_spread_nm, tuple) else self.focal_spread_nm
        if self.focal_steps is None and spread * self.aperture_mrad**2 > LARGEST_SPREAD_ANGLE:
            raise ValueError(
                f"focal_spread_nm: got {spread:g}; with an aperture of {self.aperture_mrad:g} mrad at most "
                f"{LARGEST_SPREAD_ANGLE / self.aperture_mrad**2:.3g} is allowed, or give focal_steps"
            )
        return self

    @property
    def least_image_spread_pm(self) -> float:
        """The smallest image spread, along any direction, that a lens of this block can have."""
        spread, ratio = (
            value[0] if isinstance(value, tuple) else value for value in (self.image_spread_pm, self.image_spread_ratio)
        )
        return spread if ratio == 1 else spread * ratio * math.sqrt(2 / (1 + ratio**2))


class SimulationOptions(Block):
    """What ``segdepth.simulate`` takes besides blocks; None: the imaging block's, and no noise."""

    defocus_nm: Annotated[tuple[Annotated[Number, Field(ge=-1e4, le=1e4)], ...], Field(min_length=1)] | None = None
    pixel_pm: Annotated[Number, Field(ge=1, le=1000)] | None = None
    electrons_per_pixel: Annotated[Number, Field(gt=0, le=1e9)] | None = None
    seed: Annotated[Count, Field(ge=0)] = 0
