"""Where a point of the input lies on the network's grid, and back.

Both frames have x along axis 1 and y along axis 0, in pm from the corner of pixel [0, 0], pixel centres at
(i + ½) · pixel. The input is first mirrored along axis 1 (``flip``), then turned about its centre by ``rotation_deg``,
**counter-clockwise positive in the (x, y) plane with x to the right and y up**: as seen in the standard figure with
row 0 at the bottom (matplotlib's ``origin="lower"``; with row 0 at the top it looks clockwise). So +90° takes what lies
at +x to +y, and -90° takes a vacuum on the left of the array (-x) to large rows (+y), where the network expects it.
Last it is stretched by ``stretch``, which takes a distortion back: the symmetric matrix acts on (x, y) of the turned
frame. The grid is the bounding box of the outcome, from its corner at lowest x and y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Stretch = tuple[tuple[float, float], tuple[float, float]]
UNSTRETCHED: Stretch = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class FrameTransform:
    """Input pixels to network pixels.

    shape : input (rows, columns).
    pixel_pm : input pixel.
    grid_pixel_pm : network pixel.
    rotation_deg, flip, stretch : see the module; ``stretch`` is ((xx, xy), (xy, yy)), symmetric and positive definite,
        else a ValueError.
    """

    shape: tuple[int, int]
    pixel_pm: float
    grid_pixel_pm: float
    rotation_deg: float = 0.0
    flip: bool = False
    stretch: Stretch = UNSTRETCHED

    def __post_init__(self) -> None:
        (xx, xy), (yx, yy) = self.stretch
        if xy != yx or not (xx > 0 and xx * yy > xy * yx):
            raise ValueError(f"stretch: got {self.stretch}; a symmetric, positive definite matrix is needed")

    @property
    def size_pm(self) -> tuple[float, float]:
        """Height and width of the input."""
        return self.shape[0] * self.pixel_pm, self.shape[1] * self.pixel_pm

    @property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine, exact for quarter turns."""
        angle = math.radians(self.rotation_deg)
        return tuple(round(v) if abs(v - round(v)) < 1e-12 else v for v in (math.cos(angle), math.sin(angle)))

    @cached_property
    def matrix(self) -> np.ndarray:
        """2 x 2: takes (x, y) from the input's centre to (x, y) from the box's centre, both in pm."""
        c, s = self.turn
        mirror = -1.0 if self.flip else 1.0
        return np.array(self.stretch) @ np.array([[c * mirror, -s], [s * mirror, c]])

    @property
    def pixels_per_grid_pixel(self) -> float:
        """Area of a network pixel in input pixels."""
        (xx, xy), (_, yy) = self.stretch
        return (self.grid_pixel_pm / self.pixel_pm) ** 2 / (xx * yy - xy * xy)

    @property
    def box_pm(self) -> tuple[float, float]:
        """Height and width of the turned and stretched frame's bounding box."""
        height, width = self.size_pm
        wide, high = np.abs(self.matrix) @ (width, height)
        return float(high), float(wide)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Network pixels (rows, columns); the last ones may reach beyond the box."""
        return tuple(max(1, math.ceil(length / self.grid_pixel_pm - 1e-6)) for length in self.box_pm)

    def forward(self, x_pm: np.ndarray, y_pm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the input to (x, y) of the network's frame, pm."""
        (height, width), (box_y, box_x) = self.size_pm, self.box_pm
        u, v = _times(self.matrix, x_pm - width / 2, y_pm - height / 2)
        return u + box_x / 2, v + box_y / 2

    def inverse(self, x_pm: np.ndarray, y_pm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the network's frame to (x, y) of the input, pm."""
        (height, width), (box_y, box_x) = self.size_pm, self.box_pm
        x, y = _times(np.linalg.inv(self.matrix), x_pm - box_x / 2, y_pm - box_y / 2)
        return x + width / 2, y + height / 2

    def pixels_at(self, x_pm: np.ndarray, y_pm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column of the input's pixels in which places (x, y) of the input lie, and whether they are inside."""
        j, i = (np.floor(values / self.pixel_pm).astype(int) for values in (x_pm, y_pm))
        return i, j, (i >= 0) & (i < self.shape[0]) & (j >= 0) & (j < self.shape[1])

    def turned(self, x: float, y: float) -> tuple[float, float]:
        """A spatial frequency (x, y) of the input as it lies in the network's frame."""
        return _times(np.linalg.inv(self.matrix).T, x, y)

    def turned_back(self, x: float, y: float) -> tuple[float, float]:
        """A spatial frequency (x, y) of the network's frame as it lies in the input."""
        return _times(self.matrix.T, x, y)


def _times(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix applied to (x, y), which need no more than to broadcast against each other."""
    (xx, xy), (yx, yy) = matrix.tolist()
    return xx * x + xy * y, yx * x + yy * y
