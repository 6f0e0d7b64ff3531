"""The section ``beams``: illumination and multislice."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from segdepth.config.block import Block
from segdepth.config.fields import Count, Element, Number, range_of, value_or_range

LARGEST_SNAPSHOT_PIXEL_PM = 8.0
"""The image error is 3 % of the contrast at 7.6 pm and 7 % at 10.5 pm."""


Parametrization = Literal["lobato", "kirkland", "peng"]


class Beam(Block):
    """Illumination and multislice."""

    energy_kev: Annotated[Number, Field(ge=20, le=1000)] = Field(300.0, description="energy of the electrons")
    pixel_pm: Annotated[Number, Field(ge=2, le=15)] = Field(10.5, description="largest pixel of the multislice grid")
    band_limit: Annotated[Number, Field(ge=0.3, le=1)] = Field(
        1.0, description="fraction of the grid's Nyquist frequency that propagates (abTEM's antialias cutoff)"
    )
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point precision of the multislice"
    )
    slice_pm: Annotated[Number, Field(ge=5, le=400)] = Field(
        96.0, description="slice thickness: atoms closer in height share a slice"
    )
    parametrization: Parametrization | Annotated[tuple[Parametrization, ...], Field(min_length=1)] = Field(
        "lobato", description="scattering factors; if several are given, each structure draws one"
    )
    projection: Literal["infinite", "finite"] = Field(
        "infinite",
        description="all of an atom's potential at its height (infinite), or the three-dimensional potential cut "
        "into slabs (finite)",
    )
    debye_waller_pm: dict[Element, Annotated[Number, Field(ge=0, le=50)]] | None = Field(
        None, description="rms vibration u along each axis by element, B = 8 pi^2 u^2; by default the crystal's"
    )
    debye_waller_scale: value_or_range(smallest=0.01, ge=0, le=10) = Field(
        1.0, description="factor on B; from a range, each structure draws a value"
    )
    absorption: bool = Field(
        True,
        description="absorptive form factors: thermal diffuse scattering is removed from the wave; false: the "
        "Debye-Waller factor only",
    )
    frozen_phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        0, description="number of snapshots of displaced atoms whose images are averaged; 0: none, the coherent wave"
    )
    diffuse_snapshots: Annotated[Count, Field(ge=0, le=8)] = Field(
        0,
        description="number of snapshots whose differences from the coherent wave add diffusely scattered electrons "
        "to the image, at little cost; 0: these electrons are lost",
    )
    tilt_mrad: tuple[Annotated[Number, Field(ge=-70, le=70)], Annotated[Number, Field(ge=-70, le=70)]] = Field(
        (0.0, 0.0),
        description="tilt of the beam along x and y, the same for all structures; adds to the crystal's tilt",
    )
    random_tilt_mrad: range_of(ge=0, le=70) = Field(
        (0.0, 0.0), description="magnitude of a further tilt in a random direction, drawn for each structure"
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
        if self.diffuse_snapshots and (self.frozen_phonons or not self.absorption):
            other = "with frozen_phonons" if self.frozen_phonons else "without absorption"
            raise ValueError(
                f"diffuse_snapshots: got {self.diffuse_snapshots} {other}; they return what absorption takes from "
                "the coherent wave: frozen_phonons must be 0, and absorption true"
            )
        return self
