"""How the crystal lies in the cell: strained, turned in the plane, tilted off the zone axis. Lengths in pm.

Position = pivot + T R S (upright position - pivot), the pivot being the field's centre at half the bulk's height.

S : in-plane strain, 1 + ``strain_x_percent``/100 along the crystal's x axis and 1 +
    ``strain_y_percent``/100 along its y axis.
R : rotation about the beam by ``rotation_deg``, counter-clockwise seen with x to the right and y up, so the x axis
    turns from +x towards +y.
T : rotation about the axis (-sin φ, cos φ, 0) by the tilt's magnitude t, with ``tilt_x_deg`` = t cos φ and
    ``tilt_y_deg`` = t sin φ. The zone axis, upright along +z with the beam, becomes
    (sin t cos φ, sin t sin φ, cos t): with ``tilt_x_deg`` > 0 a column leans towards +x on its way down the beam, its
    exit end stands at larger x than its entrance end. x and y are the image's axes, whatever the rotation. To the
    crystal this is a beam that comes from the other side: +1° is a beam tilt of -17.45 mrad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Orientation:
    """Angles in degrees, strains in percent."""

    rotation_deg: float = 0.0
    strain_x_percent: float = 0.0
    strain_y_percent: float = 0.0
    tilt_x_deg: float = 0.0
    tilt_y_deg: float = 0.0

    @classmethod
    def of(cls, row: Mapping) -> Orientation:
        """The orientation that a row of the plan holds; what it does not name is 0."""
        return cls(**{name: float(row.get(name, 0.0)) for name in cls.__dataclass_fields__})

    @property
    def upright(self) -> bool:
        """Whether the crystal is neither strained, turned nor tilted."""
        return self == Orientation()

    @property
    def matrix(self) -> np.ndarray:
        """T R S."""
        turn = Rotation.from_euler("z", self.rotation_deg, degrees=True)
        tilt = Rotation.from_rotvec([-self.tilt_y_deg, self.tilt_x_deg, 0.0], degrees=True)
        stretch = np.diag([1 + self.strain_x_percent / 100, 1 + self.strain_y_percent / 100, 1.0])
        return (tilt * turn).as_matrix() @ stretch

    def applied(self, positions: np.ndarray, pivot: np.ndarray) -> np.ndarray:
        """Positions (n, 3) of the strained, turned and tilted crystal; upright ones come back bit for bit."""
        return positions if self.upright else pivot + (positions - pivot) @ self.matrix.T

    def beyond_pm(self, side_pm: float, height_pm: float) -> float:
        """How far beyond each side of the cell the upright crystal must extend to fill all of it afterwards.

        A point of the cell's square comes from A⁻¹(r - b w), A and b being the in-plane part of T R S and its column
        for the beam's direction, w the height above the pivot; the largest values are at the corners.
        """
        if self.upright:
            return 0.0
        matrix = self.matrix
        back = np.linalg.inv(matrix[:2, :2])
        half = np.abs(back) @ np.full(2, side_pm / 2) + np.abs(back @ matrix[:2, 2]) * height_pm / 2
        return max(float(half.max()) - side_pm / 2, 0.0) + 1.0  # 1 pm for rounding

    def face_height_pm(self, half_height_pm: float) -> float:
        """Height above the pivot, at the pivot's x and y, of a face ``half_height_pm`` from it along the zone axis."""
        return half_height_pm if self.upright else half_height_pm / float(self.matrix[2, 2])
