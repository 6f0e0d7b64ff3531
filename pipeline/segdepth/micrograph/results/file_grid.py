"""From the network's grid to the file's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from segdepth.micrograph.geometry import FrameTransform
from segdepth.micrograph.results.facts import FilmFacts, FrameResult

ROWS = 256
"""Rows of the file that are interpolated at a time."""


def affine_matrices(transform: FrameTransform) -> tuple[list[list[float]], list[list[float]]]:
    """The affine map between (x, y) in pm from the corner of the network's grid and of the file: to the file, and back.

    Each is 2 × 3, ``[[a, b, c], [d, e, f]]``: x' = a x + b y + c, y' = d x + e y + f.
    """
    corners = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    found = []
    for function in (transform.inverse, transform.forward):
        x, y = (np.asarray(values, float) for values in function(*corners))
        found.append([[float(v[1] - v[0]), float(v[2] - v[0]), float(v[0])] for v in (x, y)])
    return found[0], found[1]


def _label_places(transform: FrameTransform, label_pixel_pm: float, top: int, bottom: int) -> np.ndarray:
    """(x, y) of the centres of the file's pixels in rows ``top`` to ``bottom``, in label pixels; (2, y, x)."""
    x = (np.arange(transform.shape[1])[None, :] + 0.5) * transform.pixel_pm
    y = (np.arange(top, bottom)[:, None] + 0.5) * transform.pixel_pm
    return np.stack(np.broadcast_arrays(*transform.forward(x, y))) / label_pixel_pm


def nearest_labels(transform: FrameTransform, label_pixel_pm: float, shape: tuple[int, int]) -> np.ndarray:
    """Flat index (y, x) of the label pixel, of a map of ``shape``, in which the centre of each pixel of the file lies;
    the nearest one beyond the outermost."""
    rows, columns = shape
    out = np.empty(transform.shape, np.int64)
    for top in range(0, len(out), ROWS):
        bottom = min(top + ROWS, len(out))
        u, v = np.floor(_label_places(transform, label_pixel_pm, top, bottom)).astype(np.int64)
        out[top:bottom] = np.clip(v, 0, rows - 1) * columns + np.clip(u, 0, columns - 1)
    return out


@dataclass(frozen=True)
class Planes:
    """A frame on the file's pixels, float32 (y, x), NaN where not valid: depth (atoms), confidence, counts
    (vacuum = 1)."""

    depth: np.ndarray
    confidence: np.ndarray
    counts: np.ndarray


class FileGrid:
    """Depth and confidence of the nearest label pixel, and layers of the nearest input pixel, on the file's own pixels;
    the places are found once a film."""

    def __init__(self, facts: FilmFacts) -> None:
        self.facts = facts
        self._nearest: np.ndarray | None = None
        self._nearest_input: np.ndarray | None = None

    def planes(self, result: FrameResult) -> Planes:
        """One frame's."""
        if self._nearest is None:
            self._nearest = nearest_labels(self.facts.transform, self.facts.label_pixel_pm, result.depth.shape)
        maps = (np.where(result.valid, values, np.float32(np.nan)) for values in (result.depth, result.confidence))
        depth, confidence = (m.astype(np.float32, copy=False).ravel().take(self._nearest, mode="clip") for m in maps)
        return Planes(depth, confidence, np.ascontiguousarray(result.image, np.float32))

    def layers(self, result: FrameResult) -> list[np.ndarray]:
        """One frame's layers, float32 (y, x) each."""
        transform = self.facts.transform
        if self._nearest_input is None:
            self._nearest_input = nearest_labels(transform, transform.grid_pixel_pm, transform.grid_shape)
        maps = (result.layers[layer.name] for layer in self.facts.layers)
        return [values.astype(np.float32).ravel().take(self._nearest_input, mode="clip") for values in maps]


@torch.inference_mode()
def on_file_grid(
    probabilities: np.ndarray, transform: FrameTransform, label_pixel_pm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Depth uint8 and confidence float32 (y, x) at the centres of the file's pixels, from probabilities (class, row,
    column) on label pixels.

    Bilinear between label pixels' centres, the nearest one beyond the outermost. Depth is the most probable class and
    confidence that class's probability (SegDepth eqs. 4 and 5).
    """
    height, width = transform.shape
    depth, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    size = np.array(probabilities.shape[:0:-1], np.float64)[:, None, None]
    maps = torch.from_numpy(np.ascontiguousarray(probabilities, np.float32))[None]
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        places = 2 * _label_places(transform, label_pixel_pm, top, bottom) / size - 1  # -1 … 1 from edge to edge
        grid = torch.from_numpy(np.moveaxis(places, 0, -1).astype(np.float32))[None]
        part = nn.functional.grid_sample(maps, grid, "bilinear", "border", align_corners=False)[0]
        sure, found = part.max(0)
        depth[top:bottom], confidence[top:bottom] = found.to(torch.uint8).numpy(), (sure / part.sum(0)).numpy()
    return depth, confidence
