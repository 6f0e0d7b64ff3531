"""The section ``lens_fits``: micrographs to which lens, tilt and thickness are fitted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segdepth.config.fields import Name, Number
from segdepth.config.micrograph import Reading, Source


class LensFitOptions(Reading):
    """How a micrograph is read, and which lens values are held fixed while the others are fitted."""

    energy_kev: Annotated[Number, Field(ge=60, le=300)] | None = Field(
        None, description="energy of the electrons in keV; by default from the file"
    )
    c3_um: Annotated[Number, Field(ge=-5000, le=5000)] | None = Field(
        None, description="spherical aberration C3 in µm, held fixed; by default fitted"
    )
    c5_mm: Annotated[Number, Field(ge=-100, le=100)] = Field(
        5.0,
        description="fifth-order spherical aberration C5 in mm, held fixed, since it cannot be distinguished from C3",
    )
    focal_spread_nm: Annotated[Number, Field(ge=0.5, le=15)] | None = Field(
        None, description="focal spread in nm, 1/e half-width, held fixed; by default fitted"
    )
    convergence_mrad: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.2, description="semi-convergence angle in mrad, 1/e half-width, held fixed"
    )
    image_spread_pm: Annotated[Number, Field(ge=2, le=60)] | None = Field(
        None, description="rms image spread in pm, held fixed; by default fitted"
    )
    contrast_factor: Annotated[Number, Field(ge=0.3, le=1)] | None = Field(
        None, description="share of electrons that keep their detail, held fixed; by default fitted"
    )
    background: Annotated[Number, Field(ge=0, le=0.6)] | None = Field(
        None, description="uniform intensity without an image, vacuum = 1, held fixed; by default fitted"
    )

    @property
    def given(self) -> dict[str, float]:
        """Values that are held instead of fitted, by the fit's own names."""
        named = {
            "c3": self.c3_um,
            "focal_spread": self.focal_spread_nm,
            "image_spread": self.image_spread_pm,
            "contrast": self.contrast_factor,
            "background": self.background,
        }
        return {name: value for name, value in named.items() if value is not None}


class LensFitBlock(LensFitOptions, Source):
    """A micrograph for ``segdepth fit-lens``."""

    crystal: Name = Field(description="name of a crystals block")
    force_explanation: bool = Field(
        False, description="explain predictions by this fit though it does not explain the film; every output says so"
    )

    def options(self, recorded_pixel_pm: float | None = None) -> LensFitOptions:
        """The command's options; ``recorded_pixel_pm`` is the pixel of the simulated recording."""
        return self._options(LensFitOptions, recorded_pixel_pm)
