"""Local phases of a depth map's lattice on a coarse grid of nodes, fast enough for every frame of a film.

Geometric phase analysis (Hÿtch, Snoeck & Kilaas, Ultramicroscopy 74 (1998) 131): a Fourier component is demodulated and
averaged in a Gaussian window. Window and wave are products of a function of x and one of y, so that averages at nodes
are two matrix products. Nodes stand a quarter of the window apart or closer; in between, phases and amplitudes are
bilinear.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

WINDOW_PM = 450.0
"""Standard deviation of the window in which phases are measured."""

NODE_PM = 112.5
"""Largest distance of neighbouring nodes."""

TRUNCATE = 3.0
"""Standard deviations at which the window ends."""

LEAST_AMPLITUDE = 0.03
"""Of each component over the mean expected depth; ideal maps show 0.1 and more."""

LEAST_DEPTH = 0.2
"""Mean expected depth in the window below which it is vacuum."""

LEAST_WEIGHT = 1e-3
"""Share of the window that must lie in the valid area."""

FLAT_PM = 600.0
"""What pulls the plane through a patch of phases flat: as much as its best node does at this distance."""


@dataclass(frozen=True)
class Measured:
    """At the nodes (node row, node column): ``mean`` expected depth; ``amplitude`` of both components (2, ...) in
    atoms; ``phase`` of both (2, ...) in periods, relative to the ideal waves, in [-0.5, 0.5]; ``weight``: share of the
    window in the valid area."""

    mean: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    weight: np.ndarray

    @property
    def strong(self) -> np.ndarray:
        """Where the lattice shows, bool."""
        return is_strong(self.mean, self.amplitude, self.weight)


def is_strong(mean: np.ndarray, amplitude: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Whether the lattice shows where the window has this mean depth, these amplitudes (2, ...) and this weight."""
    return (mean > LEAST_DEPTH) & (weight > LEAST_WEIGHT) & (amplitude > LEAST_AMPLITUDE * mean).all(axis=0)


