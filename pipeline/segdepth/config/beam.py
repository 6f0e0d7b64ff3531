"""The section ``beams``: illumination and multislice; nothing of the lens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Element, Number, range_of, value_or_range

LARGEST_SNAPSHOT_PIXEL_PM = 8.0
"""3 % of the contrast at 7.6 pm, 7 % at 10.5 pm."""


Parametrization = Literal["lobato", "kirkland", "peng"]


class Beam(Block):
    """Illumination and multislice; nothing of the lens."""

    energy_kev: Annotated[Number, Field(ge=20, le=1000)] = Field(300.0, description="energy of the electrons")
    pixel_pm: Annotated[Number, Field(ge=2, le=15)] = Field(10.5, description="largest pixel of the multislice grid")
    band_limit: Annotated[Number, Field(ge=0.3, le=1)] = Field(
        1.0, description="share of the grid's Nyquist frequency that propagates (abTEM's antialias cutoff)"
    )
    precision: Literal["float32", "float64"] = Field("float32", description="of the multislice")
    slice_pm: Annotated[Number, Field(ge=5, le=400)] = Field(96.0, description="atoms nearer in height share a slice")
    parametrization: Parametrization | Annotated[tuple[Parametrization, ...], Field(min_length=1)] = Field(
        "lobato", description="scattering factors; of several, each structure draws one"
    )
    projection: Literal["infinite", "finite"] = Field("infinite", description="how an atom's potential is sliced")
    debye_waller_pm: dict[Element, Annotated[Number, Field(ge=0, le=50)]] | None = Field(
        None, description="rms vibration u along each axis by element, B = 8 pi^2 u^2; without it, the crystal's own"
    )
    debye_waller_scale: value_or_range(smallest=0.01, ge=0, le=10) = Field(
        1.0, description="factor on B; of a range, each structure draws its own"
    )
    absorption: bool = Field(
        True,
        description="what vibration scatters diffusely leaves the wave (absorptive form factors); false: only the "
        "Debye-Waller factor",
    )
    frozen_phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        0, description="snapshots of displaced atoms whose images are averaged; 0: the coherent wave"
    )
    tilt_mrad: tuple[Annotated[Number, Field(ge=-70, le=70)], Annotated[Number, Field(ge=-70, le=70)]] = Field(
        (0.0, 0.0), description="tilt of the beam along x and y for all structures, besides a structure's own"
    )
    random_tilt_mrad: range_of(ge=0, le=70) = Field(
        (0.0, 0.0), description="magnitude of a tilt in any direction that each structure draws, besides tilt_mrad"
    )
    stored_angle_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(
        45.0, description="Fourier coefficients up to this angle are stored; no aperture can be larger"
    )

    @model_validator(mode="after")
    def _snapshots(self) -> Beam:
        if self.frozen_phonons and self.pixel_pm > LARGEST_SNAPSHOT_PIXEL_PM:
            raise ValueError(
                f"pixel_pm: got {self.pixel_pm:g}; frozen phonons, whose potentials are sharp, need at most "
                f"{LARGEST_SNAPSHOT_PIXEL_PM:g} (5.3 is right to 1 %)"
            )
        return self
