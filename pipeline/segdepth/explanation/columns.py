"""Columns as stacks of atoms: which sites of the lattice along the beam each of them fills. Lengths in pm.

A count does not say how high a column begins. Heights are measured along the beam from the nominal exit face, from
which defocus counts: the crystal lies at negative heights. The faces are smooth planes about which columns are cut at
the lattice's heights: of what the crystal lacks towards its thickest part, the exit face takes a share (``exit_share``;
0: a flat exit face, 1: a flat entrance face, 1/2: faces symmetric about a flat middle plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from segdepth.crystals import Crystal

SMOOTH_PM = 400.0
"""Rms width of the Gaussian over which the faces are smooth."""

THICKEST_SHARE = 0.9
"""The crystal's thickest part is this quantile of the smooth thickness."""


@dataclass(frozen=True)
class ColumnStacks:
    """Columns of one frame, arrays of one length.

    x_pm, y_pm : where the upright column stands, from the corner of the grid's pixel [0, 0]. kind : position among
    ``Crystal.columns``. count : counted atoms. first : the first filled site; site k stands at ``(k / per_period + z)``
    periods from the exit face. reference_pm : height at which a tilt of the beam displaces nothing.
    """

    crystal: Crystal
    x_pm: np.ndarray
    y_pm: np.ndarray
    kind: np.ndarray
    count: np.ndarray
    first: np.ndarray
    reference_pm: float = 0.0

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def spacing_pm(self) -> np.ndarray:
        """Distance of a column's counted atoms along the beam."""
        return spacings_pm(self.crystal)[self.kind]

    @property
    def middle_pm(self) -> np.ndarray:
        """Mean height of a column's atoms; of an empty one, where its first atom would stand."""
        beyond = np.maximum(self.count - 1, 0) / 2
        return (self.first + beyond) * self.spacing_pm + self._offset_pm

    @property
    def last_pm(self) -> np.ndarray:
        """Height of a column's last atom, nearest to the exit."""
        return (self.first + np.maximum(self.count, 1) - 1) * self.spacing_pm + self._offset_pm

    @property
    def _offset_pm(self) -> np.ndarray:
        return np.array([c.z for c in self.crystal.columns])[self.kind] * self.crystal.periods_pm[2]

    def changed(self, first: np.ndarray, count: np.ndarray) -> ColumnStacks:
        """The same columns with other atoms."""
        return replace(self, first=np.asarray(first), count=np.asarray(count))

    def part(self, which: np.ndarray) -> ColumnStacks:
        """Some of the columns."""
        arrays = ("x_pm", "y_pm", "kind", "count", "first")
        return replace(self, **{name: getattr(self, name)[which] for name in arrays})


def spacings_pm(crystal: Crystal) -> np.ndarray:
    """Distance of counted atoms along the beam, by type of column."""
    return crystal.periods_pm[2] / np.array([c.per_period for c in crystal.columns])


def stacked(
    crystal: Crystal,
    x_pm: Sequence[float],
    y_pm: Sequence[float],
    kind: Sequence[int],
    count: Sequence[int],
    exit_share: float = 0.5,
    tilt_mrad: tuple[float, float] = (0.0, 0.0),
) -> ColumnStacks:
    """Columns whose atoms are centred between smooth faces, as nearly as the lattice's heights allow.

    Parameters
    ----------
    x_pm, y_pm : where their images are: those of columns above the mean height are displaced towards the beam's tilt.
    """
    kind, count = np.asarray(kind, int), np.asarray(count, int)
    x, y = np.asarray(x_pm, float), np.asarray(y_pm, float)
    bare = ColumnStacks(crystal, x, y, kind, count, np.zeros(len(kind), int))
    middle = middle_plane_pm(bare, exit_share)
    reference = float(middle[count > 0].mean()) if (count > 0).any() else 0.0
    x, y = (at + np.tan(t / 1000) * (middle - reference) for at, t in zip((x, y), tilt_mrad))
    return replace(bare, x_pm=x, y_pm=y, first=first_sites(bare, middle), reference_pm=reference)


def first_sites(stacks: ColumnStacks, middle_pm: np.ndarray) -> np.ndarray:
    """First filled site of each column whose mean height comes nearest to ``middle_pm``."""
    spacing = stacks.spacing_pm
    lowest = middle_pm - np.maximum(stacks.count - 1, 0) / 2 * spacing - stacks._offset_pm
    return np.ceil(np.round(lowest / spacing - 0.5, 6)).astype(int)


def middle_plane_pm(stacks: ColumnStacks, exit_share: float) -> np.ndarray:
    """Height halfway between the smooth faces at each column."""
    smooth = smooth_thickness_pm(stacks)
    filled = smooth[stacks.count > 0]
    thickest = float(np.quantile(filled, THICKEST_SHARE)) if filled.size else 0.0
    return -thickest / 2 + (0.5 - exit_share) * np.maximum(thickest - smooth, 0)


def settled_middle_pm(stacks: ColumnStacks, middle_pm: np.ndarray) -> np.ndarray:
    """The smooth middle plane moved by what the columns around each one stand off it in the mean."""
    return middle_pm + _smooth(stacks, np.where(stacks.count > 0, stacks.middle_pm - middle_pm, 0.0))


def smooth_thickness_pm(stacks: ColumnStacks) -> np.ndarray:
    """Thickness at each column: mean of the columns that hold atoms, weighted by a Gaussian of ``SMOOTH_PM``."""
    return _smooth(stacks, stacks.count * stacks.spacing_pm)


def _smooth(stacks: ColumnStacks, values: np.ndarray) -> np.ndarray:
    """Mean at each column over the columns that hold atoms, weighted by a Gaussian of ``SMOOTH_PM``; far from all of
    them the value of the nearest; 0 where there are none."""
    filled = np.flatnonzero(stacks.count > 0)
    if not filled.size:
        return np.zeros(len(stacks))
    places = np.stack([stacks.x_pm, stacks.y_pm], axis=1)
    tree, here = cKDTree(places[filled]), cKDTree(places)
    near = here.sparse_distance_matrix(tree, 3 * SMOOTH_PM, output_type="coo_matrix")
    weight = np.exp(-((near.data / SMOOTH_PM) ** 2) / 2)
    own = values[filled]
    total = np.bincount(near.row, weight, len(stacks))
    summed = np.bincount(near.row, weight * own[near.col], len(stacks))
    nearest = own[tree.query(places)[1]]
    return np.where(total > 0, summed / np.maximum(total, 1e-12), nearest)