class Nodes:
    """The nodes of maps of one shape, and what is measured and interpolated there.

    Parameters
    ----------
    shape : of the maps, (y, x).
    pixel_pm : side of their pixel.
    vectors : (x, y) of both waves as rows, 1/pm.
    """

    def __init__(self, shape: tuple[int, int], pixel_pm: float, vectors: np.ndarray) -> None:
        self.size_pm = shape[0] * pixel_pm, shape[1] * pixel_pm
        self.y, self.x = (np.linspace(0, side, max(2, math.ceil(side / NODE_PM) + 1)) for side in self.size_pm)
        pixels = [(np.arange(count) + 0.5) * pixel_pm for count in shape]
        self._down, self._right = (_window(at, p, pixel_pm) for at, p in zip((self.y, self.x), pixels))
        waves = [[np.exp(-2j * np.pi * g * p) for g, p in zip((gy, gx), pixels)] for gx, gy in vectors]
        down = [self._down * wave for wave, _ in waves]
        self._down_waves = np.concatenate([part for one in down for part in (one.real, one.imag)]).astype(np.float32)
        self._right_waves = [(self._right * wave).T.astype(np.complex64) for _, wave in waves]
        self._up, self._left = (_tent(at, p) for at, p in zip((self.y, self.x), pixels))

    def measure(self, depth: np.ndarray, valid: np.ndarray) -> Measured:
        """From an expected depth float32 (y, x) and the pixels that count, bool (y, x)."""
        area = valid.astype(np.float32)
        weight = self._down @ area @ self._right.T
        number = np.maximum(weight, 1e-6)
        mean = (self._down @ (depth * area) @ self._right.T) / number
        # less the local mean, so that an oblique border does not look like a wave
        modulation = (depth - self._up @ mean @ self._left.T) * area
        rows = self._down_waves @ modulation
        count = len(self.y)
        parts = []
        for k, right in enumerate(self._right_waves):
            real, imaginary = (rows[(2 * k + part) * count : (2 * k + part + 1) * count] for part in (0, 1))
            parts.append((real + 1j * imaginary) @ right / number)
        stacked = np.stack(parts)
        return Measured(mean, np.abs(stacked), np.angle(stacked) / (2 * np.pi), weight)

    def at(self, fields: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Fields (field, node row, node column) at points in pm, (field, point), bilinear; as at the border beyond."""
        (top, down), (left, right) = _between(y, self.y), _between(x, self.x)
        flat = fields.reshape(len(fields), -1)
        first = top * len(self.x) + left
        upper = flat[:, first] * (1 - right) + flat[:, first + 1] * right
        first += len(self.x)
        lower = flat[:, first] * (1 - right) + flat[:, first + 1] * right
        return upper * (1 - down) + lower * down


def _window(nodes: np.ndarray, pixels: np.ndarray, pixel_pm: float) -> np.ndarray:
    """Gaussian weights (node, pixel) float32; their sum over all pixels of an endless map is 1."""
    off = (nodes[:, None] - pixels) / WINDOW_PM
    weights = np.exp(-(off**2) / 2) * (np.abs(off) <= TRUNCATE)
    return (weights * pixel_pm / (WINDOW_PM * math.sqrt(2 * math.pi))).astype(np.float32)


def _tent(nodes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Weights (pixel, node) float32 of linear interpolation."""
    return np.maximum(0, 1 - np.abs(pixels[:, None] - nodes) / (nodes[1] - nodes[0])).astype(np.float32)


def _between(values: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node before each value, and how far on the way to the next it lies."""
    place = np.clip(values / (nodes[1] - nodes[0]), 0, len(nodes) - 1)
    low = np.minimum(place.astype(int), len(nodes) - 2)
    return low, place - low


def wrap(periods: np.ndarray) -> np.ndarray:
    """Into [-0.5, 0.5]."""
    return periods - np.rint(periods)


def unwrapped(phase: np.ndarray, quality: np.ndarray, strong: np.ndarray, nodes: Nodes) -> np.ndarray:
    """Phases (2, node row, node column) without jumps, continued over all nodes.

    Quality-guided path following (Ghiglia & Pritt, Two-Dimensional Phase Unwrapping, 1998, ch. 4): from the best strong
    node on, the best neighbour of what is known is next. A patch that touches none before is put next to the plane
    through these. Nodes that are not strong follow the plane and the nearest strong node.
    """
    out, known = phase.copy(), np.zeros(strong.shape, dtype=bool)
    left = np.where(strong, quality, -np.inf)
    while np.isfinite(left).any():
        first = np.unravel_index(int(left.argmax()), strong.shape)
        if known.any():
            guess = _plane(out, known, quality, nodes)[:, *first]
            out[:, *first] = guess + wrap(phase[:, *first] - guess)
        _follow(out, phase, quality, strong, known, first)
        left[known] = -np.inf
    plane = _plane(out, known, quality, nodes)
    return plane + fill(out - plane, known)


def _follow(
    out: np.ndarray,
    phase: np.ndarray,
    quality: np.ndarray,
    strong: np.ndarray,
    known: np.ndarray,
    first: tuple[int, int],
) -> None:
    """Write the phases of the patch of strong nodes around the first one, whose phases are in ``out``."""
    rows, columns = strong.shape
    heap = [(0.0, *map(int, first), *map(int, first))]
    while heap:
        _, i, j, before_i, before_j = heapq.heappop(heap)
        if known[i, j]:
            continue
        known[i, j] = True
        out[:, i, j] = out[:, before_i, before_j] + wrap(phase[:, i, j] - out[:, before_i, before_j])
        for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= k < rows and 0 <= m < columns and strong[k, m] and not known[k, m]:
                heapq.heappush(heap, (-float(quality[k, m]), k, m, i, j))


def _plane(phase: np.ndarray, known: np.ndarray, quality: np.ndarray, nodes: Nodes) -> np.ndarray:
    """The plane (2, node row, node column) through the known phases; nearly flat where these are few."""
    y, x = (at - at.mean() for at in (nodes.y, nodes.x))
    design = np.stack(np.broadcast_arrays(1.0, x, y[:, None]), axis=-1)
    weight = np.where(known, quality, 0)[..., None]
    normal = np.einsum("ija,ijb->ab", design * weight, design)
    prior = np.diag([0.0, 1.0, 1.0]) * float(weight.max()) * FLAT_PM**2
    right = np.einsum("ija,kij->ak", design * weight, phase)
    return np.einsum("ija,ak->kij", design, np.linalg.solve(normal + prior, right))


def fill(fields: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fields (field, node row, node column) with unknown nodes as the nearest known one."""
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return fields[:, nearest[0], nearest[1]]
