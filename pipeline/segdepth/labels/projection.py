"""Counts as projected: how many atoms of the owning column cover each pixel (SegDepth III-B4)."""

from __future__ import annotations

import numpy as np

from segdepth.labels.ownership import pixel_centres_pm


def project_counts(
    atom_x_pm: np.ndarray,
    atom_y_pm: np.ndarray,
    atom_row: np.ndarray,
    atom_radius_pm: np.ndarray,
    owner: np.ndarray,
    pixel_pm: float,
) -> np.ndarray:
    """Number of atoms that cover each pixel and belong to the column that owns it, uint8 [y, x].

    Parameters
    ----------
    atom_x_pm, atom_y_pm : projected atoms in the field's coordinates.
    atom_row : row of each atom's column in the column table.
    atom_radius_pm : radius of the disc that each atom covers.
    owner : row of the owning column for each pixel, [y, x].
    """
    counts = np.zeros(owner.shape, dtype=np.uint8)
    centres_y, centres_x = (pixel_centres_pm(pixels, pixel_pm) for pixels in owner.shape)
    for x, y, row, radius in zip(atom_x_pm, atom_y_pm, atom_row, atom_radius_pm):
        x0, x1 = max(int((x - radius) / pixel_pm), 0), min(int((x + radius) / pixel_pm) + 1, centres_x.size)
        y0, y1 = max(int((y - radius) / pixel_pm), 0), min(int((y + radius) / pixel_pm) + 1, centres_y.size)
        if x0 >= x1 or y0 >= y1:
            continue
        inside = (centres_y[y0:y1, None] - y) ** 2 + (centres_x[None, x0:x1] - x) ** 2 <= radius**2
        counts[y0:y1, x0:x1] += inside & (owner[y0:y1, x0:x1] == row)
    return counts
