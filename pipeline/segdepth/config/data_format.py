"""The format of images and depth maps, and whether a network and data agree in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdepth.config.crystal_difference import crystals_differ
from segdepth.config.fields import NETWORK_STRIDE
from segdepth.config.imaging import Imaging
from segdepth.config.labels import Labels

PIXEL_TOLERANCE = 1e-6
"""Relative."""


@dataclass(frozen=True)
class DataFormat:
    """Inputs and outputs of a network, or the contents of a data set; None (not known) agrees with everything.

    Parameters
    ----------
    image_pixel_pm, label_pixel_pm : sides of their pixels.
    image_pixels : side of the images.
    labels : how depth maps are made.
    classes : of depth, 0 to ``classes - 1`` atoms; with ``labels.more`` the last is for all larger counts.
    crystal : ``Crystal.to_dict()``; empty if not known.
    """

    image_pixel_pm: float | None = None
    label_pixel_pm: float | None = None
    image_pixels: int | None = None
    labels: Labels | None = None
    classes: int | None = None
    crystal: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, imaging: Imaging, labels: Labels, field_pm: float | None = None) -> DataFormat:
        """The format of a data set's blocks, without its crystal."""
        pixels = None if field_pm is None else round(field_pm / imaging.pixel_pm)
        return cls(imaging.pixel_pm, labels.pixel_pm, pixels, labels, labels.classes)

    def difference(self, network: DataFormat) -> str | None:
        """Why a network of the given format cannot be used on these data, in one line; None if it can."""
        for what in ("image", "label"):
            got, wanted = getattr(self, f"{what}_pixel_pm"), getattr(network, f"{what}_pixel_pm")
            if got is not None and wanted is not None and abs(got - wanted) > PIXEL_TOLERANCE * wanted:
                return f"the {what} pixel is {got:.6g} pm, not {wanted:.6g} pm"
        if self.classes is not None and network.classes is not None and self.classes != network.classes:
            return f"depth classes are 0 to {self.classes - 1}, not 0 to {network.classes - 1}"
        known = self.labels is not None and network.labels is not None
        if known and (difference := self.labels.difference(network.labels)):
            return f"the labels differ: {difference}"
        if difference := crystals_differ(self.crystal or {}, network.crystal or {}):
            return difference
        if self.image_pixels is not None and self.image_pixels % NETWORK_STRIDE:
            return f"images have {self.image_pixels} pixels a side, not a multiple of {NETWORK_STRIDE}"
        return None
