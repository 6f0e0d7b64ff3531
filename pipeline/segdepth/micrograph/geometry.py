"""Where a point of the input lies on the network's grid, and back.

Both frames have x along axis 1 and y along axis 0, in pm from the corner of pixel [0, 0], pixel centres at
(i + ½) · pixel. The input is first mirrored along axis 1 (``flip``), then turned about its centre by ``rotation_deg``,
**counter-clockwise positive in the (x, y) plane with x to the right and y up**: as seen in the standard figure with
row 0 at the bottom (matplotlib's ``origin="lower"``; with row 0 at the top it looks clockwise). So +90° takes what lies
at +x to +y, and -90° takes a vacuum on the left of the array (-x) to large rows (+y), where the network expects it.
The grid is the bounding box of the turned frame, from its corner at lowest x and y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameTransform:
    """Input pixels to network pixels.

    shape : input (rows, columns).
    pixel_pm : input pixel.
    grid_pixel_pm : network pixel.
    rotation_deg, flip : see the module.
    """

    shape: tuple[int, int]
    pixel_pm: float
    grid_pixel_pm: float
    rotation_deg: float = 0.0
    flip: bool = False

    @property
    def size_pm(self) -> tuple[float, float]:
        """Height and width of the input."""
        return self.shape[0] * self.pixel_pm, self.shape[1] * self.pixel_pm

    @property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine, exact for quarter turns."""
        angle = math.radians(self.rotation_deg)
        return tuple(round(v) if abs(v - round(v)) < 1e-12 else v for v in (math.cos(angle), math.sin(angle)))

    @property
    def box_pm(self) -> tuple[float, float]:
        """Height and width of the turned frame's bounding box."""
        (height, width), (c, s) = self.size_pm, self.turn
        return abs(s) * width + abs(c) * height, abs(c) * width + abs(s) * height

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Network pixels (rows, columns); the last ones may reach beyond the box."""
        return tuple(max(1, math.ceil(length / self.grid_pixel_pm - 1e-6)) for length in self.box_pm)

    def forward(self, x_pm: np.ndarray, y_pm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the input to (x, y) of the network's frame, pm."""
        (height, width), (c, s), (box_y, box_x) = self.size_pm, self.turn, self.box_pm
        x = (width / 2 - x_pm) if self.flip else (x_pm - width / 2)
        y = y_pm - height / 2
        return c * x - s * y + box_x / 2, s * x + c * y + box_y / 2

    def inverse(self, x_pm: np.ndarray, y_pm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the network's frame to (x, y) of the input, pm."""
        (height, width), (c, s), (box_y, box_x) = self.size_pm, self.turn, self.box_pm
        u, v = x_pm - box_x / 2, y_pm - box_y / 2
        x, y = c * u + s * v, -s * u + c * v
        return (width / 2 - x) if self.flip else (x + width / 2), y + height / 2

    def turned_back(self, x: float, y: float) -> tuple[float, float]:
        """A direction, or a spatial frequency, (x, y) of the network's frame as it lies in the input."""
        c, s = self.turn
        u, v = c * x + s * y, -s * x + c * y
        return (-u if self.flip else u), v

    def turned(self, x: float, y: float) -> tuple[float, float]:
        """A direction, or a spatial frequency, (x, y) of the input as it lies in the network's frame."""
        c, s = self.turn
        u = -x if self.flip else x
        return c * u - s * y, s * u + c * y
